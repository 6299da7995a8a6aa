"""Copies of an image as they come about: saved again, made smaller, slightly cropped."""

from __future__ import annotations

import io

from PIL import Image

JPEG_QUALITY = 60
CROPPED = 0.05
_LONGER_SIDE = 512
WAYS = ("saved as JPEG", "half the size", "cropped")


def make_copies(image: Image.Image) -> dict[str, Image.Image]:
    """Make one altered copy in each way; large images are made 512 pixels long first.

    Parameters
    ----------
    image : PIL.Image.Image
        RGB; it is left as it is.

    Returns
    -------
    dict of str to PIL.Image.Image
        JPEG of quality 60; half of each side; 5 % cut off each side's length.

    Examples
    --------
    >>> from PIL import Image
    >>> from featx.auditing._copies import make_copies
    >>> {way: copy.size for way, copy in make_copies(Image.new("RGB", (100, 80))).items()}
    {'saved as JPEG': (100, 80), 'half the size': (50, 40), 'cropped': (96, 76)}
    """
    image = shrink(image)
    return dict(zip(WAYS, (_saved_again(image), _half(image), _cropped(image)), strict=True))


def shrink(image: Image.Image) -> Image.Image:
    """The image, 512 pixels long if it is longer."""
    small = image.copy()
    small.thumbnail((_LONGER_SIDE, _LONGER_SIDE))
    return small


def _saved_again(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return Image.open(buffer).convert("RGB")


def _half(image: Image.Image) -> Image.Image:
    return image.resize([max(1, side // 2) for side in image.size], Image.Resampling.BICUBIC)


def _cropped(image: Image.Image) -> Image.Image:
    width, height = image.size
    dx, dy = (max(1, round(side * CROPPED / 2)) if side > 2 else 0 for side in image.size)
    return image.crop((dx, dy, width - dx, height - dy))
