"""Small sets of real photos that pip installs: does transfer help on them? One of them is the quickstart's default.

    python -m tests.benchmarks.quickstart
    pip install elpv-dataset    # for its row: 91 MB, CC BY-NC-SA 4.0

The default was chosen before any was measured: it needs no package beside the extra `report`, is in color, and its
folds are separate parts of the photos.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

import numpy as np
from PIL import Image
from skimage import data
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

import featx

DRAWN = 800


def compare(name: str, images: Sequence[np.ndarray], y: np.ndarray) -> None:
    """Print accuracy with transfer and on raw pixels under the same head, and their paired difference in points."""
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    model = featx.image_pipeline("logistic", cache="cache")
    small = featx.Preprocess(16, fit="squash")
    raw = np.stack([small(Image.fromarray(image).convert("RGB")).ravel() / 255 for image in images])
    without = make_pipeline(*(clone(step) for _, step in model.steps[1:]))
    right = cross_val_predict(model, list(images), y, cv=folds) == y
    plain = cross_val_predict(without, raw, y, cv=folds) == y
    gain = right.astype(float) - plain
    error = 100 * gain.std() / np.sqrt(len(gain))
    print(
        f"| {name} | {len(y):,} | {right.mean():.3f} | {plain.mean():.3f} | {100 * gain.mean():+.1f} +- {error:.1f} |"
    )


def main() -> None:
    print("| | images | with transfer | raw pixels | points |\n|---|---|---|---|---|")
    faces = (data.lfw_subset() * 255).round().astype("uint8")
    compare("faces or not, 25 x 25, of scikit-image", faces, np.repeat([1, 0], len(faces) // 2))
    digits = load_digits()
    compare("scanned digits, 8 x 8, of scikit-learn", (digits.images * 255 / 16).astype("uint8"), digits.target)
    if importlib.util.find_spec("elpv_dataset"):
        from elpv_dataset.utils import load_dataset

        cells, defect, _ = load_dataset()
        sure = np.random.default_rng(0).permutation(np.flatnonzero(np.isin(defect, [0, 1])))[:DRAWN]
        compare("solar cells, defect or not, 300 x 300", cells[sure], (defect[sure] > 0).astype(int))


if __name__ == "__main__":
    main()
