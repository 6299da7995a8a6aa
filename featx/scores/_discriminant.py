"""Scores from class means and a shrunk covariance: the H-score and linear discriminant analysis."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import solve_triangular
from sklearn.covariance import ledoit_wolf

from featx.evaluation import check_classes, check_embeddings, check_groups, tied_accuracy
from featx.scores._logme import eigen

_LEAST = 1e-6  # share of the identity in the covariance, so that it can be inverted


def hscore(embeddings: Any, y: Any) -> float:
    r"""Compute the H-score with a shrunk covariance: variance between classes, relative to the whole.

    .. math:: \mathrm{tr}\left(\Sigma_\alpha^+ \; (1 - \alpha) \, \mathrm{cov}(E[Z | y])\right), \quad
              \Sigma_\alpha = (1 - \alpha) \, \mathrm{cov}(Z) + \alpha \frac{\mathrm{tr}\,\mathrm{cov}(Z)}{d} I

    The H-score was introduced by Bao et al. (2019). :math:`\alpha` is the shrinkage of Ledoit and Wolf, as in the
    shrinkage-based H-score of Ibrahim et al. (2021, arXiv:2110.06893), which is also valid with fewer rows than
    columns.

    Parameters
    ----------
    embeddings : array of shape (n, dim)
        The embeddings Z.
    y : array of shape (n,)
        Classes.

    Returns
    -------
    float
        From 0 to the number of classes less one, higher is better; 0 if all rows are the same.

    Raises
    ------
    InputError
        If embeddings have rows that are not finite, or y does not hold classes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from featx.scores import hscore
    >>> X, y = load_digits(return_X_y=True)
    >>> round(hscore(X, y), 2)
    5.85
    """
    Z = check_embeddings(embeddings)
    codes, classes = check_classes(y, len(Z))
    Z = Z / (np.abs(Z).max() or 1.0)
    Z -= Z[0]  # constant columns become zero, not rounding errors of their mean
    Z -= Z.mean(axis=0)
    covariance, shrinkage = _shrunk_covariance(Z)
    counts = np.bincount(codes, minlength=len(classes))
    values, vectors = eigen(covariance)
    kept = values > values[-1] * len(values) * np.finfo(float).eps
    between = ((_class_means(Z, codes, counts) @ vectors[:, kept]) ** 2 / values[kept]).sum(axis=1)
    return float((1 - shrinkage) * (counts / len(Z)) @ between)


def lda_score(embeddings: Any, y: Any, *, groups: Any = None) -> float:
    r"""Compute the leave-one-out accuracy of linear discriminant analysis with a shrunk covariance.

    Row i is assigned to the class c with the largest

    .. math:: \log n_c^{(i)} - \tfrac 12 (z_i - \mu_c^{(i)})^T (\Sigma^{(i)})^{-1} (z_i - \mu_c^{(i)}), \quad
              \Sigma = (1 - \alpha) S + \alpha \frac{\mathrm{tr}\,S}{d} I

    where S is the covariance within classes, :math:`\alpha` is the shrinkage of Ledoit and Wolf, and (i) means "without
    row i", or without its group. Leaving rows out subtracts their outer products from :math:`\Sigma`, so all models
    follow from one factorization (the formula of Sherman, Morrison and Woodbury); :math:`\alpha`, tr S and the divisor
    n are those of all rows.

    Parameters
    ----------
    embeddings : array of shape (n, dim)
        The embeddings Z.
    y : array of shape (n,)
        Classes.
    groups : array of shape (n,), default=None
        Rows of one group (a patient, copies of an image) are left out together. A row whose group is missing stands
        alone.

    Returns
    -------
    float
        From 0 to 1, higher is better. The only row of a class, or of a class with rows in one group only, counts as
        wrong. A row whose own class is one of m tied classes counts 1/m.

    Raises
    ------
    InputError
        If embeddings have rows that are not finite, y does not hold classes, or groups do not have one value per row or
        are all the same.

    Notes
    -----
    Like SFDA (Shao et al. 2022, arXiv:2207.03036) it is a regularized Fisher discriminant, but it is scored on rows
    that were left out: with more columns than rows every linear classifier is right on its training rows. It uses the
    accuracy and not the likelihood, since with many columns the probabilities of the discriminant are overconfident.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from featx.scores import lda_score
    >>> X, y = load_digits(return_X_y=True)
    >>> round(lda_score(X, y), 2)
    0.96
    """
    Z = check_embeddings(embeddings)
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


def _shrunk_covariance(centered: np.ndarray) -> tuple[np.ndarray, float]:
    # In one block: scikit-learn's default, 1,000 columns at a time, takes 2.5 times as long for 1,280.
    return ledoit_wolf(centered, assume_centered=True, block_size=centered.shape[1])


def _class_means(Z: np.ndarray, codes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return ((codes == np.arange(len(counts))[:, None]).astype(np.float64) @ Z) / counts[:, None]


def _whitener(deviation: np.ndarray) -> tuple[np.ndarray, float]:
    """Compute W with W W^T the inverse of the shrunk covariance, and the weight of a row's outer product in it."""
    n, dim = deviation.shape
    covariance, shrinkage = _shrunk_covariance(deviation)
    covariance[np.diag_indices(dim)] += (_LEAST * np.trace(covariance) / dim) or 1.0
    factor = np.linalg.cholesky(covariance)
    return solve_triangular(factor, np.eye(dim), lower=True).T, (1 - shrinkage) / n


