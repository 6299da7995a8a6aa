"""One cell (a path, bytes, a PIL image, a uint8 array, ...) -> its bytes, and its RGB pixels.

Like ``_decode.py``, this file also runs, byte for byte, where there is nothing but numpy, Pillow and simplejpeg.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

import numpy as np
from PIL import Image

from ..exceptions import InputError
from ._accept import array_of
from ._cell import Region, StoredImage, is_path, open_cell
from ._decode import MAX_PIXELS, DecodeError, decode, from_array, from_pil

_URL = re.compile(r"data:|[a-z][a-z0-9+.-]+://?", re.IGNORECASE)  # Path has made one slash of two


def read_cell(cell: object) -> object:
    """Read what a cell holds: encoded bytes, or pixels (a PIL image, an array, a tensor), or a `Region` of these.

    Raises
    ------
    DecodeError
        With the reason why it cannot be read.
    """
    source = cell if isinstance(cell, Region) else open_cell(cell)
    if isinstance(source, Region):
        return Region(read_cell(source.source), source.box)
    if is_path(source):
        return read_file(source)
    return source.read() if isinstance(source, StoredImage) else source


def to_pixels(source: object, max_pixels: int = MAX_PIXELS, at_least: int | None = None) -> Image.Image:
    """Decode one source.

    Parameters
    ----------
    source : object
        A cell, as for `open_cell`. A tensor's channels come first.
    max_pixels : int, default=89_000_000
        Larger images are refused before they are decoded.
    at_least : int, default=None
        JPEGs may be decoded at a fraction of their size, as in `decode`.

    Returns
    -------
    PIL.Image.Image
        RGB.

    Raises
    ------
    DecodeError
        With the reason why this source cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.images import to_pixels
    >>> to_pixels(np.zeros((4, 6), "uint8")).size
    (6, 4)
    """
    source = read_cell(source)
    if isinstance(source, Region):
        return source.cut(to_pixels(source.source, max_pixels))  # its pixels are those of the full size
    if isinstance(source, bytes):
        return decode(source, max_pixels, at_least)
    if isinstance(source, Image.Image):
        return from_pil(source, max_pixels)
    if isinstance(source, np.ndarray):
        return from_array(source, max_pixels)
    try:
        return from_array(array_of(source), max_pixels)
    except InputError as error:
        raise DecodeError(str(error).removeprefix("Got ").rstrip(".")) from error


def read_file(path: str | Path) -> bytes:
    """Read an image file, or say why not."""
    stat_file(path)
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise DecodeError(_os_reason(path, error)) from error


def stat_file(path: str | Path) -> os.stat_result:
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        raise DecodeError(_os_reason(path, error)) from error
    if stat.S_ISREG(status.st_mode):
        if status.st_size == 0:
            raise DecodeError("the file is empty (0 bytes)")
        return status
    # A pipe or a device would block or never end.
    raise DecodeError("is a folder, not an image file" if stat.S_ISDIR(status.st_mode) else "is not a regular file")


def _os_reason(path: str | Path, error: Exception) -> str:
    if url := _URL.match(str(path)):
        if not url[0].endswith((":", "//")):
            return "a URL with one slash, as pathlib leaves it; pass it as text"
        return "URLs are not read; download the image and pass its path or its bytes"
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "no such file"
    if isinstance(error, PermissionError):
        return "no permission to read the file"
    is_too_long = getattr(error, "errno", None) == errno.ENAMETOOLONG
    hint = "; if it is base64, put 'data:;base64,' before it" if is_too_long else ""
    return f"cannot be read: {getattr(error, 'strerror', None) or error}{hint}"
