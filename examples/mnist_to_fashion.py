"""A network trained on digits, its weights moved to Fashion-MNIST and fine-tuned: does that help, against from scratch?

    python examples/mnist_to_fashion.py                 # scikit-learn's scanned digits, then Debian's Fashion-MNIST
    python examples/mnist_to_fashion.py --mnist folder  # MNIST itself, through torchvision (it downloads it)

It prints both test accuracies, of the digits and of the clothes: the latter for the moved weights, frozen and
fine-tuned, and for the same network from scratch, over several draws of training images, with 95 % intervals, and says
whether moving them helped. Fashion-MNIST: apt-get install dataset-fashion-mnist.
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

MOVED, SCRATCH = "moved and fine-tuned", "from scratch"
# A network that begins with random weights learns them all, with the statistics of its batches.
ALL = {"unfreeze": "all", "start": "random", "train_norms": True, "learning_rate": 3e-3, "layer_decay": 1.0}


def main() -> None:
    arguments = parse_arguments()
    if not FASHION.exists():
        sys.exit(f"No Fashion-MNIST in {FASHION}. On Debian: apt-get install dataset-fashion-mnist.")
    source = train_source(arguments)
    ways = {
        "moved, frozen": featx.image_pipeline("logistic", encoder=source.encoder_),
        MOVED: featx.FineTuneClassifier(source.encoder_, epochs=arguments.epochs, **ALL),
        SCRATCH: featx.FineTuneClassifier(small_encoder(28), epochs=arguments.epochs, **ALL),
    }
    images, labels = read_fashion("t10k")
    rows, test = train_test_split(np.arange(len(labels)), test_size=arguments.test, random_state=0, stratify=labels)
    scores, seconds = defaultdict(list), defaultdict(float)
    for draw in range(arguments.draws):
        train, _ = train_test_split(rows, train_size=arguments.limit, random_state=draw, stratify=labels[rows])
        for name, way in ways.items():
            if "random_state" in way.get_params():
                way.set_params(random_state=draw)
            started = time.perf_counter()
            scores[name].append(way.fit(images[train], labels[train]).score(images[test], labels[test]))
            seconds[name] += (time.perf_counter() - started) / arguments.draws
    print(f"Fashion-MNIST: {arguments.limit:,} images for training, {len(test):,} for testing")
    shared = arguments.limit / (len(rows) - arguments.limit)
    print(table_of(scores, seconds, SCRATCH, shared).to_string(index=False))
    print(verdict(scores, MOVED, SCRATCH, shared))


def train_source(arguments: argparse.Namespace) -> featx.FineTuneClassifier:
    """The digits' own network."""
    images, labels = read_mnist(arguments.mnist) if arguments.mnist else read_digits()
    X, X_test, y, y_test = train_test_split(
        images, labels, test_size=0.25, random_state=0, stratify=labels, train_size=min(10_000, 3 * len(labels) // 4)
    )
    source = featx.FineTuneClassifier(small_encoder(28), epochs=arguments.epochs, **ALL).fit(X, y)
    print(f"digits: {len(y):,} images for training, test accuracy {source.score(X_test, y_test):.3f}")
    return source


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
