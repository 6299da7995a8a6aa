"""Which segment holds a key, and in which of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from featx.store._segment import Segment


class Index:
    """Keys in order, each with its segment and its row there; a key may be there more than once."""

    def __init__(self):
        self._segments: list[Segment] = []
        self._keys = np.empty(0, "S16")
        self._segment_of = np.empty(0, np.int32)
        self._row_of = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, segments: Sequence[Segment]) -> None:
        """Take in segments; of equal keys, the one that was there first is found first."""
        if not segments:
            return
        lengths = [len(segment) for segment in segments]
        numbers = np.arange(len(self._segments), len(self._segments) + len(segments), dtype=np.int32)
        self._segments += segments
        keys = np.concatenate([self._keys, *(as_strings(segment.keys) for segment in segments)])
        order = np.argsort(keys, kind="stable")  # linear where the old index is long and the new part short
        self._keys = keys[order]
        self._segment_of = np.concatenate([self._segment_of, np.repeat(numbers, lengths)])[order]
        self._row_of = np.concatenate([self._row_of, *map(np.arange, lengths)])[order]

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Where each of n keys stands in the index, -1 where it does not.

        Parameters
        ----------
        keys : ndarray of shape (n, 16), uint8

        Returns
        -------
        ndarray of shape (n,), int
        """
        if not len(self):
            return np.full(len(keys), -1)
        wanted = as_strings(keys)
        at = np.searchsorted(self._keys, wanted)
        at[at == len(self)] = 0
        return np.where(self._keys[at] == wanted, at, -1)

    def by_segment(self, at: np.ndarray) -> Iterator[tuple[Segment, np.ndarray | slice, np.ndarray]]:
        """Group places in the index.

        Parameters
        ----------
        at : ndarray of shape (n,), int
            From `find`.

        Yields
        ------
        segment : Segment
        targets : ndarray of int, or slice
            Which of the n places these are.
        positions : ndarray of int
            Their rows in the segment, ascending.
        """
        segment_of, row_of = self._segment_of[at], self._row_of[at]
        order = np.lexsort((row_of, segment_of))
        starts = np.flatnonzero(np.diff(segment_of[order], prepend=-1))
        for targets in np.split(order, starts[1:]) if len(at) else []:
            yield self._segments[segment_of[targets[0]]], _as_slice(targets), row_of[targets]

    def drop(self, at: np.ndarray) -> None:
        """Forget these places."""
        self._keys, self._segment_of, self._row_of = (
            np.delete(array, at) for array in (self._keys, self._segment_of, self._row_of)
        )


def as_strings(keys: np.ndarray) -> np.ndarray:
    """Keys (n, 16) u8 as n strings of 16 bytes, which numpy can sort and search.

    All are 16 wide, so that numpy's neglect of trailing zero bytes makes no two of them equal.
    """
    return np.ascontiguousarray(keys).view("S16").ravel()


def _as_slice(targets: np.ndarray) -> np.ndarray | slice:
    return slice(targets[0], targets[-1] + 1) if (np.diff(targets) == 1).all() else targets
