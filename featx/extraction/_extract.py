"""The conductor: which rows are missing -> decode -> batch -> run -> put -> gather."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from featx.encoders import EncoderSpec
from featx.extraction._encode import CHANGED, Batch, encode_ahead, rest
from featx.extraction._failures import Failures
from featx.extraction._progress import progress_bar
from featx.extraction._table import Table
from featx.extraction._turns import encode_in_turns
from featx.images import (
    DIGEST_BYTES,
    MAX_PIXELS,
    DigestMemo,
    ImageColumn,
    PixelPath,
    absolute,
    digest_many,
    is_missing,
    is_path,
)
from featx.store import Store

if TYPE_CHECKING:
    from featx.runtimes import Runtime

_DIGESTED_AT_ONCE = 4096
_BATCHES_AHEAD = 2

logger = logging.getLogger("featx")


@dataclass(frozen=True)
class Options:
    """How to extract; none of it changes an embedding.

    Attributes
    ----------
    runtime : str
    device : str or sequence of str
    batch_size : int or None
        None is the runtime's own.
    on_error, on_missing : {"raise", "nan"}
    max_pixels : int
    n_threads : int
        That read, decode and have their images encoded.
    verbose : int
    """

    runtime: str = "auto"
    device: str | Sequence[str] = "auto"
    batch_size: int | None = None
    on_error: str = "raise"
    on_missing: str = "raise"
    max_pixels: int = MAX_PIXELS
    n_threads: int = 1
    verbose: int = 0


@dataclass(frozen=True)
class Extraction:
    """What turns a column of images into embeddings: which layers of a network, where rows are kept, and how.

    Attributes
    ----------
    specs : tuple of EncoderSpec
        Layers of one network, in the order of the output's columns.
    store : Store or None
        Where rows are kept; None keeps nothing.
    options : Options
        How missing rows are encoded.
    """

    specs: tuple[EncoderSpec, ...]
    store: Store | None
    options: Options

    @property
    def spec(self) -> EncoderSpec:
        """The first layer's spec; name, weights, preprocessing and precision are all layers' own."""
        return self.specs[0]

    def fingerprints(self) -> tuple[str, ...]:
        """Name each layer's rows in a store."""
        return tuple(spec.fingerprint() for spec in self.specs)

    def embed(self, column: ImageColumn) -> np.ndarray:
        """Embed images, as `extract` does: (n, sum of dims), float32."""
        return extract(column, self.specs, self.store, self.options)

    def dims(self) -> tuple[int, ...]:
        """Length of each layer's embedding; the network is built only if neither specs nor store tell."""
        table = Table(np.empty((0, DIGEST_BYTES), np.uint8), self.specs, self.store)
        return table.dims() or self.runtime().dims

    def runtime(self) -> Runtime:
        """Load what runs the network, or find it loaded."""
        return _runtime(self.specs, self.options)


def extract(column: ImageColumn, specs: Sequence[EncoderSpec], store: Store | None, options: Options) -> np.ndarray:
    """Embed images, encoding only what the store does not know.

    Parameters
    ----------
    column : ImageColumn
    specs : sequence of EncoderSpec
        Layers of one network, in the order of the output's columns.
    store : Store or None
    options : Options

    Returns
    -------
    ndarray of shape (n, sum of dims), float32
        Rows of unusable images are NaN where the options say so.

    Raises
    ------
    ImageErrors
        If images are unusable and the options say "raise", or unreadable ones are plainly the rule; every good row
        is in the store by then.
    NonFiniteEmbeddingError
        If the network gives NaN or infinite numbers, whatever the options say; so too the other rows.
    """
    started = time.perf_counter()
    failures = Failures(
        column, options.on_error, options.on_missing, encoder=specs[0].name, precision=specs[0].precision
    )
    encoded = 0
    # One more than processors: it reads and decodes while the others wait for a disk, or for the GPU.
    with ThreadPoolExecutor(options.n_threads + 1, thread_name_prefix="featx") as pool:
        rows, keys = _digest(column, failures, options, pool)
        table = Table(keys, specs, store)
        hits = int(table.counts()[table.known].sum())
        if not table.known.all():
            job = _Job(column, rows, table, specs, failures, options, pool)
            encoded = job.encode_missing(hits)
            failures.refuse_non_finite()
    embeddings = _assemble(len(column), rows, table, failures, specs, options)
    seconds = time.perf_counter() - started
    failed = len(failures)
    logger.info(
        "rows=%d hits=%d encoded=%d failed=%d seconds=%.3g",
        len(column),
        len(column) - encoded - failed,
        encoded,
        failed,
        seconds,
    )
    failures.settle(stored=table.stored)
    return embeddings


def _runtime(specs: Sequence[EncoderSpec], options: Options) -> Runtime:
    # Here, so that a call whose rows are all known meets no runtime.
    from featx.runtimes import get_runtime

    return get_runtime(specs, options.runtime, options.device, options.n_threads)


