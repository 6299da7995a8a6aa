"""A part of an RGB image -> an image of another size: exactly as Pillow does it, or fast.

Pillow 11.3 to 13.0 give the same values here. pillow-simd 12.1.1 does not, though it is taken for Pillow: 3 of 1,000
differ by 1. The fast way is the package cykooz-resizer, which holds the Rust crate fast_image_resize: Pillow's filters,
in vector instructions that all give the same values, of which 997 of 1,000 are Pillow's and nearly all others 1 off.
Like ``_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

from types import ModuleType

from PIL import Image

from ..exceptions import MissingDependencyError
from ._jpeg import REDUCED

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")
_FILTERS = {"bilinear": "bilinear", "bicubic": "catmull_rom", "lanczos": "lanczos3"}

Box = tuple[float, float, float, float]


def resize_exactly(image: Image.Image, size: tuple[int, int], interpolation: str, box: Box) -> Image.Image:
    """Resize by Pillow, along rows and then along columns.

    Parameters
    ----------
    image : PIL.Image.Image
        Mode RGB.
    size : tuple of 2 ints
        Width and height of the result.
    interpolation : {"nearest", "bilinear", "bicubic", "lanczos"}
    box : tuple of 4 floats
        The part that is used: left, upper, right, lower.

    Returns
    -------
    PIL.Image.Image
        Mode RGB.
    """
    resample = Image.Resampling[interpolation.upper()]
    left, upper, right, lower = box
    # Pillow 13 goes along columns first where that is less work, and in between values are rounded and cut off.
    rows = image.resize((size[0], image.height), resample, box=(left, 0, right, image.height))
    return rows.resize(size, resample, box=(0, upper, size[0], lower))


def resize_fast(image: Image.Image, size: tuple[int, int], interpolation: str, box: Box) -> Image.Image:
    """Resize by cykooz-resizer, with parameters and result as `resize_exactly`; ``"nearest"`` is Pillow's."""
    if interpolation == "nearest":
        return resize_exactly(image, size, interpolation, box)
    if image.info.get(REDUCED):  # its pixels are others than Pillow's anyway
        return _convolve(image, size, interpolation, box)
    # The package goes along columns first.
    left, upper, right, lower = box
    across = image.transpose(Image.Transpose.TRANSPOSE)
    resized = _convolve(across, size[::-1], interpolation, (upper, left, lower, right))
    return resized.transpose(Image.Transpose.TRANSPOSE)


def _convolve(image: Image.Image, size: tuple[int, int], interpolation: str, box: Box) -> Image.Image:
    package = import_resizer()
    left, upper, right, lower = box
    options = package.ResizeOptions()
    options.resize_alg = package.ResizeAlg.convolution(package.FilterType[_FILTERS[interpolation]])
    options.crop_box = package.CropBox(left, upper, right - left, lower - upper)
    resized = Image.new("RGB", size)
    package.Resizer().resize_pil(image, resized, options)
    return resized


def import_resizer() -> ModuleType:
    """Import cykooz-resizer.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    try:
        import cykooz_resizer
    except ImportError as error:
        raise MissingDependencyError(
            "decode='fast' needs the package 'cykooz-resizer', which is not installed. "
            "Install it with: pip install 'featx[fast]' (beside a bundle: pip install -r requirements.txt)"
        ) from error
    return cykooz_resizer
