"""A column of images -> embeddings: digest -> look up -> decode -> encode -> store -> put in place."""

from __future__ import annotations

import logging
import multiprocessing
import sys
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.encoders import EncoderSpec
from featx.extraction._batches import CHANGED, Batch, encode_ahead, rest
from featx.extraction._failures import Failures
from featx.extraction._table import Table, encode_missing
from featx.images import (
    DIGEST_BYTES,
    MAX_PIXELS,
    Cells,
    DigestMemo,
    ImageColumn,
    KeptImage,
    PixelPath,
    UnreadFile,
    digest_unread,
    is_missing,
    name_of_file,
    read_in_parts,
)
from featx.store import Store

if TYPE_CHECKING:
    from featx.runtimes import Runtime


def progress_bar(
    total: int | None, *, description: str, verbose: int, hits: int | None = None, unit: str = "img"
) -> Any:
    """Open a tqdm bar over the images that have to be encoded, or whatever else takes its time.

    Parameters
    ----------
    total : int or None
        Images to encode; None if nobody knows.
    description : str
    verbose : int
        0 shows nothing.
    hits : int, default=None
        Rows that were found in the store; shown beside the bar, with a count of errors.
    unit : str, default="img"

    Returns
    -------
    tqdm.tqdm
        A context manager with ``update`` and ``set_postfix``.
    """
    notebook = _in_notebook()
    if notebook:
        from tqdm.auto import tqdm
    else:
        from tqdm import tqdm
    watched = (notebook or sys.stderr.isatty()) and multiprocessing.current_process().name == "MainProcess"
    bar = tqdm(total=total, desc=description, unit=unit, disable=not (verbose and watched), dynamic_ncols=True)
    if hits is not None:
        bar.set_postfix(hits=hits, errors=0, refresh=False)
    return bar


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})


_DIGESTED_AT_ONCE = 4096
# Cells that are made when they are asked for, which may be large.
_MADE_AT_ONCE = 256
_BATCHES_AHEAD = 2

logger = logging.getLogger("featx")


@dataclass(frozen=True)
class Options:
    """How to extract; none of it changes an embedding.

    Attributes
    ----------
    runtime : str
        As of `ImageEncoder`.
    device : str or sequence of str
        As of `ImageEncoder`.
    batch_size : int or None
        None is the runtime's default.
    on_error, on_missing : {"raise", "nan"}
        As of `ImageEncoder`.
    max_pixels : int
        As of `ImageEncoder`.
    n_threads : int
        Threads that read, decode and have their images encoded.
    verbose : int
        Whether a progress bar may be shown.
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
    """What turns a column of images into embeddings: the layers of a network, a store, and options.

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
        """The first layer's spec; all layers share name, weights, preprocessing and precision."""
        return self.specs[0]

    def fingerprints(self) -> tuple[str, ...]:
        """Name each layer's rows in a store."""
        return tuple(spec.fingerprint() for spec in self.specs)

    def dims(self) -> tuple[int, ...]:
        """Give the length of each layer's embedding; the network is built only if neither specs nor store know it."""
        table = Table(np.empty((0, DIGEST_BYTES), np.uint8), self.specs, self.store)
        table.look_up()
        return table.dims() or self.runtime().dims

    def runtime(self) -> Runtime:
        """Load what runs the network, or find it loaded."""
        # Imported here, so that a call whose rows are all known imports no runtime.
        from featx.runtimes import get_runtime

        options = self.options
        return get_runtime(self.specs, options.runtime, options.device, options.n_threads)

    def embed(self, column: ImageColumn) -> np.ndarray:
        """Embed images, encoding only those that the store does not have.

        A file is read once: its digest is of the bytes that are decoded.

        Parameters
        ----------
        column : ImageColumn
            The images.

        Returns
        -------
        ndarray of shape (n, sum of dims), float32
            Rows of unusable images are NaN where the options allow it.

        Raises
        ------
        ImageReadError
            If images are unusable and the options say "raise", or unreadable ones are plainly the rule; every good
            row is in the store by then.
        NonFiniteEmbeddingError
            If the network gives NaN or infinite numbers, whatever the options say; the other rows are in the store.
        """
        call, embeddings = self._call(column)
        call.failures.settle(stored=call.store is not None)
        return embeddings

    def fill(self, column: ImageColumn) -> dict[int, str]:
        """Have the store hold the embeddings of these images, and say why it cannot hold the others'.

        Parameters
        ----------
        column : ImageColumn
            The images.

        Returns
        -------
        dict of int to str
            Position -> the reason, of unreadable and missing images, and of those that the network gives no finite
            numbers for. However many there are, nothing is raised.
        """
        telling = replace(self, options=replace(self.options, on_error="tell"))
        return telling._call(column)[0].failures.reasons()

    def _call(self, column: ImageColumn) -> tuple[_Call, np.ndarray]:
        started = time.perf_counter()
        # One more than processors: it reads and decodes while the others wait for a disk, or for the GPU.
        threads = ThreadPoolExecutor(self.options.n_threads + 1, thread_name_prefix="featx")
        with threads as pool, ExitStack() as stack:
            call = _Call(self, column, pool, stack)
            embeddings = call.run()
        n, failed = len(column), len(call.failures)
        hits, seconds = n - call.encoded - failed, time.perf_counter() - started
        logger.info("rows=%d hits=%d encoded=%d failed=%d seconds=%.3g", n, hits, call.encoded, failed, seconds)
        return call, embeddings


