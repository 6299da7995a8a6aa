"""Fashion-MNIST, all 70,000 images: frozen embeddings under scikit-learn's heads, against raw pixels.

    apt-get install dataset-fashion-mnist           # Debian's package of the data; or pass --data
    python examples/fashion_mnist.py                # hours on a small CPU the first time, minutes afterwards
    python examples/fashion_mnist.py --limit 2000   # the first 2,000 for training and 2,000 for testing

Stop it whenever you like: what was encoded is in the cache, and the next run goes on from there.
"""

from __future__ import annotations

import argparse
import gzip
import logging
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

import featx

DATA = Path("/usr/share/datasets/fashion-mnist")

# The data set's own benchmark of scikit-learn classifiers on pixels, best of each kind, on the 10,000 test images:
# Xiao, Rasul & Vollgraf 2017, arXiv:1708.07747, table 3.
PUBLISHED = {"LogisticRegression": 0.842, "SVC": 0.897}

# Megabytes for the kernel's rows: on 60,000 images scikit-learn's default of 200 is far too small.
PARAMETERS = {"svm": {"cache_size": 4000}}


def main() -> None:
    arguments = parse_arguments()
    if not (arguments.data / "train-images-idx3-ubyte.gz").exists():
        sys.exit(
            f"No Fashion-MNIST in {arguments.data}. On Debian: apt-get install dataset-fashion-mnist. Elsewhere: put "
            "the four .gz files of github.com/zalandoresearch/fashion-mnist into a folder and pass --data FOLDER."
        )
    logging.basicConfig(format="%(message)s")
    logging.getLogger("featx").setLevel(logging.INFO)
    train, train_labels = read("train", arguments)
    test, test_labels = read("t10k", arguments)

    rows = [(f"pixels, published: {name}", "", score, None) for name, score in PUBLISHED.items()]
    for preprocess in arguments.preprocess:
        encoder = featx.ImageEncoder(preprocess=preprocess, cache=arguments.cache, batch_size=64)
        started = time.perf_counter()
        embeddings, test_embeddings = encoder.transform(train), encoder.transform(test)
        rows.append((f"embeddings, {preprocess}", "encoding", None, time.perf_counter() - started))
        for head in arguments.heads:
            # The embeddings are here already: what is left of the pipeline is scaler and head.
            model = featx.image_pipeline(head, head_parameters=PARAMETERS.get(head))[1:]
            started = time.perf_counter()
            score = model.fit(embeddings, train_labels).score(test_embeddings, test_labels)
            rows.append((f"embeddings, {preprocess}", head, score, time.perf_counter() - started))
            print(f"{preprocess}, {head}: {score:.4f} in {rows[-1][-1]:.0f} s", flush=True)
    table = pd.DataFrame(rows, columns=["features", "head", "accuracy", "seconds"])
    print(f"\n{len(train):,} images for training, {len(test):,} for testing")
    print(table.to_string(index=False, na_rep="", float_format=lambda value: f"{value:.4g}"))


def read(part: str, arguments: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 28, 28) uint8 and labels (n,) of "train" or "t10k"."""
    with gzip.open(arguments.data / f"{part}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(arguments.data / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return images[: arguments.limit], labels[: arguments.limit]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--limit", type=int, help="use so many images of each part only")
    parser.add_argument("--preprocess", nargs="+", default=["default", "squash"])
    parser.add_argument("--heads", nargs="+", default=["logistic", "svm"])
    parser.add_argument("--cache", default="cache", help="folder of the embeddings (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
