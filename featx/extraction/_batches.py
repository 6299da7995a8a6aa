"""Images -> pixels -> rows, batch by batch: threads that each decode a batch, then have it encoded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from featx.images import DecodeError, PixelPath

CHANGED = "the file changed while it was read; run again"


@dataclass
class Batch:
    """A few images after they went through decoder and network.

    Attributes
    ----------
    positions : list of int
        The images that were encoded.
    rows : ndarray of shape (n, dim), float32, or None
        Their embeddings; None if there are none.
    reasons : dict of int to str
        Why the other images have no pixels.
    """

    positions: list[int] = field(default_factory=list)
    rows: np.ndarray | None = None
    reasons: dict[int, str] = field(default_factory=dict)


def encode_ahead(
    images: Sequence[tuple[Any, bytes | None]],
    run: Callable[[np.ndarray], np.ndarray],
    *,
    path: PixelPath,
    batch_size: int,
    pool: Executor,
    ahead: int,
) -> Generator[Batch, None, None]:
    """Decode and encode images in threads, a bounded number of batches ahead of the consumer.

    A thread that decodes its own batch before it encodes it keeps its processor
    busy without waiting for another, and memory holds a batch a thread.

    Parameters
    ----------
    images : sequence of (source, digest)
        A source whose content has another digest by now is refused; None is not compared.
    run : callable
        The network, uint8 (n, size, size, 3) -> float32 (n, dim); the threads call it.
    path : PixelPath
        Turns a source into its digest and pixels.
    batch_size : int
        Images of a batch; the last one may be smaller.
    pool : Executor
        The threads.
    ahead : int
        How many batches may be under way.

    Yields
    ------
    Batch
        In order. After an error or an interruption the batches that were begun still come, then the error.
    """

    def work(start: int) -> Batch:
        batch, some, size = Batch(), images[start : start + batch_size], path.preprocess.size
        pixels = np.empty((len(some), size, size, 3), np.uint8)
        for i, (source, digest) in enumerate(some, start):
            result = _decode(source, digest, path)
            if isinstance(result, str):
                batch.reasons[i] = result
            else:
                pixels[len(batch.positions)] = result
                batch.positions.append(i)
        if batch.positions:
            batch.rows = run(pixels[: len(batch.positions)])
        return batch

    waiting: deque[Future[Batch]] = deque()
    try:
        for start in range(0, len(images), batch_size):
            waiting.append(pool.submit(work, start))
            if len(waiting) > ahead:
                yield _next(waiting)
        while waiting:
            yield _next(waiting)
    except (Exception, KeyboardInterrupt):
        for future in waiting:
            future.cancel()
        for future in waiting:  # what was begun is paid for
            if not future.cancelled() and future.exception() is None:
                yield future.result()
        raise
    finally:
        for future in waiting:
            future.cancel()


def rest(batches: Generator[Batch, None, None], error: BaseException) -> Iterator[Batch]:
    """Yield the batches that `encode_ahead` had begun when an error interrupted its consumer."""
    with suppress(type(error), StopIteration):
        batch = batches.throw(error)
        while True:
            yield batch
            batch = next(batches)


def _next(waiting: deque[Future[Batch]]) -> Batch:
    batch = waiting[0].result()  # it stays if this is interrupted
    waiting.popleft()
    return batch


def _decode(source: Any, digest: bytes | None, path: PixelPath) -> np.ndarray | str:
    try:
        if digest is None:
            return path.pixels(source)
        fresh, pixels = path(source)
    except DecodeError as error:
        return str(error)
    return pixels if fresh == digest else CHANGED
