"""Small real images for training: scikit-learn's digits, and crops of its photos."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
from sklearn.datasets import load_digits


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """300 scans, uint8 (n, 8, 8), of the digits 0, 1 and 2, and what they show."""
    data = load_digits(n_class=3)
    return (data.images[:300] * 255 / 16).astype(np.uint8), np.array(["zero", "one", "two"])[data.target[:300]]


@pytest.fixture(scope="session")
def labels() -> np.ndarray:
    """Which photo a crop is of."""
    return np.array(["china"] * 20 + ["flower"] * 20)


@pytest.fixture
def full_disk():
    """Files cannot grow beyond so many bytes, as on a full disk."""
    resource = pytest.importorskip("resource", reason="Windows limits no file's size")

    @contextmanager
    def limited(n_bytes: int):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
