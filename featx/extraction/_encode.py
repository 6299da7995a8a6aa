"""Missing images -> pixels, decoded ahead by threads -> batches -> rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np

from featx.images import DecodeError, Preprocess, load

CHANGED = "the file changed while it was read; run again"


def decode_ahead(
    images: Sequence[tuple[Any, bytes]],
    *,
    preprocess: Preprocess,
    max_pixels: int,
    pool: Executor,
    ahead: int,
) -> Iterator[np.ndarray | str]:
    """Decode images in threads, a bounded number ahead of the consumer.

    Parameters
    ----------
    images : sequence of (source, digest)
    preprocess : Preprocess
    max_pixels : int
    pool : Executor
    ahead : int
        How many decoded images may wait.

    Yields
    ------
    ndarray of shape (size, size, 3), uint8, or str
        In order; a str is the reason why there are no pixels.
    """

    def work(source: Any, digest: bytes) -> np.ndarray | str:
        try:
            fresh, image = load(source, max_pixels)
        except DecodeError as error:
            return str(error)
        if fresh != digest:
            return CHANGED
        return preprocess(image)

    waiting = deque()
    try:
        for source, digest in images:
            waiting.append(pool.submit(work, source, digest))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def in_batches(decoded: Iterable[np.ndarray | str], batch_size: int) -> Iterator[tuple[list[int], np.ndarray, dict]]:
    """Group decoded images into batches.

    Yields
    ------
    positions : list of int
        Which of the images are in the batch.
    batch : ndarray of shape (n, size, size, 3), uint8
        May be empty at the end.
    reasons : dict of int to str
        Images since the last batch that have no pixels.
    """
    positions, pixels, reasons = [], [], {}
    for i, result in enumerate(decoded):
        if isinstance(result, str):
            reasons[i] = result
            continue
        positions.append(i)
        pixels.append(result)
        if len(pixels) == batch_size:
            yield positions, np.stack(pixels), reasons
            positions, pixels, reasons = [], [], {}
    if positions or reasons:
        yield positions, np.stack(pixels) if pixels else np.empty((0, 0, 0, 3), np.uint8), reasons
