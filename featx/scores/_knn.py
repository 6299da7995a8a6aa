"""knn_score: whether the nearest neighbours have the same label."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np

from featx.evaluation import check_classes, check_embeddings, check_groups, tied_accuracy
from featx.exceptions import ParameterError

_BLOCK = 2**22  # similarities at a time
_PAIRS = 2**8  # whose rows fit into a processor's cache
_MANY = 200  # neighbours a row from which whole products are quicker
_SAME = 1e-7  # rows this close in similarity are equally near
_ROUGH = 1e-5  # by more than this a float32 product of unit vectors is not wrong


def knn_score(Z: Any, y: Any, k: int = 20, temperature: float = 0.07, *, groups: Any = None) -> float:
    r"""Leave-one-out accuracy of weighted nearest neighbours.

    Each row is predicted from its k nearest others N by cosine similarity, which vote
    with weight exp(cos / temperature) (Wu et al. 2018, arXiv:1805.01978; also DINO):

    .. math:: \hat y_i = \arg\max_c \sum_{j \in N_i} [y_j = c] \exp(z_i^T z_j / T), \quad |z| = 1

    Parameters
    ----------
    Z : array of shape (n, dim)
    y : array of shape (n,)
        Classes.
    k : int, default=20
        Neighbours, at most as many as there are. All rows as near as the k-th, to 1e-7, vote.
    temperature : float, default=0.07
        Less gives the nearest more of the say.
    groups : array of shape (n,), default=None
        Rows of one group (a patient, copies of an image) are no neighbours of each other. A missing one is of none.

    Returns
    -------
    float
        From 0 to 1, higher is better. A row for which m classes are tied counts as 1/m
        if its own is one of them.

    Raises
    ------
    InputError
        If Z has rows that are not finite, y is no classes, or groups are not one a row or all the same.
    ParameterError
        If k or temperature is not positive.

    Notes
    -----
    Where embeddings say nothing, a row's own absence from the vote tells against its
    class: of constant embeddings with two classes of one size the score is 0, not 0.5.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from featx.scores import knn_score
    >>> Z, y = load_digits(return_X_y=True)
    >>> round(knn_score(Z, y), 2)
    0.98
    """
    if not isinstance(k, Integral) or isinstance(k, bool) or k < 1:
        raise ParameterError(f"Got k={k!r}. Expected a whole number of neighbours, 1 or more.")
    if not isinstance(temperature, Real) or not 0 < temperature < np.inf:
        raise ParameterError(f"Got temperature={temperature!r}. Expected a number over 0.")
    Z = check_embeddings(Z)
    codes, classes = check_classes(y, len(Z))
    groups = check_groups(groups, len(Z))
    unit = _unit_rows(Z)
    rough, size = unit.astype(np.float32), max(1, _BLOCK // len(Z))
    votes = [
        _votes(unit, rough, np.arange(first, min(first + size, len(Z))), groups, codes, len(classes), k, temperature)
        for first in range(0, len(Z), size)
    ]
    return tied_accuracy(np.concatenate(votes), codes)


def _unit_rows(Z: np.ndarray) -> np.ndarray:
    largest = np.abs(Z).max(axis=1, keepdims=True)
    Z = Z / np.where(largest > 0, largest, 1)  # first, so that no square overflows
    return Z / np.maximum(np.linalg.norm(Z, axis=1, keepdims=True), 1)  # under 1 for rows of zeros only


def _votes(
    unit: np.ndarray,
    rough: np.ndarray,
    rows: np.ndarray,
    groups: np.ndarray,
    codes: np.ndarray,
    n_classes: int,
    k: int,
    temperature: float,
) -> np.ndarray:
    row, neighbour, similar = _nearest(unit, rough, rows, groups, min(k, len(unit) - 1))
    closest = np.full(len(rows), -np.inf)
    np.maximum.at(closest, row, similar)
    weight = np.exp((similar - closest[row]) / temperature)  # from the nearest: a small temperature does not overflow
    votes = np.bincount(row * n_classes + codes[neighbour], weight, minlength=len(rows) * n_classes)
    return votes.reshape(len(rows), n_classes)


def _nearest(
    unit: np.ndarray, rough: np.ndarray, rows: np.ndarray, groups: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of a row and one of its nearest others, and their similarity: found in float32, then made exact."""
    found = rough[rows] @ rough.T
    found[groups[rows][:, None] == groups] = -np.inf
    place = len(unit) - k
    near = found >= np.partition(found, place, axis=1)[:, place, None] - _ROUGH
    row, neighbour = np.nonzero(near & (found > -np.inf))  # there are fewer than k outside a large group
    similar = _similarities(unit, rows[row], neighbour, len(rows))
    starts, counts = np.searchsorted(row, np.arange(len(rows))), np.bincount(row, minlength=len(rows))
    kth = similar[np.lexsort((-similar, row))[starts + np.minimum(k, counts) - 1]]
    near = similar >= kth[row] - _SAME
    return row[near], neighbour[near], similar[near]


def _similarities(unit: np.ndarray, first: np.ndarray, second: np.ndarray, n_rows: int) -> np.ndarray:
    """Of pairs of rows in float64: one by one where they are few, out of whole products where nearly all are near."""
    if len(first) > n_rows * _MANY:
        rows, place = np.unique(first, return_inverse=True)
        return (unit[rows] @ unit.T)[place, second]
    parts = np.array_split(np.arange(len(first)), len(first) // _PAIRS + 1)
    return np.concatenate([np.einsum("ij,ij->i", unit[first[part]], unit[second[part]]) for part in parts])
