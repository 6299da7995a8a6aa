"""A source model of one's own, for one pair of classes, then a new head for another pair with few labels.

    python examples/own_source_model.py             # Fashion-MNIST: sneakers and ankle boots, then pullovers and coats
    python examples/own_source_model.py --labels 100

The textbook trains on cats and dogs and goes on with apples and bananas. Here a small network is trained from scratch
on all images of the first pair, saved, and read again as an encoder, by its penultimate layer. The second pair is then
learned from a few labelled images: by a logistic regression on these embeddings, on those of the same network untrained
and on those of a network that saw a million photos, and by fine-tuning the whole source model. Without Fashion-MNIST
(Debian: apt-get install dataset-fashion-mnist) it is the digits: 3 and 8, then 4 and 9.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

import featx
from _draws import draw_splits, score_ways, table_of, verdict
from _images import FASHION, read_digits, read_fashion
from featx.finetune import small_encoder

SOURCE, TARGET = "its own source model", "its untrained network"


def main() -> None:
    arguments = parse_arguments()
    source, target = read_pairs(arguments.limit)
    X, X_test, y, y_test = train_test_split(*source, test_size=0.25, random_state=0, stratify=source[1])
    model = featx.FineTuneClassifier(
        small_encoder(28),
        unfreeze="all",
        head_init="random",
        train_batch_norm=True,
        learning_rate=3e-3,
        max_epochs=arguments.epochs,
    ).fit(X, y)
    print(f"source model: {' or '.join(model.classes_)}, {len(y):,} images: accuracy {model.score(X_test, y_test):.3f}")

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "source.safetensors"
        model.encoder_.save(file)
        mine = featx.Encoder.from_checkpoint(file, network, preprocess=model.encoder_.preprocess)
        ways = {
            SOURCE: featx.image_pipeline("logistic", encoder=mine),
            "the same, fine-tuned": featx.FineTuneClassifier(featx.ImageEncoder(mine, cache=False), unfreeze="all"),
            TARGET: featx.image_pipeline("logistic", encoder=small_encoder(28)),
            "EfficientNet-Lite0": featx.image_pipeline("logistic", preprocess="squash"),
        }
        compare(ways, *target, arguments)


def network():
    """The architecture that the file's weights belong to."""
    return small_encoder(28).module


def compare(ways: dict, images: list, y: np.ndarray, arguments: argparse.Namespace) -> None:
    """Learn the target from a few labels, several times."""
    splits = draw_splits(y, arguments.draws, train_size=arguments.labels)
    scores, seconds = score_ways(ways, images, y, splits)
    print(f"target: {' or '.join(np.unique(y))}, {arguments.labels} labels, {len(splits[0][1]):,} test images")
    shared = arguments.labels / len(splits[0][1])
    print(table_of(scores, seconds, TARGET, shared).to_string(index=False))
    print(verdict(scores, SOURCE, TARGET, shared))


def read_pairs(limit: int) -> list[tuple[list[np.ndarray], np.ndarray]]:
    """Images and labels of the source's pair of classes, and of the target's."""
    if FASHION.exists():
        (images, labels), pairs = read_fashion("t10k"), (["sneaker", "ankle boot"], ["pullover", "coat"])
    else:
        (images, labels), pairs = read_digits(), (["3", "8"], ["4", "9"])
    rows = [np.flatnonzero(np.isin(labels, pair))[:limit] for pair in pairs]
    return [(list(images[chosen]), labels[chosen]) for chosen in rows]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--labels", type=int, default=20, help="of the target's training (default: %(default)s)")
    parser.add_argument("--limit", type=int, default=2000, help="images of each pair (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=8, help="of the source model (default: %(default)s)")
    parser.add_argument("--draws", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
