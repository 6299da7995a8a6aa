"""One cell of a column -> what it holds: the path of a file, encoded bytes, a PIL image, pixels.

Like ``_decode.py``, this file also runs, byte for byte, where there is nothing but numpy, Pillow and simplejpeg.
"""

from __future__ import annotations

import base64
import binascii
import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard
from urllib.parse import unquote_to_bytes

import numpy as np
from PIL import Image

from ._pillow import DecodeError

EXPECTED = "a path, bytes, a PIL image, a uint8 array or tensor"
# What daft calls the modes of a decoded image of 8 bits, and Pillow's names of them.
_DAFT_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
# A file that several threads read has one position.
_READING = threading.Lock()
Edges = tuple[int, int, int, int]


class StoredImage(ABC):
    """An encoded image that is read when it is needed, such as a member of an archive."""

    @abstractmethod
    def read(self) -> bytes:
        """Read it, or raise `DecodeError` with the reason."""

    def __repr__(self) -> str:
        return repr(str(self))


@dataclass(frozen=True)
class Region:
    """A part of an image.

    Attributes
    ----------
    source : object
        What holds the image, as `open_cell` returns it.
    box : Edges
        Left, upper, right, lower, in pixels of the upright image.
    """

    source: Any
    box: Edges

    def cut(self, image: Image.Image) -> Image.Image:
        """Cut it out of the image, or raise `DecodeError` where it is not inside."""
        left, upper, right, lower = self.box
        if left < 0 or upper < 0 or right > image.width or lower > image.height:
            raise DecodeError(
                f"the box ({left}, {upper}, {right - left}, {lower - upper}) is not inside the image, which is "
                f"{image.width} x {image.height}"
            )
        return image.crop(self.box)


def is_missing(cell: object) -> bool:
    """Whether a cell holds nothing: None, NaN, pandas' NA or NaT, "", or a dict whose values, or image, are all None.

    Examples
    --------
    >>> from featx.images import is_missing
    >>> is_missing({"bytes": None, "path": None}), is_missing("a.jpg")
    (True, False)
    """
    if isinstance(cell, str):
        return cell == ""
    if cell is None:
        return True
    if isinstance(cell, float | np.floating):
        return bool(np.isnan(cell))
    if getattr(cell, "is_valid", True) is False:  # pyarrow's scalars
        return True
    if is_boxed(cell):
        return is_missing(cell["image"])
    if isinstance(cell, Mapping):
        return len(cell) > 0 and all(value is None or not getattr(value, "is_valid", True) for value in cell.values())
    return type(cell).__name__ in ("NAType", "NaTType")


def is_boxed(cell: object) -> TypeGuard[Mapping[Any, Any]]:
    """Whether a cell is a dict of an image and a box."""
    return isinstance(cell, Mapping) and "image" in cell and "box" in cell


def is_tensor(source: object) -> bool:
    """Whether it is a torch tensor, or of a subclass."""
    return any(kind.__module__ == "torch" and kind.__name__ == "Tensor" for kind in type(source).__mro__)


def is_path(cell: object) -> TypeGuard[str | Path]:
    """Whether a cell is the path of a file, and not a ``data:`` URI."""
    return isinstance(cell, Path) or (isinstance(cell, str) and not is_data_uri(cell))


def location_of(cell: object) -> str | None:
    """Tell the path or the URL of an image; None of one that is in memory."""
    if is_boxed(cell):
        return location_of(cell["image"])
    if isinstance(cell, Mapping) and is_missing(cell.get("bytes")):
        return location_of(cell.get("path"))
    return str(cell) if is_path(cell) or isinstance(cell, StoredImage) else None


def is_data_uri(text: str) -> bool:
    """Whether it begins as a ``data:`` URI does."""
    return text[:5].lower() == "data:"


def open_cell(cell: Any) -> Any:
    """Find what a cell holds, without reading a file.

    Parameters
    ----------
    cell : object
        A path, bytes, a PIL image, an array, a tensor or a `StoredImage`, which are returned as they are; or

        - a bytearray or memoryview
        - a ``data:`` URI
        - a dict of ``bytes`` and ``path``, as in columns of Hugging Face's ``Image``; the bytes come first
        - a dict of ``image``, which is any of these, and ``box``: (x, y, width, height) of a part of it, in pixels from
          the upper left of the upright image; None is the whole image
        - a dict of ``data``, ``height``, ``width`` and ``channel``, as in daft's columns of decoded images
        - a file that is open for reading in binary mode: all of it, wherever its position is
        - an object that has ``read_bytes``, such as ``zipfile.Path``

    Returns
    -------
    str, Path, bytes, PIL.Image.Image, ndarray, tensor, StoredImage or Region

    Raises
    ------
    DecodeError
        With the reason why it holds no image.

    Examples
    --------
    >>> from featx.images import open_cell
    >>> open_cell({"bytes": None, "path": "a.jpg"})
    'a.jpg'
    >>> open_cell("data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAAC")[:6]
    b'GIF89a'
    """
    if isinstance(cell, str):
        return _read_data_uri(cell) if is_data_uri(cell) else cell
    if isinstance(cell, bytes | Path | Image.Image | np.ndarray | StoredImage):
        return cell
    if isinstance(cell, bytearray | memoryview):
        return bytes(cell)
    if hasattr(cell, "as_py"):  # pyarrow's scalars
        return open_cell(cell.as_py())
    if isinstance(cell, Mapping):
        return _open_dict(cell)
    if is_tensor(cell):
        return cell
    if isinstance(cell, list | tuple):
        raise DecodeError(
            f"a {type(cell).__name__} of {len(cell)}; expected one image. Several images a row are combined by "
            "ImageEncoder(combine='mean')"
        )
    if hasattr(cell, "read_bytes"):
        return _read_whole(cell, cell.read_bytes)
    if hasattr(cell, "read"):
        return _read_open_file(cell)
    raise DecodeError(f"a {type(cell).__name__}; expected {EXPECTED}")


