"""What is transparent in an image, and what it is laid on.

Like ``_decode.py``, this file also runs, byte for byte, where there is nothing but numpy, Pillow and simplejpeg.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, PngImagePlugin

_NEAR = 8
# Formats whose fourth byte is an alpha in some files and padding in others, whatever the header says.
_MAYBE_ALPHA = ("BMP", "DIB", "ICO", "CUR")


def lay_on_plain(image: Image.Image) -> Image.Image:
    """Lay what is transparent on white; on black what cannot be seen on white.

    Black is chosen if on white every pixel would lie within 8 levels of white, and on black not every one within 8
    levels of black. An image of which nothing is visible is white.

    Parameters
    ----------
    image : PIL.Image.Image
        Loaded.

    Returns
    -------
    PIL.Image.Image
        The same where nothing is transparent; else RGB.
    """
    image = _with_alpha(image)
    if not image.has_transparency_data:
        return image
    rgba = image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
    if image.format in _MAYBE_ALPHA and rgba.getchannel("A").getextrema()[1] == 0:
        return rgba.convert("RGB")
    on_white = _lay(rgba, "white")
    if all(low >= 255 - _NEAR for low, _ in on_white.getextrema()):
        on_black = _lay(rgba, "black")
        if any(high > _NEAR for _, high in on_black.getextrema()):
            return on_black
    return on_white


def load_png(image: PngImagePlugin.PngImageFile, data: bytes) -> Image.Image:
    """Load a PNG, the color that it calls transparent told by all its bits.

    Pillow compares that color with samples of 8 bits, which those of 2, 4 and 16 bits have become.
    """
    color, rawmode = image.info.get("transparency"), image.tile[0][3]
    if rawmode == "RGB;16B" and isinstance(color, tuple):
        return _load_rgb16(image, data, color)
    if rawmode in ("L;2", "L;4"):
        white = 3 if rawmode == "L;2" else 15
        if isinstance(color, int):
            image.info["transparency"] = (color & white) * 255 // white
    elif rawmode == "RGB" and isinstance(color, tuple):
        image.info["transparency"] = tuple(value & 255 for value in color)
    image.load()
    return image


def _load_rgb16(image: PngImagePlugin.PngImageFile, data: bytes, color: tuple[int, ...]) -> Image.Image:
    """Read both bytes of each sample: the high ones are the picture, both decide what is transparent."""
    low = PngImagePlugin.PngImageFile(io.BytesIO(data), "")
    low.tile = [(*tile[:3], "RGB;16L") for tile in low.tile]
    image.load()
    low.load()
    opaque = np.zeros(image.size[::-1], bool)
    for band, value in enumerate(color):
        opaque |= np.asarray(image.getchannel(band)) != value >> 8
        opaque |= np.asarray(low.getchannel(band)) != value & 255
    del image.info["transparency"]
    image.putalpha(Image.fromarray(opaque.astype(np.uint8) * 255))
    return image


def _with_alpha(image: Image.Image) -> Image.Image:
    """Add an alpha band if the image's format marks what is transparent in another way."""
    color = image.info.get("transparency")
    if image.mode.startswith("I;16"):
        values = np.asarray(image)
        grey = Image.fromarray((values >> 8).astype(np.uint8))
        if isinstance(color, int):
            grey.putalpha(Image.fromarray((values != color).astype(np.uint8) * 255))
        return grey
    if image.mode == "RGB" and isinstance(color, tuple) and max(color) > 255:  # of 16 bits, which are no longer there
        image = image.copy()
        image.info["transparency"] = tuple(value >> 8 for value in color)
    filled = getattr(image, "dispose_extent", None)
    if image.format == "GIF" and filled and filled != (0, 0, *image.size) and image.tell() == 0:
        rgba = image.convert("RGBA")
        alpha = Image.new("L", image.size, 0)
        alpha.paste(rgba.getchannel("A").crop(filled), filled)
        rgba.putalpha(alpha)
        return rgba
    return image


def _lay(rgba: Image.Image, color: str) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", rgba.size, color), rgba).convert("RGB")
