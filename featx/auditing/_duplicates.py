"""Groups of duplicates, and a warning where they are on both sides of a fold."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from featx._warnings import warn
from featx.auditing._similarity import Whitening, choose_threshold, signature, similarity
from featx.evaluation import check_embeddings
from featx.exceptions import ImageWarning, InputError

_BLOCK = 256
_SHARE = 0.01


def duplicate_groups(embeddings: Any, threshold: float, digests: Any = None) -> np.ndarray:
    """Assign numbers to rows so that duplicates share one.

    Rows are duplicates of a representative, the earliest row that is not a duplicate itself, if their similarity to it
    is at least the threshold. Chains, in which each image resembles the next but the last does not resemble the first,
    do not become one group.

    Parameters
    ----------
    embeddings : array of shape (n, dim)
        Compared by cosine similarity. Center them first if they have much in common.
    threshold : float
        Similarity from which two rows count as the same image; above 1, only equal digests count.
    digests : sequence of length n, default=None
        Rows of the same digest are duplicates whatever their embeddings.

    Returns
    -------
    ndarray of shape (n,), int64
        0, 1, 2 ... in the order of their first rows; a row without duplicates has a number to itself.

    Raises
    ------
    InputError
        If the embeddings cannot be used, or there are not n digests.

    Examples
    --------
    >>> from featx.auditing import duplicate_groups
    >>> duplicate_groups([[1, 0], [0, 1], [1, 0.01]], 0.99).tolist()
    [0, 1, 0]
    """
    unit = _unit_rows(check_embeddings(embeddings))
    if digests is not None and len(digests) != len(unit):
        raise InputError(f"Got {len(digests):,} digests for {len(unit):,} rows. Expected one a row.")
    return group_alike(unit, lambda some, others: some @ others.T, threshold, digests)


def group_alike(rows: Any, similarity: Callable[[Any, Any], np.ndarray], threshold: float, digests: Any) -> np.ndarray:
    """Assign numbers to rows as `duplicate_groups` does, with any measure of similarity.

    Parameters
    ----------
    rows : sequence of length n
        It is indexed by slices and by arrays of positions.
    similarity : callable
        Called with some rows and others; returns an array of all their similarities.
    threshold : float
        As for `duplicate_groups`.
    digests : sequence of length n or None
        As for `duplicate_groups`.

    Returns
    -------
    ndarray of shape (n,), int64
    """
    n = len(rows)
    exact = np.arange(n) if digests is None else np.unique(np.asarray(digests), return_inverse=True)[1]
    first = np.unique(exact, return_index=True)[1]
    one_each: np.ndarray = np.empty(n, np.int64)
    one_each[first] = first
    if threshold <= 1:
        distinct = np.sort(first)
        one_each[distinct] = distinct[_representatives(rows[distinct], similarity, threshold)]
    return number_groups(one_each[first][exact])


def number_groups(groups: np.ndarray) -> np.ndarray:
    """Renumber groups as 0, 1, 2 ... in the order of their first rows.

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
    """Join groupings of the same rows: rows that any of them connects, directly or through others, share a group.

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
    """Count the groups of duplicates that are on both sides of a fold, which makes scores too good.

    Parameters
    ----------
    groups : array of shape (n,)
        As returned by `duplicate_groups`.
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


def warn_of_copies(
    embeddings: np.ndarray,
    folds: Iterable[tuple[Any, Any]],
    pixels: np.ndarray | None = None,
    *,
    divided: str = "a fold",
    advice: str = "Pass groups=featx.audit(X).groups, or leave copies out with featx.audit(X).clean().",
) -> str:
    """Warn if duplicates are split across a fold, and return the message.

    Parameters
    ----------
    embeddings : ndarray of shape (n, dim)
        Equal images have equal embeddings. One such pair is enough for a warning.
    folds : iterable of (train, test)
        Positions.
    pixels : ndarray of shape (n, height, width, 3), uint8, default=None
        Small images, in which near copies are found as `audit` finds them. Since one image in 1,000 has a different one
        that looks the same, near copies count only if there is a group of them for every 100 images.
    divided : str, default="a fold"
        What the message calls the training and test rows together.
    advice : str
        The end of the message: what to do.

    Returns
    -------
    str
        The warning; "" if there is none.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.auditing import warn_of_copies
    >>> warn_of_copies(np.eye(4), [([0, 1], [2, 3]), ([2, 3], [0, 1])])
    ''
    """
    folds = list(folds)
    digests = [hashlib.blake2b(np.ascontiguousarray(row), digest_size=16).digest() for row in embeddings]
    n_equal = n_groups = crossing_groups(number_groups(np.array(digests)), folds)
    if pixels is not None:
        n_near = crossing_groups(_near_groups(pixels, digests), folds)
        n_groups = n_near if n_near >= _SHARE * len(embeddings) else n_equal
    if not n_groups:
        return ""
    text = (
        f"{n_groups:,} groups of copies ({n_equal:,} of equal content) are on both sides of {divided}: scores are too "
        f"good. {advice}"
    )
    warn(text, ImageWarning)
    return text


def _near_groups(pixels: np.ndarray, digests: list[bytes]) -> np.ndarray:
    signatures = np.array([signature(Image.fromarray(image)) for image in pixels])
    points = Whitening(signatures)(signatures)
    return group_alike(points, similarity, choose_threshold(points)[0], digests)


def _unit_rows(rows: np.ndarray) -> np.ndarray:
    """Scale rows to unit length, in float32; rows of zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def _representatives(rows: Any, similarity: Callable, threshold: float) -> np.ndarray:
    """Return for each row the position of its representative: its own, or that of an earlier row."""
    leader = np.arange(len(rows))
    best: np.ndarray = np.full(len(rows), -np.inf)
    for i, neighbors, similarities in _pairs(rows, similarity, threshold):
        if leader[i] == i:
            closer = similarities > best[neighbors]
            leader[neighbors[closer]] = i
            best[neighbors[closer]] = similarities[closer]
    return leader


def _pairs(rows: Any, similarity: Callable, threshold: float) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield each row that later rows resemble, with these rows and their similarities; one block at a time."""
    for start in range(0, len(rows), _BLOCK):
        alike = similarity(rows[start : start + _BLOCK], rows[start:])
        # Rounding: a row and its copy differ in the last digits.
        near = np.triu(alike >= threshold - 1e-6, 1)
        for i in np.flatnonzero(near.any(axis=1)).tolist():
            others = np.flatnonzero(near[i])
            yield start + i, start + others, alike[i, others]
