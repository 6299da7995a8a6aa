"""Weights of rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from featx.exceptions import InputError


def check_weights(sample_weight: Any, n: int, name: str = "sample_weight") -> np.ndarray:
    """Weights of rows, ones by default.

    Raises
    ------
    InputError
        If they are not n finite numbers of which none is negative and one is positive.
    """
    if sample_weight is None:
        return np.ones(n)
    weights = np.asarray(sample_weight)
    if weights.shape != (n,) or weights.dtype.kind not in "fiub":
        raise InputError(f"Got {name} of shape {weights.shape} and dtype {weights.dtype}. Expected {n:,} numbers.")
    weights = weights.astype(np.float64)
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise InputError(f"Got {name} that is negative, NaN, infinite, or zero everywhere.")
    return weights
