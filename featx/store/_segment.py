"""One immutable file of rows, in the safetensors layout: write, publish, open, gather, verify.

Tensors: ``keys`` u8 [n, 16], ``rows`` f32 [n, dim], ``sums`` u64 [n]. The header's metadata holds a
checksum over keys and sums, which is checked at open; ``sums`` covers each row, checked at every gather.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from featx.exceptions import FeatxError
from featx.store.base import KEY_BYTES as KEY

SUFFIX = ".safetensors"
FORMAT = "1"
_TEMPORARY = ".tmp-"
# A lost row is only encoded again, so small files do not wait for the disk.
_FSYNC_BYTES = 1_000_000
_DTYPES = {"U8": np.uint8, "F32": np.float32, "U64": np.uint64}
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
    from safetensors.numpy import save_file

    keys, rows = np.ascontiguousarray(keys), np.ascontiguousarray(rows, dtype=np.float32)
    sums = row_sums(rows)
    header = {name: str(value) for name, value in metadata.items()}
    header |= {"format": FORMAT, "checksum": _checksum(keys, sums)}
    # Names begin with the time, so that a listing is in order of writing.
    name = f"{time.time_ns():016x}-{uuid.uuid4().hex[:12]}{SUFFIX}"
    temporary = folder / (_TEMPORARY + name)
    try:
        save_file({"keys": keys, "rows": rows, "sums": sums}, temporary, header)
        if rows.nbytes >= _FSYNC_BYTES:
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
        temporary.rename(folder / name)
    except Exception as error:
        temporary.unlink(missing_ok=True)
        raise error if isinstance(error, OSError) else OSError(f"cannot write {temporary}: {error}") from error
    return folder / name


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


def _checksum(keys: np.ndarray, sums: np.ndarray) -> str:
    return hashlib.sha256(keys.tobytes() + sums.tobytes()).hexdigest()


class Segment:
    """An open segment; its rows stay on disk until they are gathered.

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
        size = path.stat().st_size
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(_MAX_HEADER, size):
                raise DamagedSegmentError(f"{path} has no header")
            try:
                header = json.loads(file.read(length))
                self.metadata = header.pop("__metadata__")
                entries = {name: self._entry(entry, 8 + length, size) for name, entry in header.items()}
                (keys_at, keys_shape, _), (sums_at, sums_shape, _) = entries["keys"], entries["sums"]
                self._rows_at, (n, self.dim), _ = entries["rows"]
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DamagedSegmentError(f"{path} has a damaged header: {error}") from error
            if keys_shape != (n, KEY) or sums_shape != (n,):
                raise DamagedSegmentError(f"{path} holds keys {keys_shape} and sums {sums_shape} for {n} rows")
            file.seek(keys_at)
            self.keys = np.frombuffer(file.read(n * KEY), np.uint8).reshape(n, KEY)
            file.seek(sums_at)
            self._sums = np.frombuffer(file.read(8 * n), np.uint64)
        if _checksum(self.keys, self._sums) != self.metadata.get("checksum"):
            raise DamagedSegmentError(f"{path}: keys or sums are not what was written")
        self._rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @staticmethod
    def _entry(entry: dict, data_at: int, size: int) -> tuple[int, tuple[int, ...], np.dtype]:
        begin, end = entry["data_offsets"]
        shape, dtype = tuple(entry["shape"]), np.dtype(_DTYPES[entry["dtype"]])
        if end - begin != int(np.prod(shape)) * dtype.itemsize or not 0 <= begin <= end <= size - data_at:
            raise ValueError("the file is cut short")
        return data_at + begin, shape, dtype

    def gather(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Copy rows out.

        Parameters
        ----------
        positions : ndarray of shape (n,), int

        Returns
        -------
        rows : ndarray of shape (n, dim), float32
        sound : ndarray of shape (n,), bool
            Whether each row is what was written.
        """
        if self._rows is None:
            self._rows = np.memmap(self.path, np.float32, "r", self._rows_at, (len(self), self.dim))
        rows = np.asarray(self._rows[positions])
        return rows, row_sums(rows) == self._sums[positions]