def _open_dict(cell: Mapping[Any, Any]) -> Any:
    if is_boxed(cell):
        box = cell["box"]
        return open_cell(cell["image"]) if box is None else Region(open_cell(cell["image"]), _edges(box))
    data, path = (cell.get(key) for key in ("bytes", "path"))
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    if is_missing(data) and isinstance(path, str | Path) and path != "":
        return path
    if not is_missing(data) or not is_missing(path):
        key, value = ("path", path) if is_missing(data) else ("bytes", data)
        raise DecodeError(f"a dict with a {type(value).__name__} as {key!r}; expected {_DICTS}")
    if {"data", "height", "width", "channel"} <= set(cell):
        return _decoded_by_daft(cell)
    raise DecodeError(f"a dict with the keys {_keys(cell)}; expected {_DICTS}")


def _edges(box: Any) -> Edges:
    """Round x, y, width, height to whole pixels: left, upper, right, lower."""
    box = box.tolist() if hasattr(box, "tolist") else box
    try:
        x, y, width, height = map(float, box)
        if not all(map(math.isfinite, (x, y, width, height))):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise DecodeError(f"a box {str(box)[:80]}; expected 4 numbers, (x, y, width, height)") from None
    edges = round(x), round(y), round(x + width), round(y + height)
    if edges[2] <= edges[0] or edges[3] <= edges[1]:
        raise DecodeError(f"a box of {width:g} x {height:g} pixels; expected at least 1 x 1")
    return edges


_DICTS = "'bytes' (an encoded image) or 'path'"


def _keys(cell: Mapping[Any, Any]) -> str:
    keys = [repr(key)[:40] for key in cell]
    return (", ".join(keys[:5]) + (", ..." if len(keys) > 5 else "")) or "(none)"


def _decoded_by_daft(cell: Mapping[Any, Any]) -> np.ndarray | Image.Image:
    data, mode = np.asarray(cell["data"]), int(cell.get("mode") or 0)
    height, width, channels = (int(cell[name] or 0) for name in ("height", "width", "channel"))
    wanted = _DAFT_MODES.get(mode or channels)
    if wanted is None or (data.dtype.kind in "ui" and data.size and data.max() > 255) or data.dtype.kind == "f":
        raise DecodeError(f"a decoded image of {channels} channels in daft's mode {mode}; expected 8 bits a channel")
    if channels != len(wanted) or data.size != height * width * channels or not data.size:
        raise DecodeError(f"a decoded image with {data.size:,} values; expected {height} x {width} x {channels}")
    pixels = data.astype(np.uint8).reshape(height, width, channels)
    return Image.frombytes("LA", (width, height), pixels.tobytes()) if wanted == "LA" else pixels


def _read_data_uri(text: str) -> bytes:
    header, comma, payload = text.partition(",")
    if not comma:
        raise DecodeError("a data: URI without a comma; expected data:image/png;base64,...")
    raw = unquote_to_bytes(payload)
    if not header.casefold().endswith(";base64"):
        return raw
    try:
        return base64.b64decode(raw.translate(None, b" \t\r\n"), validate=True)
    except binascii.Error as error:
        raise DecodeError(f"not base64: {error}") from error


def _read_open_file(file: Any) -> bytes:
    if getattr(file, "closed", False):
        raise DecodeError("the file is closed; expected an open one, or its path")
    if not (hasattr(file, "seekable") and file.seekable()):
        raise DecodeError("a stream that can be read only once; expected its bytes, as in file.read()")

    def read() -> Any:
        with _READING:
            before = file.tell()
            file.seek(0)
            try:
                return file.read()
            finally:
                file.seek(before)

    return _read_whole(file, read)


def _read_whole(source: Any, read: Any) -> bytes:
    try:
        data = read()
    except Exception as error:  # archives and remote files raise nearly anything
        raise DecodeError(
            f"cannot be read: {getattr(error, 'strerror', None) or error or type(error).__name__}"
        ) from error
    if not isinstance(data, bytes | bytearray | memoryview):
        raise DecodeError(f"a file of text ({type(source).__name__}); expected one that is open in mode 'rb'")
    return bytes(data)
