"""RGB pixels -> the square of uint8 pixels that an encoder takes.

One step resizes and crops. Like ``_decode.py``, this file also runs, byte for byte, where there is nothing but numpy,
Pillow and simplejpeg.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from .._validate import check_choice, check_integer
from ._resize import INTERPOLATIONS, Box, resize_exactly

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

FITS = ("crop", "squash", "pad")
_Resize = Callable[[Image.Image, tuple[int, int], str, Box], Image.Image]


@dataclass(frozen=True)
class Preprocess:
    """How an image becomes an encoder's input; plain data, part of the encoder's fingerprint.

    Parameters
    ----------
    size : int, default=224
        Side of the square, in pixels.
    resize : int or None, default=None
        With ``fit="crop"`` the shorter side would be resized to this, with
        ``"squash"`` both sides, before a central square of `size` is cut, so a
        larger value cuts more away. None is `size`: nothing more is cut.
    fit : {"crop", "squash", "pad"}, default="crop"
        ``"crop"`` takes the centred square of side min(width, height) * size / resize,
        ``"squash"`` the share size / resize of both sides whatever their aspect, so
        without `resize` the whole image, ``"pad"`` the whole image with its aspect,
        on a background of the mean colour.
    interpolation : {"nearest", "bilinear", "bicubic", "lanczos"}, default="bicubic"
        Pillow's filter of that name.
    mean, std : tuple of 3 floats, default=None
        Per channel, in units of 1 = white; applied inside the network's graph. None is what the network was trained
        with where featx knows it, else ImageNet's.

    Raises
    ------
    ValueError
        If a value is not one of those above.

    Examples
    --------
    >>> import numpy as np
    >>> from PIL import Image
    >>> from featx import Preprocess
    >>> Preprocess(size=8, fit="squash")(Image.new("RGB", (20, 10))).shape
    (8, 8, 3)
    """

    size: int = 224
    resize: int | None = None
    fit: str = "crop"
    interpolation: str = "bicubic"
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        size = check_integer("size", self.size)
        resize = size if self.resize is None else check_integer("resize", self.resize)
        if resize < size:
            raise ValueError(f"Got resize={resize} below size={size}; expected resize >= size.")
        check_choice("fit", self.fit, FITS)
        check_choice("interpolation", self.interpolation, INTERPOLATIONS)
        object.__setattr__(self, "size", size)
        # Two ways to say one thing must be equal.
        object.__setattr__(self, "resize", resize if self.fit != "pad" and resize > size else None)
        if self.mean is not None:
            object.__setattr__(self, "mean", _three("mean", self.mean, lambda mean: 0 <= mean <= 1, "in 0..1"))
        if self.std is not None:
            object.__setattr__(self, "std", _three("std", self.std, lambda std: 0 < std < math.inf, "above 0"))

    def __call__(self, image: Image.Image, resize: _Resize = resize_exactly) -> np.ndarray:
        """Resize and crop in one step.

        Parameters
        ----------
        image : PIL.Image.Image
            Mode RGB.
        resize : callable, default=resize_exactly
            `resize_exactly` or `resize_fast`.

        Returns
        -------
        ndarray of shape (size, size, 3), uint8
        """
        scale = self.size / max(image.size)
        width, height = (max(1, round(side * scale)) for side in image.size) if self.fit == "pad" else (self.size,) * 2
        resized = resize(image, (width, height), self.interpolation, self.box(*image.size))
        return np.asarray(self._pad(resized) if self.fit == "pad" else resized)

    def box(self, width: int, height: int) -> Box:
        """Give the part of the image that is used: left, upper, right, lower, in pixels of the image."""
        if self.fit == "pad":
            return 0.0, 0.0, float(width), float(height)
        sides = (width, height) if self.fit == "squash" else (min(width, height),) * 2
        across, down = (side * self.size / (self.resize or self.size) for side in sides)
        left, upper = (width - across) / 2, (height - down) / 2
        return left, upper, left + across, upper + down

    def scaled_as(self, own: Preprocess | None) -> Preprocess:
        """Return it with a network's own mean and std where it has none, or ImageNet's where nothing is known of it."""
        mean, std = (IMAGENET_MEAN, IMAGENET_STD) if own is None else (own.mean, own.std)
        return replace(self, mean=self.mean or mean, std=self.std or std)

    def _pad(self, image: Image.Image) -> Image.Image:
        background = Image.new("RGB", (self.size, self.size), tuple(round(255 * m) for m in self.mean or IMAGENET_MEAN))
        background.paste(image, ((self.size - image.width) // 2, (self.size - image.height) // 2))
        return background


def _three(name: str, values: Any, fits: Callable[[float], bool], range_: str) -> tuple[float, float, float]:
    expected = f"expected 3 finite numbers {range_}, where 1 is white"
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        raise ValueError(f"Got {name}={values!r}; {expected}.") from None
    if len(numbers) != 3 or not all(map(fits, numbers)):
        raise ValueError(f"Got {name}={tuple(numbers)}; {expected}.")
    return numbers[0], numbers[1], numbers[2]
