"""Ledoit and Wolf's shrinkage, from rows that are centred already."""

from __future__ import annotations

import numpy as np


def shrunk_covariance(X: np.ndarray) -> tuple[np.ndarray, float]:
    """Covariance of centred rows, drawn to a multiple of the identity, and how far.

    The same as `sklearn.covariance.ledoit_wolf`, with one product of matrices and not three.

    Parameters
    ----------
    X : ndarray of shape (n, dim)
        Centred.

    Returns
    -------
    covariance : ndarray of shape (dim, dim)
        (1 - shrinkage) X^T X / n + shrinkage * (its mean variance) I
    shrinkage : float
        From 0 to 1; 0 where there is nothing to draw.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.scores._shrinkage import shrunk_covariance
    >>> covariance, shrinkage = shrunk_covariance(np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]]))
    >>> covariance.tolist(), shrinkage
    ([[0.5, 0.0], [0.0, 0.5]], 0.0)
    """
    n, dim = X.shape
    covariance = X.T @ X / n
    variance = np.trace(covariance) / dim
    square = (covariance**2).sum()
    distance = square - dim * variance**2  # from the identity
    spread = (((X**2).sum(axis=1) ** 2).mean() - square) / n  # of the covariance's entries
    shrinkage = float(np.clip(spread / distance, 0, 1)) if distance > 1e-15 * square else 0.0
    covariance *= 1 - shrinkage
    covariance[np.diag_indices(dim)] += shrinkage * variance
    return covariance, shrinkage
