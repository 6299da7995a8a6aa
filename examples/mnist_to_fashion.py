"""A network that learned digits before, or learns them as well: does that help on Fashion-MNIST, against from scratch?

    python examples/mnist_to_fashion.py                 # scikit-learn's scanned digits, then Debian's Fashion-MNIST
    python examples/mnist_to_fashion.py --mnist folder  # MNIST itself, through torchvision (it downloads it)

It prints both test accuracies, of the digits and of the clothes. The latter is for the weights that were trained on
digits, frozen and fine-tuned; for a network that learns clothes and as many digits jointly, by `fit(source=...)`; and
for the same network from scratch. All are over several draws of training images, with 95 % intervals, and a verdict on
both kinds of transfer follows. Fashion-MNIST: apt-get install dataset-fashion-mnist.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

import featx
from _draws import table_of, verdict
from _images import FASHION, read_digits, read_fashion
from featx.finetune import small_encoder

MOVED, JOINT, SCRATCH = "moved and fine-tuned", "trained jointly", "from scratch"
# A network that begins with random weights learns them all, with the statistics of its batches.
ALL = {
    "unfreeze": "all",
    "head_init": "random",
    "train_batch_norm": True,
    "learning_rate": 3e-3,
    "layer_decay": 1.0,
}


def main() -> None:
    arguments = parse_arguments()
    if not FASHION.exists():
        sys.exit(f"No Fashion-MNIST in {FASHION}. On Debian: apt-get install dataset-fashion-mnist.")
    source, digits = train_source(arguments)
    ways = {
        "moved, frozen": featx.image_pipeline("logistic", encoder=source.encoder_),
        MOVED: featx.FineTuneClassifier(source.encoder_, max_epochs=arguments.epochs, **ALL),
        JOINT: featx.FineTuneClassifier(small_encoder(28), max_epochs=arguments.epochs, **ALL),
        SCRATCH: featx.FineTuneClassifier(small_encoder(28), max_epochs=arguments.epochs, **ALL),
    }
    fit_parameters = {JOINT: {"source": digits}}
    images, labels = read_fashion("t10k")
    rows, test = train_test_split(np.arange(len(labels)), test_size=arguments.test, random_state=0, stratify=labels)
    scores, seconds = defaultdict(list), defaultdict(float)
    for draw in range(arguments.draws):
        train, _ = train_test_split(rows, train_size=arguments.limit, random_state=draw, stratify=labels[rows])
        for name, way in ways.items():
            if "random_state" in way.get_params():
                way.set_params(random_state=draw)
            started = time.perf_counter()
            way.fit(images[train], labels[train], **fit_parameters.get(name, {}))
            scores[name].append(way.score(images[test], labels[test]))
            seconds[name] += (time.perf_counter() - started) / arguments.draws
    print(f"Fashion-MNIST: {arguments.limit:,} images for training, {len(test):,} for testing")
    shared = arguments.limit / (len(rows) - arguments.limit)
    print(table_of(scores, seconds, SCRATCH, shared).to_string(index=False))
    for name in (MOVED, JOINT):
        print(verdict(scores, name, SCRATCH, shared))


def train_source(arguments: argparse.Namespace) -> tuple[featx.FineTuneClassifier, tuple[np.ndarray, np.ndarray]]:
    """A network trained on digits, and as many of its training images as there are of clothes, with their labels."""
    images, labels = read_mnist(arguments.mnist) if arguments.mnist else read_digits()
    X, X_test, y, y_test = train_test_split(
        images, labels, test_size=0.25, random_state=0, stratify=labels, train_size=min(10_000, 3 * len(labels) // 4)
    )
    source = featx.FineTuneClassifier(small_encoder(28), max_epochs=arguments.epochs, **ALL).fit(X, y)
    print(f"digits: {len(y):,} images for training, test accuracy {source.score(X_test, y_test):.3f}")
    return source, (X[: arguments.limit], y[: arguments.limit])


def read_mnist(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    from torchvision.datasets import MNIST

    data = MNIST(folder, download=True)
    return data.data.numpy(), data.targets.numpy().astype(str)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mnist", type=Path, metavar="FOLDER", help="of MNIST; downloaded into it where it is empty")
    parser.add_argument("--limit", type=int, default=1000, help="training images of clothes (default: %(default)s)")
    parser.add_argument("--test", type=int, default=2000, help="test images of clothes (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--draws", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
