"""logme_score: the evidence of a Bayesian linear model, at its maximum."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from featx.evaluation import check_classes, check_embeddings, check_targets, is_regression
from featx.exceptions import InputError
from featx.scores._eigen import eigen

_RANGE = np.log(1e10)  # t is sought this far from the largest eigenvalue, both ways
_STEP = 0.25  # of log t: the evidence is a sum of logistic curves in it, which this does not miss
_ZOOMS = 12  # each four times nearer: a step of 1e-8, where the evidence is flat to far below 1e-9


class _Spectrum(NamedTuple):
    """What the evidence asks of Z and the targets; r is the rank of Z, m the number of targets."""

    eigenvalues: np.ndarray  # (r,), of Z Z^T
    energy: np.ndarray  # (r, m), squared coordinates of the targets along its eigenvectors
    rest: np.ndarray  # (m,), squared length of the targets outside them
    n: int


def logme_score(Z: Any, y: Any, *, task: str = "auto") -> float:
    r"""Log evidence per row of a Bayesian linear model, at its maximum (LogME).

    With weights :math:`w \sim N(0, \alpha^{-1} I)` and noise :math:`\beta^{-1}` the targets
    are normal, and both are chosen to make them likeliest (You et al. 2021, arXiv:2102.11005):

    .. math:: \frac 1n \max_{\alpha, \beta} \log N(y; 0, \beta^{-1} I + \alpha^{-1} Z Z^T)

    Classes are one-vs-rest targets 0 and 1; the mean over classes, or over columns of numbers.

    Parameters
    ----------
    Z : array of shape (n, dim)
    y : array of shape (n,) or (n, outputs)
        Classes, or numbers to predict.
    task : {"auto", "classification", "regression"}, default="auto"
        ``"auto"``: text, bools and categories are classes, numbers with fractions are to be predicted; whole ones too
        if most values occur in fewer than 5 rows, and a warning says so.

    Returns
    -------
    float
        Higher is better; comparable between embeddings for the same y only.

    Raises
    ------
    InputError
        If Z has rows that are not finite, y is neither, or a column of y is zero throughout.

    Notes
    -----
    With :math:`t = \alpha / \beta`, eigenvalues :math:`\lambda_i` of :math:`Z Z^T` (of its rank r
    only), coordinates :math:`c_i` of y along the eigenvectors and the squared rest :math:`\rho`,
    the best :math:`\beta` is :math:`n / Q(t)`, :math:`Q(t) = \rho + \sum_i c_i^2 t / (t + \lambda_i)`, so

    .. math:: \log p(t) = -\tfrac n2 \log(2 \pi Q(t) / n) - \tfrac n2 - \tfrac 12 \sum_i \log(1 + \lambda_i / t)

    is maximised over log t alone: on a grid, then ever finer. t stays between 1e-10 and 1e10
    times the largest eigenvalue. The upper end is a model without weights. At the lower one y is
    fitted without noise: where the rank is n the evidence has a limit there; where y lies exactly in
    the span of fewer columns it would grow for ever, and the value at the end is returned.

    As in the paper there is no intercept, and Z is not centred.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from featx.scores import logme_score
    >>> Z, y = load_digits(return_X_y=True)
    >>> round(logme_score(Z, y), 2)
    0.27
    """
    Z = check_embeddings(Z)
    Z = Z / (np.abs(Z).max() or 1.0)  # changes the scale of the weights alone
    spectrum = _spectrum(Z, _targets(y, len(Z), is_regression(y, task, stacklevel=2)))
    return float(_maximum(spectrum).mean() / len(Z))


def log_evidence(Z: np.ndarray, y: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    """Log of N(y; 0, I / beta + Z Z^T / alpha) for each column of y.

    Parameters
    ----------
    Z : ndarray of shape (n, dim)
    y : ndarray of shape (n, outputs)
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
    """Q(t) and the sum of log(1 + eigenvalue / t) for log t of shape (steps, targets), or (steps, 1) for all alike."""
    misfit, log_det = [], []
    eigenvalues = spectrum.eigenvalues[:, None]
    for t in np.exp(log_t):
        misfit.append(spectrum.rest + (t / (t + eigenvalues) * spectrum.energy).sum(axis=0))
        log_det.append(np.log1p(eigenvalues / t).sum(axis=0))
    return np.array(misfit), np.array(log_det)


def _profile(spectrum: _Spectrum, log_t: np.ndarray) -> np.ndarray:
    """Log evidence at the best beta, of shape (steps, targets)."""
    misfit, log_det = _misfit(spectrum, log_t)
    return -0.5 * (spectrum.n * (np.log(2 * np.pi * misfit / spectrum.n) + 1) + log_det)


def _maximum(spectrum: _Spectrum) -> np.ndarray:
    """Best log evidence of each target, of shape (targets,)."""
    centre = np.log(spectrum.eigenvalues.max(initial=0.0) or 1.0)
    low, high = centre - _RANGE, centre + _RANGE
    steps = np.linspace(low, high, int(2 * _RANGE / _STEP))[:, None]
    values = _profile(spectrum, steps)
    best, width = steps[values.argmax(axis=0), 0], steps[1, 0] - steps[0, 0]
    for _ in range(_ZOOMS):
        near = np.clip(best + width * np.linspace(-1, 1, 9)[:, None], low, high)
        values = _profile(spectrum, near)
        best, width = near[values.argmax(axis=0), np.arange(near.shape[1])], width / 4
    return values.max(axis=0)
