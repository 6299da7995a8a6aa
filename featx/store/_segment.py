"""One immutable file of rows, in the safetensors layout: write, open, gather, verify.

Tensors: ``keys`` u8 [n, 16], ``rows`` f32 or f16 [n, dim], ``sums`` u64 [n]. The header's metadata holds a
checksum over keys and sums, which is checked whenever they are read; ``sums`` covers each row, checked at every gather.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
import uuid
from collections.abc import Mapping
from functools import lru_cache
from io import FileIO
from pathlib import Path

import numpy as np

from featx.store._layout import DamagedFileError, read_layout, write_arrays
from featx.store.base import KEY_BYTES as KEY

# Rows of float32; rows of float16.
FORMATS = ("1", "2")
SEGMENT_NAME = re.compile(r"[0-9a-f]{16}-[0-9a-f]{12}\.safetensors")
_TENSORS = {"keys": ("U8",), "rows": ("F32", "F16"), "sums": ("U64",)}


def new_name() -> str:
    """Make a name of its own; it begins with the time, so that a listing is in order of writing."""
    return f"{time.time_ns():016x}-{uuid.uuid4().hex[:12]}.safetensors"


def write_segment(file: Path, keys: np.ndarray, rows: np.ndarray, metadata: Mapping[str, object]) -> None:
    """Write rows to a new file.

    Parameters
    ----------
    file : Path
        It becomes a segment once it is published under a name of its own.
    keys : ndarray of shape (n, 16), uint8
    rows : ndarray of shape (n, dim), float32 or float16
    metadata : mapping
        Kept in the header, as text.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    keys, rows = np.ascontiguousarray(keys), np.ascontiguousarray(rows)
    sums = row_sums(rows)
    header = {name: str(value) for name, value in metadata.items()}
    header |= {"format": FORMATS[rows.dtype == np.float16], "checksum": _checksum(keys, sums)}
    write_arrays(file, {"keys": keys, "rows": rows, "sums": sums}, header)


def row_sums(rows: np.ndarray) -> np.ndarray:
    """Sum of each row's 64-bit words, each weighted by an odd number of its position, modulo 2^64.

    An odd weight is invertible, so that any change of one word changes the sum.

    Parameters
    ----------
    rows : ndarray of shape (n, dim), float32 or float16

    Returns
    -------
    ndarray of shape (n,), uint64
    """
    per_word = 8 // rows.itemsize
    if rows.shape[1] % per_word:
        rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % per_word)))
    words = np.ascontiguousarray(rows).view(np.uint64)
    return np.einsum("ij,j->i", words, _weights(words.shape[1]))


@lru_cache(maxsize=8)
def _weights(n: int) -> np.ndarray:
    golden = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: neighbouring positions differ in all bits
    return np.arange(1, n + 1, dtype=np.uint64) * golden | np.uint64(1)


def _checksum(keys: np.ndarray, sums: np.ndarray) -> str:
    digest = hashlib.sha256(keys)
    digest.update(sums)
    return digest.hexdigest()


def _read_at(file: FileIO, out: memoryview, offset: int) -> None:
    """Fill `out` from a place in a file; what a file that is cut short leaves out does not match its sum."""
    while len(out):
        if hasattr(os, "preadv"):  # one system call, where seek and readinto are two
            n = os.preadv(file.fileno(), (out,), offset)
        else:
            file.seek(offset)
            n = file.readinto(out)
        if not n:
            return
        out, offset = out[n:], offset + n


class Segment:
    """A segment: its header is in memory, keys and rows are read from the file whenever they are asked for.

    No file stays open and nothing is mapped: a store may have any number of segments, and a file
    that is cut short or removed meanwhile is met as an error, never as a signal.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    dim : int
        Length of a row.
    dtype : numpy.dtype
        What a row is kept as.
    metadata : dict of str to str
        What was written beside the rows.

    Raises
    ------
    DamagedFileError
        If the file is cut short, or its header is not what was written.
    NewerFormatError
        If a later version of featx wrote it.
    FileNotFoundError
        If it has been merged away meanwhile.
    """

    def __init__(self, path: Path):
        self.path = path
        with open(path, "rb") as file:
            self._layout = read_layout(file, _TENSORS, FORMATS)
        self.metadata, shapes = self._layout.metadata, self._layout.shapes
        if len(shapes["rows"]) != 2 or shapes["keys"] != (len(self), KEY) or shapes["sums"] != (len(self),):
            raise DamagedFileError(f"its header is damaged (arrays of {shapes})")
        self.dim, self.dtype = shapes["rows"][1], self._layout.dtypes["rows"]

    def __len__(self) -> int:
        return self._layout.shapes["rows"][0]

    @property
    def seconds(self) -> float:
        """Time spent encoding these rows, 0 where it is not known."""
        try:
            return float(self.metadata["seconds"])
        except (KeyError, ValueError):
            return 0.0

    @property
    def replaces(self) -> list[str]:
        """Names of the segments whose rows were written anew in this one."""
        return str(self.metadata.get("replaces", "")).split()

    @property
    def n_bytes(self) -> int:
        """Size of keys, rows and sums."""
        return len(self) * (KEY + 8 + self.dim * self.dtype.itemsize)

    def read_keys(self) -> tuple[np.ndarray, np.ndarray]:
        """Read what finds and checks the rows.

        Returns
        -------
        keys : ndarray of shape (n, 16), uint8
        sums : ndarray of shape (n,), uint64

        Raises
        ------
        DamagedFileError
            If they are not what was written.
        FileNotFoundError
            If it has been merged away meanwhile.
        """
        with open(self.path, "rb") as file:
            keys, sums = self._layout.read(file, "keys"), self._layout.read(file, "sums")
        if _checksum(keys, sums) != self.metadata.get("checksum"):
            raise DamagedFileError("its keys or sums are not what was written")
        return keys, sums

    def gather(
        self, positions: np.ndarray, sums: np.ndarray, out: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read rows; neighbours are read in one go.

        Parameters
        ----------
        positions : ndarray of shape (n,), int
        sums : ndarray of shape (n,), uint64
            What `row_sums` of these rows must be.
        out : ndarray of shape (n, dim), C-contiguous, default=None
            Of the segment's type; zeros, to read them to.

        Returns
        -------
        rows : ndarray of shape (n, dim)
            Of the segment's type.
        sound : ndarray of shape (n,), bool
            Whether each row is what was written.

        Raises
        ------
        FileNotFoundError
            If it has been merged away meanwhile.
        """
        rows = np.zeros((len(positions), self.dim), self.dtype) if out is None else out
        starts = np.flatnonzero(np.diff(positions, prepend=-2) != 1)
        ends = np.flatnonzero(np.diff(positions, append=-2) != 1) + 1
        rows_at, width = self._layout.starts["rows"], self.dim * self.dtype.itemsize
        offsets = rows_at + positions[starts].astype(np.int64) * width
        buffer = memoryview(rows.reshape(-1)).cast("B") if rows.size else memoryview(b"")
        with open(self.path, "rb", buffering=0) as file:
            for start, end, offset in zip(
                (starts * width).tolist(), (ends * width).tolist(), offsets.tolist(), strict=True
            ):
                _read_at(file, buffer[start:end], offset)
        return rows, row_sums(rows) == sums

    def read(self, out: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Read all: keys, rows (to `out`), and whether each row is what was written; errors as of `read_keys`."""
        keys, sums = self.read_keys()
        return keys, *self.gather(np.arange(len(self)), sums, out)
