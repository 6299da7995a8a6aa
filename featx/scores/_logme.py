"""LogME: the evidence of a Bayesian linear model, at its maximum."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np

from featx._blas import one_blas_thread
from featx.evaluation import check_classes, check_embeddings, check_targets, is_regression
from featx.exceptions import InputError

_RANGE = np.log(1e10)  # log t is searched this far below and above the largest eigenvalue
_STEP = 0.25  # in log t: the evidence is a sum of logistic curves in it, which this step does not miss
_ZOOMS = 12  # each divides the step by four, down to 1e-8, where the evidence is flat to far below 1e-9
_SMALL = 2048


class _Spectrum(NamedTuple):
    """What the evidence needs of Z and the targets; r is the rank of Z, m the number of targets."""

    eigenvalues: np.ndarray  # (r,), those of Z Z^T
    energy: np.ndarray  # (r, m), squared coordinates of the targets along its eigenvectors
    rest: np.ndarray  # (m,), squared length of the targets outside them
    n: int


def logme_score(embeddings: Any, y: Any, *, task: str = "auto") -> float:
    r"""Compute the log evidence per row of a Bayesian linear model, at its maximum (LogME).

    With weights :math:`w \sim N(0, \alpha^{-1} I)` and noise of variance :math:`\beta^{-1}` the targets are normally
    distributed, and both parameters are chosen to make the targets most likely (You et al. 2021, arXiv:2102.11005),

    .. math:: \frac 1n \max_{\alpha, \beta} \log N(y; 0, \beta^{-1} I + \alpha^{-1} Z Z^T)

    Classes become one-vs-rest targets 0 and 1. The score is the mean over classes, or over columns of numbers.

    Parameters
    ----------
    embeddings : array of shape (n, dim)
        The embeddings Z.
    y : array of shape (n,) or (n, outputs)
        Classes, or numbers to predict.
    task : {"auto", "classification", "regression"}, default="auto"
        What y holds. With ``"auto"``, text, bools and categories are classes, and numbers with fractions are numbers to
        predict. So are whole numbers if most of them occur in fewer than 5 rows, and a warning reports that.

    Returns
    -------
    float
        Higher is better. Only scores for the same y can be compared.

    Raises
    ------
    InputError
        If embeddings have rows that are not finite, y cannot be used, or a column of numbers is zero throughout.

    Notes
    -----
    With :math:`t = \alpha / \beta`, eigenvalues :math:`\lambda_i` of :math:`Z Z^T` (of its rank r
    only), coordinates :math:`c_i` of y along the eigenvectors and the squared remainder :math:`\rho`, the
    best :math:`\beta` is :math:`n / Q(t)`, :math:`Q(t) = \rho + \sum_i c_i^2 t / (t + \lambda_i)`, so

    .. math:: \log p(t) = -\tfrac n2 \log(2 \pi Q(t) / n) - \tfrac n2 - \tfrac 12 \sum_i \log(1 + \lambda_i / t)

    is maximized over log t alone, on a grid that is refined repeatedly. t stays between 1e-10 and 1e10 times the
    largest eigenvalue. The upper end is a model without weights. At the lower end y is fitted without noise: if the
    rank is n, the evidence has a limit there; if y lies exactly in the span of fewer columns, it would grow without
    bound, and the value at the end is returned.

    As in the paper, the model has no intercept and Z is not centered.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from featx.scores import logme_score
    >>> X, y = load_digits(return_X_y=True)
    >>> round(logme_score(X, y), 2)
    0.27
    """
    Z = check_embeddings(embeddings)
    Z = Z / (np.abs(Z).max() or 1.0)  # changes only the scale of the weights
    spectrum = _spectrum(Z, _targets(y, len(Z), is_regression(y, task)))
    return float(_maximum(spectrum).mean() / len(Z))


def log_evidence(Z: np.ndarray, y: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    """Compute the log of N(y; 0, I / beta + Z Z^T / alpha) for each column of y.

    Parameters
    ----------
    Z : ndarray of shape (n, dim)
        Embeddings.
    y : ndarray of shape (n, outputs)
        Targets.
    alpha : float
        Precision of the weights.
    beta : float
        Precision of the noise.

    Returns
    -------
    ndarray of shape (outputs,)

    Examples
    --------
    >>> import numpy as np
    >>> from featx.scores._logme import log_evidence
    >>> log_evidence(np.zeros((2, 1)), np.zeros((2, 1)), 1.0, 2 * np.pi).tolist()
    [0.0]
    """
    spectrum = _spectrum(Z, y)
    misfit, log_det = _misfit(spectrum, np.log([[alpha / beta]]))
    return (0.5 * (spectrum.n * np.log(beta / (2 * np.pi)) - log_det - beta * misfit))[0]


def eigen(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the eigenvectors of a symmetric matrix, at a speed that does not depend on other load.

    Threads synchronize thousands of times in one decomposition. For 1,280 columns two threads take a third of the time
    of one on an idle machine, and thirty times as long where processors are shared, so small matrices get one thread.

    Parameters
    ----------
    matrix : ndarray of shape (n, n)
        Symmetric.

    Returns
    -------
    values : ndarray of shape (n,)
        Eigenvalues, in ascending order.
    vectors : ndarray of shape (n, n)
        Eigenvectors, in columns.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.scores._logme import eigen
    >>> eigen(np.diag([3.0, 1.0]))[0].tolist()
    [1.0, 3.0]
    """
    with one_blas_thread() if len(matrix) <= _SMALL else nullcontext():
        return np.linalg.eigh(matrix)


