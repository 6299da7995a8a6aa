"""Embeddings for other programs: a Parquet file, or a DataFrame, of what one fingerprint holds."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from featx._atomic import atomic_file
from featx._optional import import_optional
from featx._warnings import warn
from featx.exceptions import ParameterError, StoreError, StoreWarning
from featx.store._folder import Folder
from featx.store.base import KEY_BYTES

if TYPE_CHECKING:
    import pandas as pd

SUFFIX = ".parquet"
_DIGITS = 2 * KEY_BYTES
# Of a row group, and of what is in memory at once.
_GROUP_BYTES = 1 << 26


def check_paths(paths: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Refuse what names no digests, which would name no row."""
    for key in paths or ():
        if not isinstance(key, str) or len(key) != _DIGITS or set(key) - set("0123456789abcdef"):
            raise ParameterError(
                f"Got paths with the key {key!r:.100}. Expected a mapping of digests, {_DIGITS} hex digits in lower "
                "case, to paths, as featx.known_paths gives."
            )
        break
    return paths or {}


def write_parquet(file: Path, folder: Folder, card: Mapping[str, Any], paths: Mapping[str, Any]) -> int:
    """See `EmbeddingStore.export`."""
    arrow = import_optional("pyarrow", extra="cli", purpose="Writing .parquet")
    from pyarrow import parquet

    batches = _batches(folder)
    keys, rows = next(batches)
    embedding = arrow.list_(arrow.field("element", arrow.float32(), nullable=False), rows.shape[1])
    schema = arrow.schema(
        [
            arrow.field("digest", arrow.string(), nullable=False),
            arrow.field("path", arrow.string()),
            arrow.field("embedding", embedding, nullable=False),
        ],
        {"featx.encoder": json.dumps(card, sort_keys=True)},
    )
    n = 0
    try:
        with (
            atomic_file(file) as temporary,
            open(temporary, "wb") as sink,
            parquet.ParquetWriter(sink, schema, use_dictionary=False) as out,
        ):
            while len(keys):
                digests = _digests(keys)
                named = [None if path is None else _text(path) for path in map(paths.get, digests)]
                flat = arrow.array(rows.reshape(-1))
                columns = [digests, named, arrow.FixedSizeListArray.from_arrays(flat, type=embedding)]
                out.write_table(arrow.table(columns, schema=schema), row_group_size=len(rows))
                n += len(rows)
                keys, rows = next(batches, (keys[:0], rows))
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{file} cannot be written: {error.strerror or error}.") from error
    return n


def to_frame(folder: Folder, card: Mapping[str, Any], paths: Mapping[str, Any]) -> pd.DataFrame:
    """See `EmbeddingStore.to_frame`."""
    import pandas as pd

    keys, rows = map(np.concatenate, zip(*_batches(folder), strict=True))
    digests, dim = _digests(keys), rows.shape[1]
    content, width = card.get("content", "image"), len(str(dim - 1))
    columns = [f"{content}_{i:0{width}}" for i in range(dim)]
    frame = pd.DataFrame(rows, pd.Index(digests, name="digest"), columns, copy=False)
    frame.insert(0, "path", pd.Series(map(paths.get, digests), frame.index, dtype=object))
    return frame


def _batches(folder: Folder) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Keys and rows, in the order in which they lie on disk; at least one row, or an error."""
    keys, n_lost, n_given = folder.keys(), 0, 0
    size = max(1, _GROUP_BYTES // (4 * (folder.dim or 1)))
    for start in range(0, len(keys), size):
        part = keys[start : start + size]
        found, rows = folder.get(part)
        n_lost += np.count_nonzero(~found)
        if found.any():
            n_given += len(rows)
            yield part[found], rows
    if not n_given:
        raise StoreError(f"{folder.path} holds no embeddings that are sound. Nothing was exported.")
    if n_lost:
        warn(f"{n_lost:,} of {len(keys):,} embeddings are damaged or gone: they are left out.", StoreWarning)


def _digests(keys: np.ndarray) -> list[str]:
    text = np.ascontiguousarray(keys).tobytes().hex()
    return [text[i : i + _DIGITS] for i in range(0, len(text), _DIGITS)]


def _text(path: Any) -> str:
    # Parquet's text is UTF-8: in other names the odd bytes are spelled out.
    return os.fsencode(path).decode("utf-8", "backslashreplace")
