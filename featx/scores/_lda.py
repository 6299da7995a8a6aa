"""lda_score: a linear classifier in closed form, tested on the rows that it leaves out."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from featx.evaluation import check_classes, check_embeddings, check_groups, tied_accuracy
from featx.scores._shrinkage import shrunk_covariance

_LEAST = 1e-6  # share of the identity in the covariance, which then has an inverse


def lda_score(Z: Any, y: Any, *, groups: Any = None) -> float:
    r"""Leave-one-out accuracy of linear discriminant analysis with a shrunk covariance.

    Row i is given to the class c with the largest

    .. math:: \log n_c^{(i)} - \tfrac 12 (z_i - \mu_c^{(i)})^T (\Sigma^{(i)})^{-1} (z_i - \mu_c^{(i)}), \quad
              \Sigma = (1 - \alpha) S + \alpha \frac{\mathrm{tr}\,S}{d} I

    with S the covariance within classes, :math:`\alpha` Ledoit and Wolf's, and (i) for "without
    row i", or without its group. Leaving rows out takes their outer products from :math:`\Sigma`, so all
    models follow from one factorisation (Sherman, Morrison and Woodbury's formula); :math:`\alpha`, tr S
    and the divisor n stay those of all rows.

    Parameters
    ----------
    Z : array of shape (n, dim)
    y : array of shape (n,)
        Classes.
    groups : array of shape (n,), default=None
        Rows of one group (a patient, copies of an image) are left out together. A missing one is of none.

    Returns
    -------
    float
        From 0 to 1, higher is better. The row of a class that has no other, or none in another group, counts as
        wrong, and one for which m classes are tied as 1/m if its own is one of them.

    Raises
    ------
    InputError
        If Z has rows that are not finite, y is no classes, or groups are not one a row or all the same.

    Notes
    -----
    Like SFDA (Shao et al. 2022, arXiv:2207.03036) it is a regularised Fisher discriminant, but
    one that is scored on rows that it has not seen: with more columns than rows every linear
    classifier is right on those that it has. The accuracy and not the likelihood, for the
    discriminant's probabilities are too sure of themselves with many columns.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from featx.scores import lda_score
    >>> Z, y = load_digits(return_X_y=True)
    >>> round(lda_score(Z, y), 2)
    0.96
    """
    Z = check_embeddings(Z)
    codes, _ = check_classes(y, len(Z))
    groups = check_groups(groups, len(Z))
    Z = Z / (np.abs(Z).max() or 1.0)
    Z -= Z[0]  # constant columns become zero, not rounding errors of their mean
    counts = np.bincount(codes)
    means = _class_means(Z, codes, counts)
    deviation = Z - means[codes]
    whitener, weight = _whitener(deviation)
    parts = deviation @ whitener, means @ whitener, codes, counts, weight
    alone = groups.max() == len(Z) - 1
    return tied_accuracy(_evidence(*parts) if alone else _evidence_without_groups(*parts, groups), codes)


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


def _evidence_without_groups(
    deviation: np.ndarray, means: np.ndarray, codes: np.ndarray, counts: np.ndarray, weight: float, groups: np.ndarray
) -> np.ndarray:
    """Of each class for each row, without its group; all in whitened coordinates, where the covariance is 1."""
    evidence = np.empty((len(codes), len(counts)))
    means = means - means.mean(axis=0)  # differences of squares, below, then lose the least
    for rows in np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1]):
        d, own = deviation[rows], codes[rows]
        members = (own == np.arange(len(counts))[:, None]).astype(np.float64)
        gone = members.sum(axis=1)
        left = counts - gone
        # Without m of its n rows, which lie e from it in the mean, a class's mean moves by -m e / (n - m), and its
        # scatter loses their outer products and m^2 / (n - m) e e^T.
        total = members @ d / np.sqrt(np.maximum(left, 1))[:, None]
        moved = means - total / np.sqrt(np.maximum(left, 1))[:, None]
        lost = np.concatenate([d, total[gone > 0]])
        inverse = weight * np.linalg.inv(np.eye(len(lost)) - weight * lost @ lost.T)  # of Woodbury's formula
        distance = _distances(d + means[own], moved) + _distances((d + means[own]) @ lost.T, moved @ lost.T, inverse)
        evidence[rows] = np.where(left > 0, np.log(np.maximum(left, 1)) - distance / 2, -np.inf)
    return evidence


def _distances(first: np.ndarray, second: np.ndarray, form: np.ndarray | None = None) -> np.ndarray:
    """Of each row of one to each of the other, (a - b)^T form (a - b)."""
    one, other = (first, second) if form is None else (first @ form, second @ form)
    return (one * first).sum(axis=1)[:, None] + (other * second).sum(axis=1) - 2 * one @ second.T


def _gaps(means: np.ndarray) -> np.ndarray:
    """Squared distances between means."""
    length = (means**2).sum(axis=1)
    return np.maximum(length[:, None] + length - 2 * means @ means.T, 0)
