"""How far cheap scores rank encoders and layers as the 5-fold probe does: weighted Kendall tau, on three real tasks.

Fashion-MNIST and scikit-learn's digits, and patches of scikit-learn's two photos told apart by where they are from
(16 regions). Candidates are EfficientNet-Lite0, -1, -2, Lite0 with random weights, each by several layers.
Three quarters of the images are ranked. The probe on the last quarter says which candidate is truly best, and whether
the ranking had it within one standard error of its top.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits, load_sample_images
from sklearn.model_selection import train_test_split

import featx
from tests.benchmarks.fashion import read_fashion

SCORES = ("knn", "logme", "hscore", "lda", "leep", "nce", "probe")
_PATCH = 48


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=10_000, help="images of Fashion-MNIST")
    parser.add_argument("--encoders", default="efficientnet_lite0,efficientnet_lite1,efficientnet_lite2")
    parser.add_argument("--layers", default="early,middle,late,feature")
    arguments = parser.parse_args()
    encoders = [featx.ImageEncoder(name, preprocess="squash") for name in arguments.encoders.split(",")]
    encoders.append(featx.ImageEncoder(weights="random", preprocess="squash"))
    taus = {}
    for name, (images, y) in {"fashion": fashion(arguments.n), "digits": digits(), "photos": patches()}.items():
        most, rest = train_test_split(np.arange(len(y)), stratify=y, random_state=0)
        tables = []
        for rows in (most, rest):
            layers = arguments.layers.split(",")
            tables.append(
                featx.rank_encoders([images[i] for i in rows], y[rows], encoders, layers=layers, scores=SCORES)
            )
        table, truth = tables
        taus[name] = table.attrs["agreement"]
        print(f"\n{name}: {len(most):,} images\n{table.drop(columns=['license', 'download']).to_string(index=False)}")
        print(table.attrs["sentence"])
        print("the best of the other part is within one standard error of the top:", within(table, truth))
    print(f"\nweighted Kendall tau with the probe\n{pd.DataFrame(taus).T.round(2)}")


def within(table: pd.DataFrame, truth: pd.DataFrame) -> bool:
    """Whether what is best on other images is within a standard error of the ranking's best."""
    key = ["encoder", "weights", "layer"]
    best = truth.loc[0, key].tolist()
    row = table[(table[key] == best).all(axis=1)].iloc[0]
    # The interval is Student's over five folds, 2.78 standard errors each side.
    error = (table["probe_high"][0] - table["probe_low"][0]) / (2 * 2.776)
    return bool(table["probe"][0] - row["probe"] <= error)


def fashion(n: int) -> tuple[list[np.ndarray], np.ndarray]:
    images, y = read_fashion()
    return list(images[:n]), np.asarray(y[:n])


def digits() -> tuple[list[np.ndarray], np.ndarray]:
    images, y = load_digits(return_X_y=True)
    return list((images.reshape(-1, 8, 8) * 15.9).astype(np.uint8)), y


def patches() -> tuple[list[np.ndarray], np.ndarray]:
    """Patches of two photos; a label is one of eight regions of one of them, and patches do not overlap."""
    found, labels = [], []
    for i, photo in enumerate(load_sample_images().images):
        height, width = (side // _PATCH for side in photo.shape[:2])
        for row in range(height):
            for column in range(width):
                y, x = row * _PATCH, column * _PATCH
                for dy, dx in ((0, 0), (0, _PATCH // 2), (_PATCH // 2, 0), (_PATCH // 2, _PATCH // 2)):
                    side = _PATCH // 2
                    found.append(np.ascontiguousarray(photo[y + dy : y + dy + side, x + dx : x + dx + side]))
                    labels.append(8 * i + 4 * (2 * row >= height) + 4 * column // width)
    return found, np.array(labels)


if __name__ == "__main__":
    main()