def _evidence(
    deviation: np.ndarray, means: np.ndarray, codes: np.ndarray, counts: np.ndarray, weight: float
) -> np.ndarray:
    """Compute the evidence of each class for each row, without that row; all in whitened coordinates."""
    rows = np.arange(len(codes))
    own = counts[codes]
    others = np.maximum(own - 1, 1)
    length = (deviation**2).sum(axis=1)  # |d|^2, where d = z_i - the mean of its class
    toward = deviation @ means.T
    step = toward[rows, codes][:, None] - toward  # d.(own mean - mean_c)
    along = length[:, None] + step  # d.(z_i - mean_c)
    distance = length[:, None] + 2 * step + _gaps(means)[codes]
    lever = weight * own / others
    distance += along**2 * (lever / np.maximum(1 - lever * length, np.finfo(float).eps))[:, None]
    distance[rows, codes] *= (own / others) ** 2  # without the row, the mean of its class is that much farther
    n_left = np.repeat(counts[None].astype(np.float64), len(codes), axis=0)
    n_left[rows, codes] = own - 1
    return np.where(n_left > 0, np.log(np.maximum(n_left, 1)) - distance / 2, -np.inf)


def _evidence_without_groups(
    deviation: np.ndarray, means: np.ndarray, codes: np.ndarray, counts: np.ndarray, weight: float, groups: np.ndarray
) -> np.ndarray:
    """Compute the evidence of each class for each row, without its group; in whitened coordinates (covariance 1)."""
    evidence: np.ndarray = np.empty((len(codes), len(counts)))
    means = means - means.mean(axis=0)  # then the differences of squares below lose least
    for rows in np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1]):
        d, own = deviation[rows], codes[rows]
        members = (own == np.arange(len(counts))[:, None]).astype(np.float64)
        gone = members.sum(axis=1)
        left = counts - gone
        # Without m of its n rows, which lie e from it on average, the mean of a class moves by -m e / (n - m), and its
        # scatter loses their outer products and m^2 / (n - m) e e^T.
        total = members @ d / np.sqrt(np.maximum(left, 1))[:, None]
        moved = means - total / np.sqrt(np.maximum(left, 1))[:, None]
        lost = np.concatenate([d, total[gone > 0]])
        inverse = weight * np.linalg.inv(np.eye(len(lost)) - weight * lost @ lost.T)  # in Woodbury's formula
        distance = _distances(d + means[own], moved) + _distances((d + means[own]) @ lost.T, moved @ lost.T, inverse)
        evidence[rows] = np.where(left > 0, np.log(np.maximum(left, 1)) - distance / 2, -np.inf)
    return evidence


def _distances(first: np.ndarray, second: np.ndarray, form: np.ndarray | None = None) -> np.ndarray:
    """Compute (a - b)^T form (a - b) for each row a of the first array and each row b of the second."""
    one, other = (first, second) if form is None else (first @ form, second @ form)
    return (one * first).sum(axis=1)[:, None] + (other * second).sum(axis=1) - 2 * one @ second.T


def _gaps(means: np.ndarray) -> np.ndarray:
    """Compute the squared distances between means."""
    length = (means**2).sum(axis=1)
    return np.maximum(length[:, None] + length - 2 * means @ means.T, 0)
