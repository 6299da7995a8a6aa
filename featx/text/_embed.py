"""A column of texts -> digests -> look up -> encode the missing ones -> store -> embeddings.

A process keeps the models that it loaded, and one thread at a time uses them.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from featx._optional import import_optional
from featx._warnings import warn_once
from featx.exceptions import FeatxWarning, InputError, NonFiniteEmbeddingError, WeightsError, describe, list_rows
from featx.extraction import Table, encode_missing, progress_bar
from featx.images import DIGEST_BYTES, ImageColumn, as_column, is_missing
from featx.runtimes import check_devices, choose
from featx.store import Store
from featx.text._spec import TextSpec

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# torch uses all processors for one thread, and a tokenizer must not serve two.
_lock = threading.RLock()


def encode(spec: TextSpec, texts: Sequence[str], device: str = "auto", batch_size: int = 64) -> np.ndarray:
    """Embed texts in float32; a process keeps the two models last used.

    Parameters
    ----------
    spec : TextSpec
    texts : sequence of str
        At least one.
    device : str, default="auto"
        "auto" is CUDA where there is one, else the CPU.
    batch_size : int, default=64

    Returns
    -------
    ndarray of shape (n, dim), float32

    Raises
    ------
    DeviceError
        If this machine lacks the device.
    WeightsError
        If sentence-transformers cannot load the folder.
    MissingDependencyError
        Without the extra ``text``.
    """
    devices = choose("torch", device).devices
    check_devices(devices)
    with _lock:
        model = _load(spec, devices[0])
        return np.asarray(model.encode(list(texts), batch_size=batch_size, show_progress_bar=False), np.float32)


@lru_cache(maxsize=2)
def _load(spec: TextSpec, device: str) -> SentenceTransformer:
    library = import_optional("sentence_transformers", extra="text", purpose="TextEncoder")
    try:
        with _no_progress_bars():
            # Its folder is all that its fingerprint knows of: nothing is fetched, no code of its own is run.
            model = library.SentenceTransformer(
                str(spec.folder), device=device, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # whatever a library says of a file that it does not know
        raise WeightsError(
            f"sentence-transformers {library.__version__} cannot load {spec.folder}: {error or repr(error)}. Expected "
            "a folder that it has saved, without code of its own."
        ) from error
    return model.float()


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _reset_after_fork() -> None:
    """Start anew in a forked child, where the thread that holds the lock does not exist."""
    global _lock
    _lock = threading.RLock()
    _load.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


_TAG = b"featx:text:1\0"
_EXPECTED = "Expected a list, tuple, numpy array, pandas or polars Series, or a frame of one column, of str"

logger = logging.getLogger("featx")


@dataclass(frozen=True)
class Options:
    """How to embed; none of it changes an embedding beyond rounding.

    Attributes
    ----------
    device : str
    batch_size : int
    on_missing : {"raise", "nan"}
    verbose : int
    """

    device: str = "auto"
    batch_size: int = 64
    on_missing: str = "raise"
    verbose: int = 0


def embed(column: ImageColumn, spec: TextSpec, store: Store | None, options: Options) -> np.ndarray:
    """Embed texts, encoding only what the store does not know, and each distinct text once.

    Parameters
    ----------
    column : ImageColumn
        Of str.
    spec : TextSpec
    store : Store or None
    options : Options

    Returns
    -------
    ndarray of shape (n, dim), float32
        Missing rows are NaN where the options say so.

    Raises
    ------
    InputError
        If texts are missing and the options say "raise": before any is encoded.
    NonFiniteEmbeddingError
        If the model gives NaN or infinite numbers; the other rows are in the store by then.
    """
    started = time.perf_counter()
    present = np.array([i for i, text in enumerate(column.sources) if not is_missing(text)], np.int64)
    n, failed = len(column), len(column) - len(present)
    if failed:
        _settle_missing(column, options.on_missing)
    texts = [column.sources[i] for i in present]
    table = Table(digest_texts(texts), [spec], store)
    table.look_up()
    encoded = 0 if table.known.all() else _encode_missing(texts, table, spec, options)
    if not table.known.all():
        odd = present[sorted(row for i in np.flatnonzero(~table.known) for row in table.rows_of(i))]
        bad = [(int(i), column.label(i), column.sources[i], "NaN or infinite numbers") for i in odd]
        raise NonFiniteEmbeddingError(spec.name, "float32", bad, n)
    rows = table.gather()
    if failed or not n:
        embeddings = np.full((n, _dim(table, spec, options)), np.nan, np.float32)
        embeddings[present] = rows if len(present) else np.nan
        rows = embeddings
    seconds = time.perf_counter() - started
    hits = n - encoded - failed
    logger.info("rows=%d hits=%d encoded=%d failed=%d seconds=%.3g", n, hits, encoded, failed, seconds)
    return rows


def embedding_dim(spec: TextSpec, store: Store | None, options: Options) -> int:
    """Length of an embedding; the model is loaded only if the store does not know it."""
    table = Table(np.empty((0, DIGEST_BYTES), np.uint8), [spec], store)
    table.look_up()
    return _dim(table, spec, options)


def _dim(table: Table, spec: TextSpec, options: Options) -> int:
    dims = table.dims()
    return dims[0] if dims else encode(spec, ["one"], options.device).shape[1]


def _encode_missing(texts: Sequence[str], table: Table, spec: TextSpec, options: Options) -> int:
    """Encode, chunk by chunk; returns how many texts this process encoded."""
    hits = int(table.counts()[table.known].sum())
    n = int(np.count_nonzero(~table.known))

    def work(numbers: np.ndarray) -> int:
        started = time.perf_counter()
        rows = encode(spec, [texts[i] for i in table.first[numbers]], options.device, options.batch_size)
        finite = np.isfinite(rows).all(axis=1)
        encoded = numbers[finite]
        table.add(encoded, rows[finite], rows.shape[1:])
        seconds = round(time.perf_counter() - started, 4)
        table.put(encoded, {"runtime": "sentence-transformers", "device": options.device, "seconds": seconds})
        bar.update(len(numbers))
        return len(encoded)

    with progress_bar(n, hits=hits, description=spec.name, verbose=options.verbose, unit="text") as bar:
        return encode_missing(table, work, bar)


def _settle_missing(column: ImageColumn, on_missing: str) -> None:
    rows = [(i, column.label(i), text, "missing") for i, text in enumerate(column.sources) if is_missing(text)]
    share = f"{len(rows):,} of {len(column):,} texts"
    if on_missing == "raise":
        hint = 'Continue with on_missing="nan", or fill them in.'
        raise InputError("\n".join([f"{share} are missing.", *list_rows(rows), hint]))
    message = "\n".join([f"{share} became NaN rows:", *list_rows(rows)])
    warn_once(message, FeatxWarning, {("text", len(rows))})


def as_texts(texts: object) -> ImageColumn:
    """Read any accepted container of texts.

    Parameters
    ----------
    texts : list, tuple, ndarray, pandas or polars Series, or one-column frame
        Of str; None, NaN or "" where a text is missing.

    Returns
    -------
    ImageColumn

    Raises
    ------
    InputError
        If the container is none of these, or a row holds anything else.

    Examples
    --------
    >>> from featx.text._embed import as_texts
    >>> len(as_texts(["a red shirt", None]))
    2
    """
    if isinstance(texts, str):
        raise InputError(f"Got a single str. {_EXPECTED}. One text? Pass it in a list: [text].")
    try:
        column = as_column(texts)
    except InputError as error:  # what it got is well said there, what it expected is not
        raise InputError(f"{str(error).partition('. ')[0]}. {_EXPECTED}.") from None
    for i, text in enumerate(column.sources):
        if not isinstance(text, str) and not is_missing(text):
            raise InputError(
                f"Got {describe(text)} ({type(text).__name__}) in row {i}. {_EXPECTED}; None, NaN or '' where it is "
                "missing."
            )
    return column


def digest_texts(texts: Sequence[str]) -> np.ndarray:
    """Digests of texts, (n, 16) uint8: equal where, and only where, the texts are, character by character.

    Raises
    ------
    InputError
        If a text has half a character (a lone surrogate), which no tokenizer takes.
    """
    return np.frombuffer(b"".join(map(_digest, texts)), np.uint8).reshape(-1, DIGEST_BYTES)


def _digest(text: str) -> bytes:
    try:
        return hashlib.sha256(_TAG + text.encode()).digest()[:DIGEST_BYTES]
    except UnicodeEncodeError as error:
        raise InputError(
            f"Got {describe(text)}, whose character {error.start} is half a character (a lone surrogate). Expected "
            "Unicode; mend it with text.encode(errors='replace').decode()."
        ) from None
