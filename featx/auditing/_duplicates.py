"""Rows -> groups of duplicates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from featx.evaluation import check_embeddings
from featx.exceptions import InputError

_BLOCK = 256


def duplicate_groups(Z: Any, threshold: float, digests: Any = None) -> np.ndarray:
    """Number rows so that duplicates share a number.

    Rows are duplicates of a representative, the earliest row that is none itself, that they resemble by `threshold`
    or more: chains, in which each image resembles the next and the last no longer the first, do not become one group.

    Parameters
    ----------
    Z : array of shape (n, dim)
        Embeddings; they are compared by cosine similarity. Centre them first where they share much.
    threshold : float
        Similarity from which two rows are the same image; above 1, only equal digests count.
    digests : sequence of length n, default=None
        Rows of the same digest are duplicates whatever their embeddings.

    Returns
    -------
    ndarray of shape (n,), int64
        0, 1, 2 ... in the order of their first rows; a row without duplicates has a number of its own.

    Raises
    ------
    InputError
        If Z holds no embeddings, or there are not n digests.

    Examples
    --------
    >>> from featx.auditing import duplicate_groups
    >>> duplicate_groups([[1, 0], [0, 1], [1, 0.01]], 0.99).tolist()
    [0, 1, 0]
    """
    unit = unit_rows(check_embeddings(Z))
    if digests is not None and len(digests) != len(unit):
        raise InputError(f"Got {len(digests):,} digests for {len(unit):,} rows. Expected one a row.")
    return group_alike(unit, lambda some, others: some @ others.T, threshold, digests)


def group_alike(rows: Any, similarity: Callable[[Any, Any], np.ndarray], threshold: float, digests: Any) -> np.ndarray:
    """As `duplicate_groups`, of rows that are compared in a way of their own.

    Parameters
    ----------
    rows : sequence of length n
        It takes slices and arrays of positions.
    similarity : callable
        Some rows, others -> an array of all their similarities.
    threshold : float
    digests : sequence of length n or None

    Returns
    -------
    ndarray of shape (n,), int64
    """
    n = len(rows)
    exact = np.arange(n) if digests is None else np.unique(np.asarray(digests), return_inverse=True)[1]
    first = np.unique(exact, return_index=True)[1]
    one_each = np.empty(n, np.int64)
    one_each[first] = first
    if threshold <= 1:
        distinct = np.sort(first)
        one_each[distinct] = distinct[_representatives(rows[distinct], similarity, threshold)]
    return number_groups(one_each[first][exact])


def number_groups(groups: np.ndarray) -> np.ndarray:
    """The same groups as 0, 1, 2 ... in the order of their first rows.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.auditing._duplicates import number_groups
    >>> number_groups(np.array(["b", "a", "b"])).tolist()
    [0, 1, 0]
    """
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)


def merge_groups(*groups: Iterable[Any]) -> np.ndarray:
    """Join groupings of the same rows: rows that any of them puts together, directly or over others, stay together.

    Examples
    --------
    >>> from featx.auditing._duplicates import merge_groups
    >>> merge_groups([0, 0, 1, 2], ["a", "b", "b", "c"]).tolist()
    [0, 0, 0, 1]
    """
    numbered = [np.unique(np.asarray(group), return_inverse=True)[1] for group in groups]
    n = len(numbered[0])
    starts = n + np.cumsum([0, *(group.max(initial=-1) + 1 for group in numbered)])
    rows = np.tile(np.arange(n), len(numbered))
    nodes = np.concatenate([group + start for group, start in zip(numbered, starts, strict=False)])
    graph = coo_array((np.ones(len(rows), bool), (rows, nodes)), shape=(starts[-1],) * 2)
    return number_groups(connected_components(graph, directed=False)[1][:n])


def crossing_groups(groups: Any, folds: Iterable[tuple[Any, Any]]) -> int:
    """Count the groups of duplicates that are on both sides of a fold: their scores are too good.

    Parameters
    ----------
    groups : array of shape (n,)
        As of `duplicate_groups`.
    folds : iterable of (train, test)
        Positions.

    Returns
    -------
    int

    Examples
    --------
    >>> from featx.auditing import crossing_groups
    >>> crossing_groups([0, 0, 1, 1], [([0, 2], [1, 3]), ([1, 3], [0, 2])])
    2
    """
    groups = np.asarray(groups)
    crossing = [np.intersect1d(groups[np.asarray(train)], groups[np.asarray(test)]) for train, test in folds]
    return len(np.unique(np.concatenate(crossing))) if crossing else 0


def unit_rows(Z: np.ndarray) -> np.ndarray:
    """Rows of length one, float32; a row of zeros stays."""
    lengths = np.linalg.norm(Z, axis=1, keepdims=True)
    return (Z / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def _representatives(rows: Any, similarity: Callable, threshold: float) -> np.ndarray:
    """Of each row the position of the row that stands for it: its own, or an earlier one."""
    leader = np.arange(len(rows))
    best = np.full(len(rows), -np.inf)
    for i, neighbours, similarities in _pairs(rows, similarity, threshold):
        if leader[i] == i:
            closer = similarities > best[neighbours]
            leader[neighbours[closer]] = i
            best[neighbours[closer]] = similarities[closer]
    return leader


def _pairs(rows: Any, similarity: Callable, threshold: float) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Of each row with any, the later rows that resemble it; a block at a time."""
    for start in range(0, len(rows), _BLOCK):
        alike = similarity(rows[start : start + _BLOCK], rows[start:])
        # Rounding: a row and its twin differ in the last digits.
        near = np.triu(alike >= threshold - 1e-6, 1)
        for i in np.flatnonzero(near.any(axis=1)):
            others = np.flatnonzero(near[i])
            yield start + i, start + others, alike[i, others]
