"""JPEG bytes -> pixels, and whether any are missing.

Pillow cannot distinguish a JPEG that was cut and closed by an end marker from a whole one: libjpeg fills what is
missing with grey and warns, and Pillow does not listen. simplejpeg, which holds libjpeg-turbo as Pillow does, gives
the same pixels bit for bit (a test holds it to that) and raises the warning. Like ``_decode.py``, this file also runs,
byte for byte, where there is nothing but numpy, Pillow and simplejpeg.
"""

from __future__ import annotations

import io
import random
import re
from collections.abc import Iterator

import numpy as np
import simplejpeg
from PIL import Image, JpegImagePlugin

from ._pillow import DecodeError

# Among an image's info: whether it was decoded at a fraction of its size. No file can have such a key in its text.
REDUCED = object()

# For Pillow's modes, simplejpeg's; and how Pillow is told of it.
_COLORS = {"L": "GRAY", "RGB": "RGBX", "CMYK": "CMYK"}
_PACKED = {"L": "L", "RGB": "RGBX", "CMYK": "CMYK;I"}  # ink is what light lacks
_DAMAGED = "the JPEG data is damaged: pixels are missing, the data end before the image does"
# Of a segment, or of all after it: another marker stands where the next one was to begin.
_MISSING = re.compile("premature end of data segment|found marker 0x(?!d[0-7])[0-9a-f]+ instead of RST")
_MOST_SCANS = 100  # each one goes over the whole image, however short it is

_SCAN = 0xDAFF  # of an _SOS marker, the first byte lowest
_SOF, _SOS, _EOI = (0xC0, 0xC1, 0xC2), 0xDA, 0xD9  # the frames that Huffman codes: baseline, extended, progressive
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # not a stuffed byte, filling, or a restart

# Huffman codes that say something else than the zeros which libjpeg puts where data end; no 0xff among them.
_OTHER_DATA = bytes(random.Random(0).choices(range(1, 255), k=256))


def load_jpeg(image: Image.Image, data: bytes, at_least: int | None = None) -> Image.Image:
    """Decode a JPEG.

    Parameters
    ----------
    image : PIL.Image.Image
        As Pillow opened `data`: its header has been read and its size allowed.
    data : bytes
    at_least : int, default=None
        It may be decoded at 1/2, 1/4 or 1/8 of its size, as long as both sides
        keep so many pixels. None is its own size.

    Returns
    -------
    PIL.Image.Image
        Of the mode and with the pixels that Pillow gives, and its metadata.

    Raises
    ------
    DecodeError
        If pixels are missing. What Pillow raises is its own.
    """
    if _count_scans(data) > _MOST_SCANS:
        raise DecodeError(f"the JPEG has more than {_MOST_SCANS} scans")
    full_size = image.size
    if at_least is not None:
        image.draft(None, (at_least, at_least))
        image.info[REDUCED] = image.size != full_size
    if not _is_huffman(data, full_size):
        image.load()
        return image
    array, warning = _decode(image, data, full_size)
    if array is None and _MISSING.search(warning):
        # Some encoders leave out the bits that fill the last byte.
        end = _end(data)
        array, _ = _decode(image, data[:end] + b"\0" + data[end:], full_size)
        if array is None:
            raise DecodeError(_DAMAGED)
    if array is None:
        image.load()
        if _misses_pixels(image, data, at_least):
            raise DecodeError(_DAMAGED)
        return image
    pixels = _as_image(array, image.mode)
    pixels.info = image.info
    return pixels


def _as_image(array: np.ndarray, mode: str) -> Image.Image:
    height, width = array.shape[:2]
    if mode == "RGB":
        try:  # Pillow keeps RGB in four bytes a pixel, as they are here: nothing need be copied
            core = Image.core.map_buffer(array, (width, height), "raw", 0, (mode, 0, 1))
            pixels = Image.new(mode, (0, 0))._new(core)
            pixels.readonly = 1
            return pixels
        except (AttributeError, TypeError, ValueError):  # another Pillow than those that are known
            pass
    return Image.frombytes(mode, (width, height), array, "raw", _PACKED[mode])


def _decode(image: Image.Image, data: bytes, full_size: tuple[int, int]) -> tuple[np.ndarray | None, str]:
    """Pixels by simplejpeg, or None and why not: libjpeg's first warning."""
    width, height = (0, 0) if image.size == full_size else image.size
    try:
        array = simplejpeg.decode_jpeg(data, _COLORS[image.mode], min_width=width, min_height=height)
    except (ValueError, KeyError) as error:
        return None, str(error)
    return (array, "") if array.shape[:2] == image.size[::-1] else (None, "another size")


def _count_scans(data: bytes) -> int:
    """Count the markers that begin a scan: an eighth of the time of `bytes.count`."""
    at_even, at_odd = (np.frombuffer(data, "<u2", (len(data) - start) // 2, start) for start in (0, 1))
    return int(np.count_nonzero(at_even == _SCAN) + np.count_nonzero(at_odd == _SCAN))


def _is_huffman(data: bytes, size: tuple[int, int]) -> bool:
    """Whether it is of the usual kinds, and its size is the one that Pillow has read and that was allowed."""
    frame = next(((marker, place) for marker, place in _markers(data) if marker in (*_FRAMES, _SOS, _EOI)), None)
    if frame is None or frame[0] not in _SOF:
        return False
    _, place = frame
    height, width = (int.from_bytes(data[place + i : place + i + 2]) for i in (5, 7))
    return (width, height) == size


def _misses_pixels(image: Image.Image, data: bytes, at_least: int | None) -> bool:
    """Whether other data behind its end make another image, for files of which simplejpeg says something else."""
    end = _end(data)
    if end == len(data):  # no end marker: Pillow has reported it
        return False
    longer = JpegImagePlugin.JpegImageFile(io.BytesIO(data[:end] + _OTHER_DATA + data[end:]), "")
    if at_least is not None:
        longer.draft(None, (at_least, at_least))
    longer.load()
    return longer.tobytes() != image.tobytes()


def _end(data: bytes) -> int:
    """Where the end marker of the (first) image is; the length of `data` where there is none."""
    return next((place for marker, place in _markers(data) if marker == _EOI), len(data))


def _markers(data: bytes) -> Iterator[tuple[int, int]]:
    """Markers and their places; what lies between a segment and the next marker is passed over, as in libjpeg."""
    place = 2
    while found := _MARKER.search(data, place):
        place, marker = found.start(), data[found.start() + 1]
        yield marker, place
        place += 2
        if marker not in (0x01, 0xD8, _EOI):
            place += int.from_bytes(data[place : place + 2])