def _digest(column: ImageColumn, failures: Failures, options: Options, pool: Executor) -> tuple[np.ndarray, np.ndarray]:
    """Digest every row that is there: the positions of the readable ones, and their keys."""
    memo = DigestMemo()
    present = []
    for i, source in enumerate(column.sources):
        if is_missing(source):
            failures.add_missing(i)
        else:
            present.append(i)
    rows, keys = [np.empty(0, np.int64)], [np.empty((0, DIGEST_BYTES), np.uint8)]
    for start in range(0, len(present), _DIGESTED_AT_ONCE):
        part = present[start : start + _DIGESTED_AT_ONCE]
        sources = [column.sources[i] for i in part]
        digests, reasons = digest_many(sources, memo=memo, pool=pool, max_pixels=options.max_pixels)
        for j, reason in reasons.items():
            failures.add_error(part[j], reason)
        readable = np.setdiff1d(np.arange(len(part)), list(reasons)) if reasons else slice(None)
        rows.append(np.array(part)[readable])
        keys.append(digests[readable])
        failures.stop_if_the_rule(start + len(part))
    return np.concatenate(rows), np.concatenate(keys)


def _assemble(
    n: int, rows: np.ndarray, table: Table, failures: Failures, specs: Sequence[EncoderSpec], options: Options
) -> np.ndarray:
    """Put the readable rows in their places; failed ones are NaN in every layer."""
    gathered = table.gather()
    if not len(failures) and n:
        return gathered
    dims = table.dims() or _runtime(specs, options).dims
    embeddings = np.full((n, sum(dims)), np.nan, np.float32)
    if gathered.shape[1]:
        embeddings[rows] = gathered
    embeddings[failures.positions()] = np.nan
    return embeddings


class _Job:
    """The encoding of one call's missing images."""

    def __init__(
        self,
        column: ImageColumn,
        rows: np.ndarray,
        table: Table,
        specs: Sequence[EncoderSpec],
        failures: Failures,
        options: Options,
        pool: Executor,
    ):
        self._column = column
        self._rows = rows
        self._table = table
        self._specs = specs
        self._failures = failures
        self._options = options
        self._pool = pool
        self._hits = self._seen = 0

    def encode_missing(self, hits: int) -> int:
        """Encode, a chunk and a turn at a time; returns how many images this process encoded."""
        missing = np.count_nonzero(~self._table.known)
        self._hits = hits
        self._seen = hits + self._failures.n_errors
        with progress_bar(missing, hits=hits, description=self._specs[0].name, verbose=self._options.verbose) as bar:
            return encode_in_turns(
                self._table,
                lambda todo: self._encode(todo, bar),
                bar,
                check=lambda: self._failures.stop_if_the_rule(self._seen),
            )

    def _encode(self, images: np.ndarray, bar) -> int:
        """Encode these distinct images, and store what was done even if interrupted."""
        runtime = _runtime(self._specs, self._options)
        started = time.perf_counter()
        done: list[int] = []
        batches = self._batches(images, runtime)
        try:
            for batch in batches:
                done += self._take(images, batch, runtime.dims)
                bar.set_postfix(hits=self._hits, errors=self._failures.n_errors, refresh=False)
                bar.update(len(batch.positions) + len(batch.reasons))
        except BaseException as error:
            for batch in rest(batches, error):
                done += self._take(images, batch, runtime.dims)
            raise
        finally:
            seconds = time.perf_counter() - started
            meta = {"runtime": runtime.name, "device": runtime.device, "seconds": round(seconds, 4)}
            self._table.put(np.array(done, np.int64), meta)
        return len(done)

    def _take(self, images: np.ndarray, batch: Batch, dims: Sequence[int]) -> list[int]:
        """Put a batch's rows into the table; returns which images they are of."""
        for j, reason in batch.reasons.items():
            self._fail(images[j], reason)
        self._seen += len(batch.positions) + len(batch.reasons)
        if batch.rows is None:
            return []
        encoded, rows = images[batch.positions], batch.rows
        finite = np.isfinite(rows).all(axis=1)
        if not finite.all():
            for image in encoded[~finite]:
                for position in self._rows[self._table.rows_of(image)]:
                    self._failures.add_non_finite(int(position))
            encoded, rows = encoded[finite], rows[finite]
        self._table.add(encoded, rows, dims)
        return encoded.tolist()

    def _batches(self, images: np.ndarray, runtime: Runtime) -> Iterator[Batch]:
        """The images through the threads; few images are spread over all of them."""
        options = self._options
        limit = options.batch_size or runtime.batch_size
        batch_size = min(limit, -(-len(images) // options.n_threads))
        positions = self._rows[self._table.first[images]]
        return encode_ahead(
            [(self._column.sources[i], key) for i, key in zip(positions, self._table.keys_of(images), strict=True)],
            partial(runtime.run, alone=batch_size == len(images)),
            path=PixelPath(self._specs[0].preprocess, self._specs[0].decode, options.max_pixels),
            batch_size=batch_size,
            pool=self._pool,
            ahead=options.n_threads + _BATCHES_AHEAD,
        )

    def _fail(self, image: int, reason: str) -> None:
        rows = self._rows[self._table.rows_of(image)]
        for position in rows:
            self._failures.add_error(int(position), reason)
        if reason is CHANGED:
            sources = [self._column.sources[i] for i in rows]
            DigestMemo().forget([absolute(source) for source in sources if is_path(source)])