def _targets(y: Any, n: int, regression: bool) -> np.ndarray:
    if not regression:
        codes, classes = check_classes(y, n)
        return (codes[:, None] == np.arange(len(classes))).astype(np.float64)
    targets = check_targets(y, n)
    zero = np.flatnonzero(~targets.any(axis=0))
    if len(zero):
        raise InputError(f"Got y with zeros only in column {zero[0]}. Expected numbers that differ: drop the column.")
    return targets


def _spectrum(Z: np.ndarray, targets: np.ndarray) -> _Spectrum:
    n, dim = Z.shape
    wide = n <= dim
    eigenvalues, vectors = eigen(Z @ Z.T if wide else Z.T @ Z)
    kept = eigenvalues > eigenvalues[-1] * max(n, dim) * np.finfo(float).eps
    eigenvalues, vectors = eigenvalues[kept], vectors[:, kept]
    if wide:
        along = vectors.T @ targets
        rest = targets - vectors @ along
    else:
        along = (vectors.T @ (Z.T @ targets)) / np.sqrt(eigenvalues)[:, None]
        rest = targets - Z @ (vectors @ (along / np.sqrt(eigenvalues)[:, None]))  # a difference of squares would cancel
    return _Spectrum(eigenvalues, along**2, (rest**2).sum(axis=0), n)


def _misfit(spectrum: _Spectrum, log_t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute Q(t) and the sum of log(1 + eigenvalue / t).

    log t has the shape (steps, targets), or (steps, 1) if all targets share it.
    """
    misfit, log_det = [], []
    eigenvalues = spectrum.eigenvalues[:, None]
    for t in np.exp(log_t):
        misfit.append(spectrum.rest + (t / (t + eigenvalues) * spectrum.energy).sum(axis=0))
        log_det.append(np.log1p(eigenvalues / t).sum(axis=0))
    return np.array(misfit), np.array(log_det)


def _profile(spectrum: _Spectrum, log_t: np.ndarray) -> np.ndarray:
    """Compute the log evidence at the best beta, of shape (steps, targets)."""
    misfit, log_det = _misfit(spectrum, log_t)
    return -0.5 * (spectrum.n * (np.log(2 * np.pi * misfit / spectrum.n) + 1) + log_det)


def _maximum(spectrum: _Spectrum) -> np.ndarray:
    """Find the best log evidence of each target, of shape (targets,)."""
    center = np.log(spectrum.eigenvalues.max(initial=0.0) or 1.0)
    low, high = center - _RANGE, center + _RANGE
    steps = np.linspace(low, high, int(2 * _RANGE / _STEP))[:, None]
    values = _profile(spectrum, steps)
    best, width = steps[values.argmax(axis=0), 0], steps[1, 0] - steps[0, 0]
    for _ in range(_ZOOMS):
        near = np.clip(best + width * np.linspace(-1, 1, 9)[:, None], low, high)
        values = _profile(spectrum, near)
        best, width = near[values.argmax(axis=0), np.arange(near.shape[1])], width / 4
    return values.max(axis=0)
