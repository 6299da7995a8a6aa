"""One immutable file of rows, in the safetensors layout: write, publish, open, gather, verify.

Tensors: ``keys`` u8 [n, 16], ``rows`` f32 [n, dim], ``sums`` u64 [n]. The header's metadata holds a
checksum over keys and sums, which is checked at open; ``sums`` covers each row, checked at every gather.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import time
import uuid
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np

from featx._atomic import TEMPORARY, atomic_file
from featx.exceptions import FeatxError
from featx.store.base import KEY_BYTES as KEY

FORMAT = "1"
DAMAGED = ".damaged"
# Other files that people put into the folder are not ours to read, to move or to delete.
SEGMENT_NAME = re.compile(r"[0-9a-f]{16}-[0-9a-f]{12}\.safetensors")
TEMPORARY_NAME = re.compile(rf"{re.escape(TEMPORARY)}[0-9a-f]{{32}}(\.[a-z]+)?")
# A lost row is only encoded again, so small files do not wait for the disk.
_FSYNC_BYTES = 1_000_000
_TENSORS = {"keys": ("U8", 1), "rows": ("F32", 4), "sums": ("U64", 8)}
_MAX_HEADER = 1_000_000


class DamagedSegmentError(FeatxError):
    """A file that is not a whole segment; the message says what is wrong."""


def write_segment(folder: Path, keys: np.ndarray, rows: np.ndarray, metadata: Mapping[str, object]) -> Path:
    """Write rows to a new file and publish it under a name of its own.

    Parameters
    ----------
    folder : Path
    keys : ndarray of shape (n, 16), uint8
    rows : ndarray of shape (n, dim), float32
    metadata : mapping
        Kept in the header, as text.

    Returns
    -------
    Path
        The published file.

    Raises
    ------
    OSError
        If the folder cannot be written; nothing is left behind.
    """
    from safetensors.numpy import save

    keys, rows = np.ascontiguousarray(keys), np.ascontiguousarray(rows, dtype=np.float32)
    sums = row_sums(rows)
    header = {name: str(value) for name, value in metadata.items()}
    header |= {"format": FORMAT, "checksum": _checksum(keys.tobytes(), sums.tobytes())}
    # Names begin with the time, so that a listing is in order of writing.
    path = folder / f"{time.time_ns():016x}-{uuid.uuid4().hex[:12]}.safetensors"
    # Not save_file: its files are for their owner alone, and a store may be shared.
    publish(path, save({"keys": keys, "rows": rows, "sums": sums}, header))
    return path


def publish(path: Path, content: bytes) -> None:
    """Write a file that others see whole or not at all; nothing is left behind where that fails."""
    with atomic_file(path, sync=len(content) >= _FSYNC_BYTES) as temporary:
        temporary.write_bytes(content)


def row_sums(rows: np.ndarray) -> np.ndarray:
    """Sum of each row's 64-bit words, each weighted by an odd number of its position, modulo 2^64.

    An odd weight is invertible, so that any change of one word changes the sum.

    Parameters
    ----------
    rows : ndarray of shape (n, dim), float32

    Returns
    -------
    ndarray of shape (n,), uint64
    """
    if rows.shape[1] % 2:
        rows = np.pad(rows, ((0, 0), (0, 1)))
    words = np.ascontiguousarray(rows).view(np.uint64)
    return np.einsum("ij,j->i", words, _weights(words.shape[1]))


@lru_cache(maxsize=8)
def _weights(n: int) -> np.ndarray:
    golden = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: neighbouring positions differ in all bits
    return np.arange(1, n + 1, dtype=np.uint64) * golden | np.uint64(1)


def _checksum(keys: bytes, sums: bytes) -> str:
    return hashlib.sha256(keys + sums).hexdigest()


class Segment:
    """An open segment: keys and sums are in memory, rows are read from the file whenever they are gathered.

    No file stays open and nothing is mapped: a store may have any number of segments, and a file
    that is cut short or removed meanwhile is met as an error, never as a signal.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    keys : ndarray of shape (n, 16), uint8
    dim : int
    metadata : dict of str to str

    Raises
    ------
    DamagedSegmentError
        If the file is cut short, or header, keys or sums are not what was written.
    FileNotFoundError
        If it has been merged away meanwhile.
    """

    def __init__(self, path: Path):
        self.path = path
        with open(path, "rb") as file:
            try:
                self.metadata, shapes, starts = _read_header(file)
                n, self.dim = shapes["rows"]
                if shapes["keys"] != (n, KEY) or shapes["sums"] != (n,):
                    raise ValueError(f"keys {shapes['keys']} and sums {shapes['sums']} for {n} rows")
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise DamagedSegmentError(f"its header is damaged ({error})") from error
            file.seek(starts["keys"])
            keys = file.read(n * KEY)
            file.seek(starts["sums"])
            sums = file.read(n * 8)
        if _checksum(keys, sums) != self.metadata.get("checksum"):
            raise DamagedSegmentError("its keys or sums are not what was written")
        self.keys = np.frombuffer(keys, np.uint8).reshape(n, KEY)
        self._sums = np.frombuffer(sums, np.uint64)
        self._rows_at = starts["rows"]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def seconds(self) -> float:
        """Time spent encoding these rows, 0 where it is not known."""
        try:
            return float(self.metadata["seconds"])
        except (KeyError, ValueError):
            return 0.0

    def gather(self, positions: np.ndarray, out: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Read rows; neighbours are read in one go.

        Parameters
        ----------
        positions : ndarray of shape (n,), int
        out : ndarray of shape (n, dim), float32, C-contiguous, default=None
            Zeros, to read them to.

        Returns
        -------
        rows : ndarray of shape (n, dim), float32
        sound : ndarray of shape (n,), bool
            Whether each row is what was written.

        Raises
        ------
        FileNotFoundError
            If it has been merged away meanwhile.
        """
        rows = np.zeros((len(positions), self.dim), np.float32) if out is None else out
        starts = np.flatnonzero(np.diff(positions, prepend=-2) != 1)
        ends = np.flatnonzero(np.diff(positions, append=-2) != 1) + 1
        with open(self.path, "rb") as file:
            for start, end in zip(starts, ends, strict=True):
                file.seek(self._rows_at + int(positions[start]) * self.dim * 4)
                file.readinto(rows[start:end])  # what a file cut short leaves out does not match its sum
        return rows, row_sums(rows) == self._sums[positions]

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Gather every row."""
        return self.gather(np.arange(len(self)))


def _read_header(file: BinaryIO) -> tuple[dict[str, str], dict[str, tuple[int, ...]], dict[str, int]]:
    """Metadata, and of each tensor the shape and where it starts; ValueError and its like where they make no sense."""
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(_MAX_HEADER, size - 8):
        raise ValueError("no header")
    header = json.loads(file.read(length))
    metadata = header["__metadata__"]
    if metadata["format"] != FORMAT:
        raise ValueError(f"format {metadata['format']!r}, expected {FORMAT!r}")
    shapes, starts = {}, {}
    for name, (dtype, width) in _TENSORS.items():
        entry = header[name]
        begin, end = entry["data_offsets"]
        shape = tuple(entry["shape"])
        if entry["dtype"] != dtype or not all(type(x) is int and x >= 0 for x in (begin, end, *shape)):
            raise ValueError(f"{name} is of {entry}")
        if end - begin != math.prod(shape) * width or end > size - 8 - length:
            raise ValueError("the file is cut short")
        shapes[name], starts[name] = shape, 8 + length + begin
    return metadata, shapes, starts
