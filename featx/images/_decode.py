"""Bytes, PIL image or array -> RGB pixels, under one image policy.

The policy (version 2; it is part of every encoder's fingerprint):

- EXIF orientation is applied.
- Samples become 8 bits by their depth: of b > 8 bits the highest 8 are kept (``v >> (b - 8)``), in grey and RGB alike;
  PGM and PPM are first scaled by their maxval. Signed integers, floats and integers of more than 16 bits are refused.
- CMYK, palette, grey and 1-bit become RGB. Grey whose white is 0 is inverted at every depth.
- Transparent pixels lie on white; on black if on white every pixel would lie within 8 levels of white, and on black not
  every one within 8 of black. An image of which nothing is visible is white. Transparent are: an alpha channel, a
  PNG's transparent color by all its bits, and what a GIF's first frame leaves of its screen. A BMP whose alpha is 0
  everywhere has none.
- Of an animation the first frame counts, of a TIFF the first page; where that is marked as reduced, or has pages below
  it (DNG), the largest of them that can be read, but none below a quarter of the largest one's width or height.
- A PIL image whose JPEG, TIFF, PNG or PPM has not been read yet is what its file is.

This file runs in training and, byte for byte, on machines that have only numpy, Pillow and simplejpeg: it
imports nothing else, and its errors are of its own.
"""

from __future__ import annotations

import re
import threading

import numpy as np
from PIL import Image, JpegImagePlugin, PngImagePlugin, PpmImagePlugin, TiffImagePlugin

from ._jpeg import load_jpeg
from ._pillow import (
    FORMATS,
    MAX_PIXELS,
    DecodeError,
    as_shipped,
    check_size,
    identify,
    open_plugin,
    room_for,
    unlimited,
)
from ._tiff import mend_loaded, open_tiff
from ._transparency import lay_on_plain, load_png

__all__ = ["FORMATS", "MAX_PIXELS", "DecodeError"]  # which are had from here

POLICY = 2

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
# Formats of which Pillow, once it has read one, no longer shows all that the policy needs.
_TOLD_BY_THE_FILE = (
    JpegImagePlugin.JpegImageFile,
    PngImagePlugin.PngImageFile,
    PpmImagePlugin.PpmImageFile,
    TiffImagePlugin.TiffImageFile,
)

_BLOCK = 1 << 20

# Several rows, decoded by several threads, may be one PIL image whose file is still to be read.
_SHARED = [threading.Lock() for _ in range(64)]


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
        data = _unread(image)
        if data is not None:
            if not isinstance(image, JpegImagePlugin.JpegImageFile):
                return decode(data, max_pixels)
            decode(data, max_pixels, at_least=1)  # Pillow does not report missing pixels
        return _pixels(image, max_pixels, "the PIL image cannot be read")


def _unread(image: Image.Image) -> bytes | None:
    """Find the file of a PIL image, if the image is still the file's content."""
    if not isinstance(image, _TOLD_BY_THE_FILE) or not image.tile or image.tell() != 0:
        return None
    if getattr(image, "decoderconfig", ()):  # a draft, at a fraction of the size
        return None
    try:
        at = image.fp.tell()
        image.fp.seek(0)
        data = image.fp.read()
        image.fp.seek(at)
    except (AttributeError, OSError, ValueError):  # it is gone, which loading the image reports
        return None
    return data


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
            return open_tiff(data) if name == "TIFF" else _open(name, data)
    except DecodeError:
        raise
    except Exception as error:
        raise DecodeError(f"the {name} header is damaged: {_told(error)}") from error


def _open(name: str, data: bytes) -> Image.Image:
    try:
        return open_plugin(name, data)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):  # WebP and GIF look before we can
        with unlimited():
            return open_plugin(name, data)


def _pixels(
    image: Image.Image, max_pixels: int, trouble: str, data: bytes | None = None, at_least: int | None = None
) -> Image.Image:
    check_size(image, max_pixels)
    try:
        with as_shipped():
            with room_for(image.width * image.height):
                image = _load(image, data, at_least)
            return _to_rgb(image)
    except DecodeError:
        raise
    except Exception as error:  # Pillow's plugins raise nearly anything on damaged files
        raise DecodeError(f"{trouble}: {_told(error)}") from error


def _load(image: Image.Image, data: bytes | None, at_least: int | None) -> Image.Image:
    if data is not None and image.format in ("JPEG", "MPO"):
        return load_jpeg(image, data, at_least)
    if data is not None and isinstance(image, PngImagePlugin.PngImageFile):
        return load_png(image, data)
    if data is not None and isinstance(image, PpmImagePlugin.PpmImageFile):
        return _load_ppm(image, data)
    image.load()
    return mend_loaded(image) if data is None and isinstance(image, TiffImagePlugin.TiffImageFile) else image


def _load_ppm(image: PpmImagePlugin.PpmImageFile, data: bytes) -> Image.Image:
    """PGM and PPM of more than 8 bits, which Pillow makes 32 bits and, by another rule, 8."""
    codec, _, offset, args = image.tile[0]
    if codec in ("ppm", "ppm_plain") and args != "1;I":
        rawmode, maxval = args
    else:
        rawmode, maxval = "L", 65535 if "I;16B" in args else 1
    if maxval < 256:
        image.load()
        return image
    n = image.width * image.height * Image.getmodebands(rawmode)
    if codec == "ppm_plain":
        words = re.finditer(rb"[^\s#]+", re.sub(rb"#[^\r\n]*", b"", data[offset:]))
        values = np.fromiter((_within(word[0], maxval) for word in words), np.uint16, n)
    else:
        values = np.frombuffer(data, ">u2", n, offset)
    to_8_bits = np.rint(np.arange(65536) / maxval * 65535).clip(max=65535).astype(np.uint16) >> 8
    pixels = np.empty(n, np.uint8)
    for start in range(0, n, _BLOCK):
        pixels[start : start + _BLOCK] = to_8_bits[values[start : start + _BLOCK]]
    return Image.frombytes(rawmode, image.size, pixels)


def _within(word: bytes, maxval: int) -> int:
    value = int(word)
    if not 0 <= value <= maxval:
        raise ValueError(f"{value} is not within 0 and {maxval}")
    return value


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _REFUSED_MODES:
        raise DecodeError(f"mode {image.mode} ({_REFUSED_MODES[image.mode]}) has no agreed range; save it with 8 bits")
    oriented = _TRANSPOSE.get(_orientation(image))
    image = lay_on_plain(image)
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    return rgb if oriented is None else rgb.transpose(oriented)


def _orientation(image: Image.Image) -> int:
    # Broken metadata must not cost the image: it then has no orientation.
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1
