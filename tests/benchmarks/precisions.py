"""What each precision costs and gains here: compare_precisions on Fashion-MNIST's test images, squashed."""

from __future__ import annotations

import argparse
from pathlib import Path

import featx
from tests.benchmarks.fashion import DATA, read_fashion


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    images, labels = read_fashion(arguments.data)
    encoder = featx.ImageEncoder(preprocess="squash", cache=False, verbose=0)
    table = featx.compare_precisions(images[: arguments.images], encoder, labels[: arguments.images])
    print(table.drop(columns="note").to_string(float_format="{:.4f}".format))
    for precision, note in table["note"][table["note"] != ""].items():
        print(f"{precision}: {note}")


if __name__ == "__main__":
    main()
