"""A table of images and other columns, and encoders that are cheap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import featx


@pytest.fixture(scope="module")
def encoder(tiny, tmp_path_factory) -> Callable[..., featx.ImageEncoder]:
    """Makes encoders that share a store."""
    store = tmp_path_factory.mktemp("store")
    return lambda **parameters: featx.ImageEncoder(tiny, **{"cache": store, "verbose": 0, **parameters})


@pytest.fixture(scope="module")
def table(crops) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "photo": crops,
            "back": crops[::-1],
            "price": random.normal(5, 2, len(crops)),
            "weight": random.integers(1, 9, len(crops)),
            "colour": ["red", "green", "blue", "green"] * 10,
            "shelf": [3, 5, 7, 9, 3] * 8,
            "new": [True, False, False, True] * 10,
        }
    )


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return np.array(["cat", "dog"] * 20)
