"""Missing rows, a turn at a time: what another process has stored meanwhile is not encoded again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from featx.extraction._table import Table

# Seconds between two looks at the store: what a killed process loses, and how long others wait for their turn.
_TURN_SECONDS = 2.0
_FIRST_CHUNK = 64
_CHUNKS = (16, 16384)


def encode_in_turns(
    table: Table, encode: Callable[[np.ndarray], int], bar: Any, check: Callable[[], None] = lambda: None
) -> int:
    """Encode what a table does not know, in chunks of about two seconds.

    Parameters
    ----------
    table : Table
    encode : callable
        Gets numbers of distinct rows; adds and puts them; returns how many it encoded.
    bar : tqdm.tqdm
        Told of rows that another process was quicker with.
    check : callable
        Called after each chunk; may raise.

    Returns
    -------
    int
        How many this process encoded.
    """
    missing = np.flatnonzero(~table.known)
    start, size, encoded = 0, _FIRST_CHUNK, 0
    while start < len(missing):
        chunk = missing[start : start + size]
        start += len(chunk)
        with table.turn():
            table.look_up(chunk)
            todo = chunk[~table.known[chunk]]
            bar.update(len(chunk) - len(todo))
            if len(todo):
                started = time.perf_counter()
                encoded += encode(todo)
                size = _next_chunk(size, len(todo) / (time.perf_counter() - started))
        check()
    return encoded


def _next_chunk(size: int, rate: float) -> int:
    """A turn's worth of rows, approached in steps: the first rate holds the time of loading."""
    smallest, largest = _CHUNKS
    return int(min(max(rate * _TURN_SECONDS, smallest), largest, 4 * size))
