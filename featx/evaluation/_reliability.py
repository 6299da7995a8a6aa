"""Reliability: how often labels are right among those that were said with a certain probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_BINS = 10


def reliability(probability: np.ndarray, right: np.ndarray, n_bins: int = _BINS) -> list[dict[str, Any]]:
    """Compare probabilities with how often they were right, in bins of equal width.

    Parameters
    ----------
    probability : ndarray of shape (n,), float64
        Of each predicted label, from 0 to 1.
    right : ndarray of shape (n,), bool
        Whether that label was right.
    n_bins : int, default=10
        How many bins; those without rows are left out.

    Returns
    -------
    list of dict
        Of each bin: ``low`` and ``high`` (its bounds), ``rows``, ``probability`` (the mean) and ``right`` (the share).

    Examples
    --------
    >>> import numpy as np
    >>> from featx.evaluation import reliability
    >>> reliability(np.array([0.95, 0.97]), np.array([True, False]))[0]["right"]
    0.5
    """
    place = np.minimum((probability * n_bins).astype(int), n_bins - 1)
    bins = []
    for i in np.unique(place).tolist():
        rows = place == i
        bins.append(
            {
                "low": i / n_bins,
                "high": (i + 1) / n_bins,
                "rows": int(rows.sum()),
                "probability": float(probability[rows].mean()),
                "right": float(right[rows].mean()),
            }
        )
    return bins


def calibration_error(bins: Sequence[Mapping[str, Any]]) -> float:
    """Return the mean distance of probability and share that was right, over rows: the expected calibration error."""
    rows = sum(entry["rows"] for entry in bins)
    return sum(entry["rows"] * abs(entry["probability"] - entry["right"]) for entry in bins) / rows
