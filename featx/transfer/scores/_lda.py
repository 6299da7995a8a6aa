"""lda_score: a linear classifier in closed form, tested on the rows that it leaves out."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from featx.transfer._check import check_classes, check_embeddings
from featx.transfer.scores._credit import mean_credit
from featx.transfer.scores._shrinkage import shrunk_covariance

_LEAST = 1e-6  # share of the identity in the covariance, which then has an inverse


def lda_score(Z: Any, y: Any) -> float:
    r"""Leave-one-out accuracy of linear discriminant analysis with a shrunk covariance.

    Row i is given to the class c with the largest

    .. math:: \log n_c^{(i)} - \tfrac 12 (z_i - \mu_c^{(i)})^T (\Sigma^{(i)})^{-1} (z_i - \mu_c^{(i)}), \quad
              \Sigma = (1 - \alpha) S + \alpha \frac{\mathrm{tr}\,S}{d} I

    with S the covariance within classes, :math:`\alpha` Ledoit and Wolf's, and (i) for "without
    row i". Leaving a row out takes its outer product from :math:`\Sigma`, so all n models follow
    from one factorisation (Sherman and Morrison's formula); :math:`\alpha`, tr S and the divisor n
    stay those of all rows.

    Parameters
    ----------
    Z : array of shape (n, dim)
    y : array of shape (n,)
        Classes.

    Returns
    -------
    float
        From 0 to 1, higher is better. The row of a class that has no other counts as wrong, and
        one for which m classes are tied as 1/m if its own is one of them.

    Raises
    ------
    InputError
        If Z has rows that are not finite, or y is no classes.

    Notes
    -----
    Like SFDA (Shao et al. 2022, arXiv:2207.03036) it is a regularised Fisher discriminant, but
    one that is scored on rows that it has not seen: with more columns than rows every linear
    classifier is right on those that it has. The accuracy and not the likelihood, for the
    discriminant's probabilities are too sure of themselves with many columns.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from featx.transfer.scores import lda_score
    >>> Z, y = load_digits(return_X_y=True)
    >>> round(lda_score(Z, y), 2)
    0.96
    """
    Z = check_embeddings(Z)
    codes, _ = check_classes(y, len(Z))
    Z = Z / (np.abs(Z).max() or 1.0)
    Z -= Z[0]  # constant columns become zero, not rounding errors of their mean
    counts = np.bincount(codes)
    means = _class_means(Z, codes, counts)
    deviation = Z - means[codes]
    whitener, weight = _whitener(deviation)
    return mean_credit(_evidence(deviation @ whitener, means @ whitener, codes, counts, weight), codes)


def _class_means(Z: np.ndarray, codes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return ((codes == np.arange(len(counts))[:, None]).astype(np.float64) @ Z) / counts[:, None]


def _whitener(deviation: np.ndarray) -> tuple[np.ndarray, float]:
    """W with W W^T the inverse of the shrunk covariance, and the weight of a row's outer product in that."""
    n, dim = deviation.shape
    covariance, shrinkage = shrunk_covariance(deviation)
    covariance[np.diag_indices(dim)] += (_LEAST * np.trace(covariance) / dim) or 1.0
    factor = np.linalg.cholesky(covariance)
    return solve_triangular(factor, np.eye(dim), lower=True).T, (1 - shrinkage) / n


def _evidence(
    deviation: np.ndarray, means: np.ndarray, codes: np.ndarray, counts: np.ndarray, weight: float
) -> np.ndarray:
    """Of each class for each row, without that row; all in whitened coordinates."""
    rows = np.arange(len(codes))
    own = counts[codes]
    others = np.maximum(own - 1, 1)
    length = (deviation**2).sum(axis=1)  # |d|^2, d = z_i - its class's mean
    toward = deviation @ means.T
    step = toward[rows, codes][:, None] - toward  # d.(own mean - mean_c)
    along = length[:, None] + step  # d.(z_i - mean_c)
    distance = length[:, None] + 2 * step + _gaps(means)[codes]
    lever = weight * own / others
    distance += along**2 * (lever / np.maximum(1 - lever * length, np.finfo(float).eps))[:, None]
    distance[rows, codes] *= (own / others) ** 2  # the class's mean without the row is that much farther
    n_left = np.repeat(counts[None].astype(np.float64), len(codes), axis=0)
    n_left[rows, codes] = own - 1
    return np.where(n_left > 0, np.log(np.maximum(n_left, 1)) - distance / 2, -np.inf)


def _gaps(means: np.ndarray) -> np.ndarray:
    """Squared distances between means."""
    length = (means**2).sum(axis=1)
    return np.maximum(length[:, None] + length - 2 * means @ means.T, 0)