@dataclass
class _Part:
    """Some rows of a column, digested.

    Attributes
    ----------
    positions : ndarray of shape (n,), int
        The rows, in order.
    keys : ndarray of shape (n, 16), uint8
        Their digests.
    contents : mapping of int to bytes or Region
        What was read of files, by their rows.
    unread : int
        How many files have yet to be read after this part.
    """

    positions: np.ndarray
    keys: np.ndarray
    contents: Mapping[int, Any]
    unread: int


class _Call:
    """One call of `Extraction.embed`."""

    def __init__(self, extraction: Extraction, column: ImageColumn, pool: Executor, stack: ExitStack):
        options, spec = extraction.options, extraction.spec
        self.failures = Failures(
            column, options.on_error, options.on_missing, encoder=spec.name, precision=spec.precision
        )
        self.encoded = 0
        self.store = extraction.store  # None, too, once it has failed
        self._extraction = extraction
        self._column = column
        self._pool = pool
        self._stack = stack  # closes the progress bar
        self._bar: Any = None
        self._hits = self._seen = 0

    def run(self) -> np.ndarray:
        """Embed part after part, each in its place."""
        n, embeddings, dims = len(self._column), None, None
        places: dict[bytes, int] = {}  # of what was embedded, where no store could give it back
        for part in self._parts():
            table = Table(part.keys, self._extraction.specs, self.store)
            table.look_up()
            self._hits += int(table.counts()[table.known].sum())
            if embeddings is not None and dims and places:
                _take_over(table, embeddings, places, dims)
            if not table.known.all():
                self._encode(part, table)
            self.store, dims, rows = table.store, table.dims() or dims, table.gather()
            if len(part.positions) == n and not len(self.failures):
                embeddings = rows  # as they are: a warm call copies nothing more
            elif rows.shape[1]:
                if embeddings is None:
                    embeddings = np.full((n, rows.shape[1]), np.nan, np.float32)
                embeddings[part.positions] = rows
            if part.unread and self.store is None:
                known = np.flatnonzero(table.known)
                places |= zip(table.keys_of(known), part.positions[table.first[known]].tolist(), strict=True)
        self.failures.refuse_non_finite()
        if embeddings is None:
            embeddings = np.full((n, sum(dims or self._extraction.dims())), np.nan, np.float32)
        if len(self.failures):
            embeddings[self.failures.positions()] = np.nan  # in every layer
        return embeddings

    def _parts(self) -> Iterator[_Part]:
        """Digest the rows that need no reading, then the files, as many at a time as memory should hold."""
        memo, max_pixels = DigestMemo(), self._extraction.options.max_pixels
        digests: dict[int, bytes] = {}
        unread: list[UnreadFile] = []
        sources, present = self._column.sources, 0
        size = _MADE_AT_ONCE if isinstance(sources, Cells) else _DIGESTED_AT_ONCE
        for start in range(0, len(sources), size):
            some = dict(enumerate(sources[start : start + size], start))
            for i in [i for i, source in some.items() if is_missing(source)]:
                self.failures.add_missing(i, some.pop(i))
            present += len(some)
            found, reasons, files = digest_unread(some, memo=memo, pool=self._pool, max_pixels=max_pixels)
            digests |= found
            unread += files
            self._add_errors(reasons, present)
        if digests:
            yield _make_part(digests, {}, len(unread))
        done = present - len(unread)
        for contents, digests, reasons in read_in_parts(unread, memo=memo, pool=self._pool):
            done += len(digests) + len(reasons)
            self._add_errors(reasons, done)
            if digests:
                yield _make_part(digests, contents, present - done)

    def _add_errors(self, reasons: Mapping[int, str], seen: int) -> None:
        for position, reason in reasons.items():
            self.failures.add_error(position, reason)
        self.failures.stop_if_the_rule(seen)

    def _encode(self, part: _Part, table: Table) -> None:
        """Encode the images of a part that are missing from its table, chunk by chunk."""
        missing = int(np.count_nonzero(~table.known))
        self._seen = self._hits + self.encoded + self.failures.n_errors
        if self._bar is None:
            bar = progress_bar(
                missing + part.unread,
                hits=self._hits,
                description=self._extraction.spec.name,
                verbose=self._extraction.options.verbose,
            )
            self._bar = self._stack.enter_context(bar)
        else:
            self._bar.total = self._bar.n + missing + part.unread
        self.encoded += encode_missing(
            table,
            lambda images: self._encode_chunk(part, table, images),
            self._bar,
            check=lambda: self.failures.stop_if_the_rule(self._seen),
            order=lambda images: self._in_reading_order(part, table, images),
        )

    def _in_reading_order(self, part: _Part, table: Table, images: np.ndarray) -> np.ndarray:
        if isinstance(self._column.sources, Cells):
            return images
        cells = [self._column.sources[i] for i in part.positions[table.first[images]].tolist()]
        orders = [cell.order if isinstance(cell, KeptImage) else () for cell in cells]
        return images[sorted(range(len(images)), key=orders.__getitem__)] if any(orders) else images

    def _encode_chunk(self, part: _Part, table: Table, images: np.ndarray) -> int:
        """Encode these distinct images, and store what was done even if interrupted."""
        runtime = self._extraction.runtime()
        started = time.perf_counter()
        done: list[int] = []
        batches = self._batches(part, table, images, runtime)
        try:
            for batch in batches:
                done += self._take(part, table, images, batch, runtime.dims)
                self._bar.set_postfix(hits=self._hits, errors=self.failures.n_errors, refresh=False)
                self._bar.update(len(batch.positions) + len(batch.reasons))
        except BaseException as error:
            for batch in rest(batches, error):
                done += self._take(part, table, images, batch, runtime.dims)
            raise
        finally:
            seconds = round(time.perf_counter() - started, 4)
            meta = {"runtime": runtime.name, "device": runtime.device, "seconds": seconds}
            table.put(np.array(done, np.int64), meta)
        return len(done)

    def _batches(self, part: _Part, table: Table, images: np.ndarray, runtime: Runtime) -> Generator[Batch, None, None]:
        """Send the images through the threads; a few images are spread over all of them."""
        options, spec = self._extraction.options, self._extraction.spec
        batch_size = min(options.batch_size or runtime.batch_size, -(-len(images) // options.n_threads))
        positions = part.positions[table.first[images]].tolist()
        keys = table.keys_of(images)

        def source_of(j: int) -> tuple[Any, bytes | None]:
            i = positions[j]
            return (part.contents[i], None) if i in part.contents else (self._column.sources[i], keys[j])

        return encode_ahead(
            Cells(len(images), source_of),
            partial(runtime.run, alone=batch_size == len(images)),
            path=PixelPath(spec.preprocess, spec.decode, options.max_pixels),
            batch_size=batch_size,
            pool=self._pool,
            ahead=options.n_threads + _BATCHES_AHEAD,
        )

    def _take(self, part: _Part, table: Table, images: np.ndarray, batch: Batch, dims: Sequence[int]) -> list[int]:
        """Put a batch's rows into the table; return the images that they are of."""
        self._seen += len(batch.positions) + len(batch.reasons)
        for j, reason in batch.reasons.items():
            positions = part.positions[table.rows_of(images[j])].tolist()
            for position in positions:
                self.failures.add_error(position, reason)
            if reason is CHANGED:
                sources = [self._column.sources[i] for i in positions]
                DigestMemo().forget([name for source in sources if (name := name_of_file(source))])
        if batch.rows is None:
            return []
        encoded, rows = images[batch.positions], batch.rows
        finite = np.isfinite(rows).all(axis=1)
        for image in encoded[~finite]:
            for position in part.positions[table.rows_of(image)].tolist():
                self.failures.add_non_finite(position)
        table.add(encoded[finite], rows[finite], dims)
        return encoded[finite].tolist()


def _make_part(digests: Mapping[int, bytes], contents: Mapping[int, Any], unread: int) -> _Part:
    positions = sorted(digests)
    keys = b"".join(digests[i] for i in positions)
    return _Part(np.array(positions), np.frombuffer(keys, np.uint8).reshape(-1, DIGEST_BYTES), contents, unread)


def _take_over(table: Table, embeddings: np.ndarray, places: Mapping[bytes, int], dims: Sequence[int]) -> None:
    """Add what earlier parts embedded of the same content."""
    missing = np.flatnonzero(~table.known)
    found = [places.get(key, -1) for key in table.keys_of(missing)]
    again = np.array(found, np.int64) >= 0
    if again.any():
        table.add(missing[again], embeddings[np.array(found)[again]], dims)
