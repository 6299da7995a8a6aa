"""Accuracy where several classes may be tied for a row."""

from __future__ import annotations

import numpy as np

_TIE = 1e-9


def mean_credit(evidence: np.ndarray, codes: np.ndarray) -> float:
    """Share of rows whose own class has the most evidence; m tied classes share the row, 1/m each.

    Ties so depend neither on the order of the rows nor on the names of the classes.

    Parameters
    ----------
    evidence : ndarray of shape (n, n_classes)
        The more the likelier; -inf for a class that cannot be.
    codes : ndarray of shape (n,)

    Examples
    --------
    >>> import numpy as np
    >>> from featx.scores._credit import mean_credit
    >>> mean_credit(np.array([[2.0, 1.0], [1.0, 1.0]]), np.array([0, 1]))
    0.75
    """
    most = evidence.max(axis=1, keepdims=True)
    best = evidence >= most - _TIE * np.abs(most)
    return float((best[np.arange(len(codes)), codes] / best.sum(axis=1)).mean())
