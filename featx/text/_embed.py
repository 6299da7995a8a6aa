"""Which texts are missing -> encode each distinct one -> put -> gather."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from featx._warn_once import warn_once
from featx.exceptions import FeatxWarning, InputError, NonFiniteEmbeddingError, list_rows
from featx.extraction import Table, encode_missing, progress_bar
from featx.images import DIGEST_BYTES, ImageColumn, is_missing
from featx.store import Store
from featx.text._accept import digest_texts
from featx.text._model import encode
from featx.text._spec import TextSpec

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
    """Length of an embedding; the model is loaded only if the store does not tell."""
    table = Table(np.empty((0, DIGEST_BYTES), np.uint8), [spec], store)
    table.look_up()
    return _dim(table, spec, options)


def _dim(table: Table, spec: TextSpec, options: Options) -> int:
    dims = table.dims()
    return dims[0] if dims else encode(spec, ["one"], options.device).shape[1]


def _encode_missing(texts: Sequence[str], table: Table, spec: TextSpec, options: Options) -> int:
    """Encode, chunk by chunk; returns how many texts this process encoded."""
    hits = int(table.counts()[table.known].sum())
    n = np.count_nonzero(~table.known)

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
    warn_once(message, FeatxWarning, {("text", len(rows))}, stacklevel=5)
