"""Small real images for training: scikit-learn's digits."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """300 scans, uint8 (n, 8, 8), of the digits 0, 1 and 2, and what they show."""
    data = load_digits(n_class=3)
    return (data.images[:300] * 255 / 16).astype(np.uint8), np.array(["zero", "one", "two"])[data.target[:300]]
