"""How large an image may be: our limit is a parameter, Pillow's is the whole process's.

Like ``_decode.py``, this file also runs, byte for byte, where there is nothing but numpy, Pillow and simplejpeg.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

MAX_PIXELS = 89_000_000

# One thread may ask again while it is lifted: a page of a TIFF that is read as several images.
_PILLOWS_LIMIT = threading.RLock()


class DecodeError(ValueError):
    """One image cannot be used; the message is the reason."""


def check_size(image: Image.Image, max_pixels: int) -> None:
    """Refuse an image without pixels, or with more than there may be."""
    width, height = image.size
    if width * height == 0:
        raise DecodeError(f"the image is {width} x {height}: it has no pixels")
    if width * height > max_pixels:
        raise DecodeError(
            f"the image has {width} x {height} = {width * height:,} pixels, more than max_pixels={max_pixels:,}"
        )


@contextmanager
def room_for(pixels: int) -> Iterator[None]:
    """Have Pillow load so many pixels, whatever its own limit."""
    # None is also what another thread sees while it is lifted.
    if pixels <= min(Image.MAX_IMAGE_PIXELS or MAX_PIXELS, MAX_PIXELS):
        yield
    else:
        with unlimited():
            yield


@contextmanager
def unlimited() -> Iterator[None]:
    """Lift Pillow's limit, which is the whole process's, for one huge image at a time: TIFF asks it in load()."""
    with _PILLOWS_LIMIT:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit
