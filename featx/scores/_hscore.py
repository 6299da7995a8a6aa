"""hscore: how far apart the classes' means are, in units of the spread."""

from __future__ import annotations

from typing import Any

import numpy as np

from featx.evaluation import check_classes, check_embeddings
from featx.scores._eigen import eigen
from featx.scores._shrinkage import shrunk_covariance


def hscore(Z: Any, y: Any) -> float:
    r"""H-score with a shrunk covariance: variance between classes in units of the whole.

    .. math:: \mathrm{tr}\left(\Sigma_\alpha^+ \; (1 - \alpha) \, \mathrm{cov}(E[Z | y])\right), \quad
              \Sigma_\alpha = (1 - \alpha) \, \mathrm{cov}(Z) + \alpha \frac{\mathrm{tr}\,\mathrm{cov}(Z)}{d} I

    The H-score is Bao et al.'s (2019); :math:`\alpha` is Ledoit and Wolf's, as in the shrinkage-based
    H-score of Ibrahim et al. (2021, arXiv:2110.06893), which also holds with fewer rows than columns.

    Parameters
    ----------
    Z : array of shape (n, dim)
    y : array of shape (n,)
        Classes.

    Returns
    -------
    float
        From 0 to the number of classes less one, higher is better; 0 if all rows are the same.

    Raises
    ------
    InputError
        If Z has rows that are not finite, or y is no classes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from featx.scores import hscore
    >>> Z, y = load_digits(return_X_y=True)
    >>> round(hscore(Z, y), 2)
    5.85
    """
    Z = check_embeddings(Z)
    codes, classes = check_classes(y, len(Z))
    Z = Z / (np.abs(Z).max() or 1.0)
    Z -= Z[0]  # constant columns become zero, not rounding errors of their mean
    Z -= Z.mean(axis=0)
    covariance, shrinkage = shrunk_covariance(Z)
    members = codes == np.arange(len(classes))[:, None]
    counts = members.sum(axis=1)
    means = (members.astype(np.float64) @ Z) / counts[:, None]
    values, vectors = eigen(covariance)
    kept = values > values[-1] * len(values) * np.finfo(float).eps
    between = ((means @ vectors[:, kept]) ** 2 / values[kept]).sum(axis=1)
    return float((1 - shrinkage) * (counts / len(Z)) @ between)
