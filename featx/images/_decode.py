"""Bytes, PIL image or array -> RGB pixels, under one image policy.

The policy (version 1; it is part of every encoder's fingerprint): EXIF orientation is applied; 16-bit
values lose their low byte (``v >> 8``); 32-bit integer and float images are refused; transparent pixels
lie on white; CMYK, palette, grey and 1-bit become RGB; of an animation the first frame counts.

This file runs in training and, byte for byte, on machines that have only numpy, Pillow and simplejpeg: it
imports nothing else, and its errors are of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
from PIL import Image

from ._formats import FORMATS, DecodeError, as_shipped, identify, open_plugin
from ._jpeg import load_jpeg, unread

__all__ = ["FORMATS", "DecodeError"]  # which are had from here

POLICY = 1
MAX_PIXELS = 89_000_000

_ORIENTATION = 0x0112
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_REFUSED_MODES = {"I": "32-bit integers", "F": "floats"}

# Several rows, decoded by several threads, may be one PIL image whose file is still to be read.
_SHARED = [threading.Lock() for _ in range(64)]
_PILLOWS_LIMIT = threading.Lock()


def decode(data: bytes, max_pixels: int = MAX_PIXELS, at_least: int | None = None) -> Image.Image:
    """Decode an image file's bytes.

    Parameters
    ----------
    data : bytes
        The content of an image file, in one of ``FORMATS``.
    max_pixels : int, default=89_000_000
        Larger images are refused, by their header, before anything is decoded.
    at_least : int, default=None
        A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, as long as both
        sides keep so many pixels. None is its own size.

    Returns
    -------
    PIL.Image.Image
        Mode RGB, 8 bits a channel.

    Raises
    ------
    DecodeError
        With the reason: empty, not an image, truncated, too large, a mode without 8-bit form.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> from featx.images._decode import decode
    >>> file = io.BytesIO()
    >>> Image.new("L", (4, 3), 128).save(file, "PNG")
    >>> decode(file.getvalue()).size
    (4, 3)
    """
    image = open_header(data)
    return _pixels(image, max_pixels, f"the {image.format} data is damaged", data, at_least)


def from_pil(image: Image.Image, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Apply the image policy to a PIL image; the image itself is left as it is."""
    with _SHARED[id(image) // 64 % len(_SHARED)]:
        if (data := unread(image)) is not None:  # Pillow would not tell of missing pixels
            decode(data, max_pixels, at_least=1)
        return _pixels(image, max_pixels, "the PIL image cannot be read")


def from_array(array: np.ndarray, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Turn a uint8 array (H, W[, 1 | 3 | 4]) into RGB pixels, under the same policy."""
    if array.dtype != np.uint8:
        raise DecodeError(f"an array of {array.dtype}; expected uint8, {conversion_hint(array.dtype)}")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise DecodeError(f"an array of shape {array.shape}; expected (height, width[, 1 | 3 | 4])")
    if 0 in array.shape:
        raise DecodeError(f"an array of shape {array.shape} has no pixels")
    return from_pil(Image.fromarray(np.ascontiguousarray(array)), max_pixels)


def conversion_hint(dtype: np.dtype) -> str:
    """Say how to turn an array of another dtype into uint8."""
    if np.issubdtype(dtype, np.floating):
        return "convert it with (X * 255).round().astype('uint8') if its values lie in 0..1"
    if dtype == np.uint16:
        return "convert it with (X >> 8).astype('uint8')"
    if dtype == np.bool_:
        return "convert it with X.astype('uint8') * 255"
    return "convert it with X.astype('uint8') if its values lie in 0..255"


def open_header(data: bytes) -> Image.Image:
    """Read the header alone: format, mode and size are known, no pixel is decoded.

    Pillow's process-wide pixel limit does not hold: ours is a parameter.
    """
    if not data:
        raise DecodeError("the file is empty (0 bytes)")
    name = identify(data)
    try:
        with as_shipped():
            return _open(name, data)
    except DecodeError:
        raise
    except Exception as error:
        raise DecodeError(f"the {name} header is damaged: {_told(error)}") from error


def _open(name: str, data: bytes) -> Image.Image:
    try:
        return open_plugin(name, data)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):  # WebP and GIF look before we can
        with _unlimited():
            return open_plugin(name, data)


def _pixels(
    image: Image.Image, max_pixels: int, trouble: str, data: bytes | None = None, at_least: int | None = None
) -> Image.Image:
    _check_size(image, max_pixels)
    try:
        with as_shipped():
            with _unlimited() if _beyond_pillows_limit(image) else nullcontext():
                if data is not None and image.format in ("JPEG", "MPO"):
                    image = load_jpeg(image, data, at_least)
                else:
                    image.load()
            return _to_rgb(image)
    except DecodeError:
        raise
    except Exception as error:  # Pillow's plugins raise nearly anything on damaged files
        raise DecodeError(f"{trouble}: {_told(error)}") from error


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__


def _beyond_pillows_limit(image: Image.Image) -> bool:
    # None is also what another thread sees while it is lifted.
    return image.width * image.height > min(Image.MAX_IMAGE_PIXELS or MAX_PIXELS, MAX_PIXELS)


@contextmanager
def _unlimited() -> Iterator[None]:
    """Lift Pillow's limit, which is the whole process's, for one huge image at a time: TIFF asks it in load()."""
    with _PILLOWS_LIMIT:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _check_size(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height == 0:
        raise DecodeError(f"the image is {width} x {height}: it has no pixels")
    if width * height > max_pixels:
        raise DecodeError(
            f"the image has {width} x {height} = {width * height:,} pixels, more than max_pixels={max_pixels:,}"
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _REFUSED_MODES:
        raise DecodeError(f"mode {image.mode} ({_REFUSED_MODES[image.mode]}) has no agreed range; save it with 8 bits")
    oriented = _TRANSPOSE.get(_orientation(image))
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    return rgb if oriented is None else rgb.transpose(oriented)


def _orientation(image: Image.Image) -> int:
    # Broken metadata must not cost the image: it then has no orientation.
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1
