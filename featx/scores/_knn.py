"""The leave-one-out accuracy of nearest neighbors."""

from __future__ import annotations

from typing import Any

import numpy as np

from featx._validate import check_integer, check_number
from featx.evaluation import check_classes, check_embeddings, check_groups, tied_accuracy

_BLOCK = 2**22  # similarities computed at a time
_PAIRS = 2**8  # pairs whose rows fit into the cache of a processor
_MANY = 200  # neighbors per row from which products of whole matrices are faster
_SAME = 1e-7  # rows whose similarities differ by less are equally near
_ROUGH = 1e-5  # a float32 product of unit vectors is never wrong by more


def knn_score(
    embeddings: Any, y: Any, n_neighbors: int = 20, temperature: float = 0.07, *, groups: Any = None
) -> float:
    r"""Compute the leave-one-out accuracy of weighted nearest neighbors.

    Each row is predicted from its nearest other rows N by cosine similarity, which vote with the weight
    exp(cos / temperature) (Wu et al. 2018, arXiv:1805.01978; also DINO),

    .. math:: \hat y_i = \arg\max_c \sum_{j \in N_i} [y_j = c] \exp(z_i^T z_j / T), \quad |z| = 1

    Parameters
    ----------
    embeddings : array of shape (n, dim)
        The embeddings Z.
    y : array of shape (n,)
        Classes.
    n_neighbors : int, default=20
        Number of neighbors; all other rows if there are fewer. Rows as near as the last one, within 1e-7, vote too.
    temperature : float, default=0.07
        Lower values give nearer neighbors a larger weight.
    groups : array of shape (n,), default=None
        Rows of one group (a patient, copies of an image) do not count as neighbors of each other. A row whose group is
        missing stands alone.

    Returns
    -------
    float
        From 0 to 1, higher is better. A row whose own class is one of m tied classes counts 1/m.

    Raises
    ------
    InputError
        If embeddings have rows that are not finite, y does not hold classes, or groups do not have one value per row or
        are all the same.
    ParameterError
        If n_neighbors or temperature is not positive.

    Notes
    -----
    If embeddings carry no information, a row's absence from its own vote counts against its class: for constant
    embeddings and two classes of equal size the score is 0, not 0.5.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from featx.scores import knn_score
    >>> X, y = load_digits(return_X_y=True)
    >>> round(knn_score(X, y), 2)
    0.98
    """
    k = check_integer("n_neighbors", n_neighbors)
    temperature = check_number("temperature", temperature, 0, closed="neither")
    Z = check_embeddings(embeddings)
    codes, classes = check_classes(y, len(Z))
    groups = check_groups(groups, len(Z))
    unit = _unit_rows(Z)
    rough: np.ndarray = unit.astype(np.float32)
    size = max(1, _BLOCK // len(Z))
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
    row, neighbor, similar = _nearest(unit, rough, rows, groups, min(k, len(unit) - 1))
    closest: np.ndarray = np.full(len(rows), -np.inf)
    np.maximum.at(closest, row, similar)
    # Relative to the nearest, so that a low temperature does not overflow.
    weight = np.exp((similar - closest[row]) / temperature)
    votes = np.bincount(row * n_classes + codes[neighbor], weight, minlength=len(rows) * n_classes)
    return votes.reshape(len(rows), n_classes)


def _nearest(
    unit: np.ndarray, rough: np.ndarray, rows: np.ndarray, groups: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find pairs of a row and one of its nearest others, with their similarity: first in float32, then exactly."""
    found = rough[rows] @ rough.T
    found[groups[rows][:, None] == groups] = -np.inf
    place = len(unit) - k
    near = found >= np.partition(found, place, axis=1)[:, place, None] - _ROUGH
    row, neighbor = np.nonzero(near & (found > -np.inf))  # outside a large group there are fewer than k
    similar = _similarities(unit, rows[row], neighbor, len(rows))
    starts, counts = np.searchsorted(row, np.arange(len(rows))), np.bincount(row, minlength=len(rows))
    kth = similar[np.lexsort((-similar, row))[starts + np.minimum(k, counts) - 1]]
    near = similar >= kth[row] - _SAME
    return row[near], neighbor[near], similar[near]


def _similarities(unit: np.ndarray, first: np.ndarray, second: np.ndarray, n_rows: int) -> np.ndarray:
    """Compute the similarity of pairs in float64: pair by pair if they are few, else in products of matrices."""
    if len(first) > n_rows * _MANY:
        rows, place = np.unique(first, return_inverse=True)
        return (unit[rows] @ unit.T)[place, second]
    parts = np.array_split(np.arange(len(first)), len(first) // _PAIRS + 1)
    return np.concatenate([np.einsum("ij,ij->i", unit[first[part]], unit[second[part]]) for part in parts])
