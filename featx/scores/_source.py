"""LEEP and NCE: how well the classes of a source model predict the new ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from featx.evaluation import check_classes, check_embeddings
from featx.exceptions import InputError

_SUM_TOLERANCE = 0.01  # enough for a thousand probabilities in half precision


def leep_score(P: Any, y: Any) -> float:
    r"""Compute the log expected empirical prediction of the labels from source probabilities (LEEP).

    .. math:: \frac 1n \sum_i \log \sum_z \hat P(y_i | z) \, \theta(x_i)_z, \quad
              \hat P(y, z) = \frac 1n \sum_{i: y_i = y} \theta(x_i)_z

    where :math:`\theta(x)_z` is the probability that the source model gives to its class z (Nguyen et al. 2020,
    arXiv:2002.12462).

    Parameters
    ----------
    P : array of shape (n, n_source)
        Probabilities of the source classes: the softmax of the source model's logits.
    y : array of shape (n,)
        Classes.

    Returns
    -------
    float
        At most 0, higher is better.

    Raises
    ------
    InputError
        If the rows of P do not hold probabilities, or y does not hold classes.

    Examples
    --------
    >>> from featx.scores import leep_score
    >>> leep_score([[1, 0], [0, 1]], ["cat", "dog"])
    0.0
    """
    P, codes, n_classes = _check(P, y)
    joint = (codes == np.arange(n_classes)[:, None]).astype(np.float64) @ P  # (n_classes, n_source)
    total = joint.sum(axis=0)
    given_source = joint / np.where(total > 0, total, 1)
    return float(np.log((P @ given_source.T)[np.arange(len(P)), codes]).mean())


def nce_score(P: Any, y: Any) -> float:
    r"""Compute the negative conditional entropy of the labels, given the label of the source model (NCE).

    .. math:: -H(Y | Z) = \frac 1n \sum_i \log \hat P(y_i | z_i), \quad z_i = \arg\max_z \theta(x_i)_z

    (Tran et al. 2019, arXiv:1908.08142). If probabilities are tied, the first class is taken.

    Parameters
    ----------
    P : array of shape (n, n_source)
        Probabilities of the source classes: the softmax of the source model's logits.
    y : array of shape (n,)
        Classes.

    Returns
    -------
    float
        At most 0, higher is better.

    Raises
    ------
    InputError
        If the rows of P do not hold probabilities, or y does not hold classes.

    Examples
    --------
    >>> from featx.scores import nce_score
    >>> nce_score([[0.9, 0.1], [0.2, 0.8]], ["cat", "dog"])
    0.0
    """
    P, codes, n_classes = _check(P, y)
    source = P.argmax(axis=1)
    pair = source * n_classes + codes
    return float(np.log(np.bincount(pair)[pair] / np.bincount(source)[source]).mean())


def _check(P: Any, y: Any) -> tuple[np.ndarray, np.ndarray, int]:
    P = check_embeddings(P, "P")
    sums = P.sum(axis=1)
    bad = np.flatnonzero((P < 0).any(axis=1) | (np.abs(sums - 1) > _SUM_TOLERANCE))
    if len(bad):
        i = bad[0]
        raise InputError(
            f"Got P with {len(bad):,} of {len(P):,} rows that do not hold probabilities (row {i}: least "
            f"{P[i].min():.3g}, sum {sums[i]:.3g}). Expected no number below 0 and a sum of 1: apply softmax to logits "
            "first."
        )
    codes, classes = check_classes(y, len(P))
    return P, codes, len(classes)
