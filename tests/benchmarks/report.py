"""Does transfer help, where it should and where it should not; and what a report of 5,000 images costs.

Fashion-MNIST for the first, scikit-learn's digits (8 x 8 pixels, centered) for the second. The encoder's rows are
cached first, so that the seconds are those of a warm report: five folds, every feature set, the strength of the head
chosen once per set and size, then the page.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import featx
from featx.compare import TransferReport
from tests.benchmarks.fashion import DATA, read_fashion


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=5_000, help="images of Fashion-MNIST")
    parser.add_argument("--cache", default="cache")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--pages", type=Path, help="a folder for the pages")
    arguments = parser.parse_args()
    images, labels = read_fashion(arguments.data)
    tasks = {
        "fashion": (list(images[: arguments.n]), labels[: arguments.n]),
        "digits": digits(),
    }
    encoder = featx.ImageEncoder(cache=arguments.cache, preprocess="squash", verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        for name, (X, y) in tasks.items():
            print(f"\n{name}: {len(X):,} images")
            timed_report(X, y, encoder, (arguments.pages or Path(folder)) / f"{name}.html")


def timed_report(images: list[np.ndarray], y: np.ndarray, encoder: featx.ImageEncoder, page: Path) -> TransferReport:
    """Print what a report says, and what it took."""
    featx.precompute(images, [encoder, featx.ImageEncoder(**{**encoder.get_params(), "weights": "random"})])
    started = time.perf_counter()
    report = featx.transfer_report(images, y, encoder=encoder)
    learned = time.perf_counter()
    report.to_html(page)
    drawn, megabytes = time.perf_counter(), page.stat().st_size / 1e6
    print(report)
    print(f"report {learned - started:.0f} s, page {drawn - learned:.0f} s, {megabytes:.1f} MB")
    return report


def digits() -> tuple[list[np.ndarray], np.ndarray]:
    found = load_digits()
    return list((found.images * 15.9).astype(np.uint8)), found.target


if __name__ == "__main__":
    main()
