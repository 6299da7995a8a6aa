"""Rows to hold a bundle against its pipeline: the user's, or built-in ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from featx.deploy.export._inputs import ValueInput
from featx.deploy.export._strip import Stripped

_SIDES = (64, 120, 200, 320)
_NUMBERS = (0.0, 1.0, -1.0, 0.5, 2.0, 10.0, 100.0)


def builtin_sample(stripped: Stripped) -> Any:
    """Make rows that a pipeline takes.

    Parameters
    ----------
    stripped : Stripped

    Returns
    -------
    list of ndarray, or pandas.DataFrame
        32 parts of scikit-learn's two photos, uint8; in a table where the pipeline
        has other columns: a few numbers, some of the size that scalers were fitted on, and each of the
        known categories.
    """
    images = _crops()
    if not stripped.is_table:
        return images
    import pandas as pd

    columns = {image.name: pd.Series(images[i:] + images[:i]) for i, image in enumerate(stripped.images)}
    columns |= {value.name: _values(value, len(images), i) for i, value in enumerate(stripped.values)}
    return pd.DataFrame(columns)


def _crops() -> list[np.ndarray]:
    """Parts of several sizes and shapes, some of them grey."""
    from sklearn.datasets import load_sample_images

    photos = load_sample_images().images
    crops = []
    for i in range(32):
        height, width = _SIDES[i % 4], _SIDES[i // 4 % 4]
        y, x = 13 * i % (427 - height), 29 * i % (640 - width)
        crop = np.ascontiguousarray(photos[i % 2][y : y + height, x : x + width])
        crops.append(crop[:, :, 1] if i % 8 == 7 else crop)
    return crops


def _values(value: ValueInput, n: int, shift: int) -> list[Any]:
    choices = value.categories or [*value.typical, *_NUMBERS]
    return [choices[(i + shift) % len(choices)] for i in range(n)]
