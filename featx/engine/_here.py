"""The engine that is this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from featx.engine._worker import Answer, Worker

# Embeddings of so many rows are in memory at a time.
_ROWS = 4096


def fill_here(make: Callable[..., Worker], images: Sequence[Any]) -> Iterator[tuple[Sequence[int], Answer]]:
    """Fill a store in this process.

    Parameters
    ----------
    make : callable
        Makes the worker.
    images : sequence
        Cells.

    Yields
    ------
    positions : sequence of int
        The rows of a batch.
    answer : Answer
        What became of them.
    """
    worker = make()
    for start in range(0, len(images), _ROWS):
        some = images[start : start + _ROWS]
        yield range(start, start + len(some)), worker(some)
