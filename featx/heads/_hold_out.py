"""A validation split that every class outlives."""

from __future__ import annotations

import numpy as np


def hold_out(codes: np.ndarray, fraction: float, random: np.random.RandomState) -> np.ndarray:
    """Choose a share of each class that leaves some of it; none of a class of one row.

    Parameters
    ----------
    codes : ndarray of shape (n,), int
        Classes as 0, 1, ...
    fraction : float
        Of each class; at least one row.
    random : RandomState

    Returns
    -------
    ndarray of shape (n,), bool
        True where a row is held out.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.heads._hold_out import hold_out
    >>> hold_out(np.array([0, 0, 0, 0, 1]), 0.5, np.random.RandomState(0)).sum()
    np.int64(2)
    """
    held_out = np.zeros(len(codes), bool)
    for code in range(codes.max() + 1):
        rows = random.permutation(np.flatnonzero(codes == code))
        held_out[rows[: min(max(1, round(fraction * len(rows))), len(rows) - 1)]] = True
    return held_out
