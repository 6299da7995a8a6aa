"""The safetensors layout: a header of JSON, then arrays, each read on its own."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from featx.exceptions import FeatxError

DTYPES = {"U8": np.uint8, "F16": np.float16, "F32": np.float32, "U32": np.uint32, "U64": np.uint64}
_NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
_MAX_HEADER = 8_000_000


class DamagedFileError(FeatxError):
    """A file that is not whole; the message says what is wrong."""


class NewerFormatError(FeatxError):
    """A file that a later version of featx wrote; the message says which format it is in."""


@dataclass(frozen=True)
class Layout:
    """What a file's header says.

    Attributes
    ----------
    metadata : dict of str to str
        The text beside the arrays.
    dtypes : dict of str to numpy.dtype
        Of each array.
    shapes : dict of str to tuple of int
        Of each array.
    starts : dict of str to int
        Where in the file each array starts.
    """

    metadata: dict[str, str]
    dtypes: dict[str, np.dtype]
    shapes: dict[str, tuple[int, ...]]
    starts: dict[str, int]

    def read(self, file: BinaryIO, name: str) -> np.ndarray:
        """Read an array; shorter than its shape says where the file was cut short meanwhile."""
        file.seek(self.starts[name])
        dtype = self.dtypes[name]
        content = file.read(math.prod(self.shapes[name]) * dtype.itemsize)
        flat = np.frombuffer(content[: len(content) // dtype.itemsize * dtype.itemsize], dtype)
        return flat.reshape(self.shapes[name]) if flat.size == math.prod(self.shapes[name]) else flat


def write_arrays(file: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write arrays from where they are: safetensors' own writer holds three copies of them.

    Parameters
    ----------
    file : Path
        A new file.
    arrays : mapping of str to ndarray
        C-contiguous, of the types in `DTYPES`.
    metadata : mapping of str to str
        The text beside them.
    """
    # Wider types first, so that every array is aligned.
    names = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name in names:
        start, end = end, end + arrays[name].nbytes
        dtype = _NAMES[arrays[name].dtype]
        header[name] = {"dtype": dtype, "shape": list(arrays[name].shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with open(file, "wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            out.write(memoryview(arrays[name].reshape(-1)).cast("B"))


def read_layout(file: BinaryIO, expected: Mapping[str, tuple[str, ...]], formats: tuple[str, ...]) -> Layout:
    """Read a file's header.

    Parameters
    ----------
    file : BinaryIO
        At its start.
    expected : mapping of str to tuple of str
        The arrays that must be there, and the types each may be of.
    formats : tuple of str
        The formats that are known, oldest first.

    Returns
    -------
    Layout

    Raises
    ------
    DamagedFileError
        If the header makes no sense, or the file is shorter than it says.
    NewerFormatError
        If the format is later than those known.
    """
    try:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_MAX_HEADER, size - 8):
            raise ValueError("no header")
        header = json.loads(file.read(length))
        metadata = header["__metadata__"]
        written = metadata["format"]
        if written not in formats:
            if written.isdecimal() and int(written) > int(formats[-1]):
                raise NewerFormatError(f"it is of format {written}, which a later version of featx wrote")
            raise ValueError(f"format {written!r}, expected {formats[-1]!r}")
        dtypes, shapes, starts = {}, {}, {}
        for name, allowed in expected.items():
            entry = header[name]
            begin, end = entry["data_offsets"]
            shape = tuple(entry["shape"])
            if entry["dtype"] not in allowed or not all(type(x) is int and x >= 0 for x in (begin, end, *shape)):
                raise ValueError(f"{name} is of {entry}")
            dtypes[name] = np.dtype(DTYPES[entry["dtype"]])
            if end - begin != math.prod(shape) * dtypes[name].itemsize or end > size - 8 - length:
                raise ValueError("the file is cut short")
            shapes[name], starts[name] = shape, 8 + length + begin
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedFileError(f"its header is damaged ({error})") from error
    return Layout(metadata, dtypes, shapes, starts)
