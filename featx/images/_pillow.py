"""Pillow by featx's rules: the formats that it may open, its settings while it does, and how large an image may be.

The plugins are asked by name, not through Pillow's registry, where other code may have put its own; and what
other code told Pillow (to pass over truncated files, say) does not hold while featx reads. Like ``_decode.py``,
this file also runs, byte for byte, where there is nothing but numpy, Pillow and simplejpeg.
"""

from __future__ import annotations

import functools
import importlib
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from PIL import Image

MAX_PIXELS = 89_000_000

# One thread may ask again while it is lifted: a page of a TIFF that is read as several images.
_PILLOWS_LIMIT = threading.RLock()

# No format that runs a program (EPS), holds no single picture (PDF) or no 8-bit one (FITS).
_PLUGINS = {
    "JPEG": ("PIL.JpegImagePlugin", "jpeg_factory"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "WEBP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "PPM": ("PIL.PpmImagePlugin", "PpmImageFile"),
    "JPEG2000": ("PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "HEIF": ("pillow_heif", "HeifImageFile"),
}
FORMATS = tuple(_PLUGINS)

_FIRST_BYTES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    *((prefix, "TIFF") for prefix in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"MM*\0", b"II\0*")),
    *((b"P" + kind.encode(), "PPM") for kind in "123456fFy"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
)
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1"}

_WITHOUT = "the installed Pillow does not read {name}; install a newer one, or save the image as PNG or JPEG"
_WITHOUT_HEIF = (
    "a HEIC or HEIF image, which needs the package pillow-heif. "
    "Install it with: pip install 'featx[heif]' (beside a bundle: pip install pillow-heif)"
)

_READER = threading.local()
_SWITCHED = threading.Lock()
_readers = 0


class DecodeError(ValueError):
    """One image cannot be used; the message is the reason."""


def identify(data: bytes) -> str:
    """Name a file's format by its first bytes: one of `FORMATS`, or `DecodeError`."""
    if data[4:8] == b"ftyp":
        return _identify_iso(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    name = next((name for prefix, name in _FIRST_BYTES if data.startswith(prefix)), None)
    if name == "JPEG XL":
        raise DecodeError("a JPEG XL image, which Pillow does not read; save it as PNG or JPEG")
    if name is None:
        raise DecodeError(f"not an image: the file begins with {data[:12]!r}; expected one of {', '.join(FORMATS)}")
    return name


def open_plugin(name: str, data: bytes) -> Image.Image:
    """Have the format's own plugin read the header; what it raises on damage is its own."""
    plugin = _import(name)
    if not getattr(plugin, "SUPPORTED", True):
        raise DecodeError(_WITHOUT.format(name=name))
    return getattr(plugin, _PLUGINS[name][1])(io.BytesIO(data), "")


def _identify_iso(data: bytes) -> str:
    """AVIF, HEIC and videos are one container (ISO/IEC 14496-12); the first box lists whose rules it keeps."""
    size = min(int.from_bytes(data[:4]), 4096)
    major = data[8:12]
    brands = [major, *(data[i : i + 4] for i in range(16, size - 3, 4))]
    for brand in brands:
        if brand in _AVIF_BRANDS:
            return "AVIF"
        if brand in _HEIF_BRANDS - {b"mif1", b"mif2", b"msf1"}:  # which AVIF keeps too
            return "HEIF"
    if _HEIF_BRANDS.intersection(brands):
        return "HEIF"
    raise DecodeError(f"not an image: an ISO media file of brand {major.decode('latin-1')!r}, such as a video")


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(_PLUGINS[name][0])
    except ImportError as error:
        raise DecodeError(_WITHOUT_HEIF if name == "HEIF" else _WITHOUT.format(name=name)) from error


@contextmanager
def as_shipped() -> Iterator[None]:
    """Read as Pillow does where nobody has set its module-wide switches.

    Only for the thread that reads: others see what they have set, and so does
    this one afterwards. Switches that only refuse, or only cost time, are left.
    """
    global _readers
    depth = getattr(_READER, "depth", 0)
    _READER.depth = depth + 1
    with _SWITCHED:
        _readers += 1
        for module, name, shipped in _switches():
            theirs = getattr(module, name)
            if not isinstance(theirs, _Switch) and theirs != shipped:
                setattr(module, name, _Switch(shipped, theirs))
    try:
        yield
    finally:
        _READER.depth = depth
        with _SWITCHED:
            _readers -= 1
            for module, name, _ in _switches() if not _readers else ():
                switch = getattr(module, name)
                if isinstance(switch, _Switch):
                    setattr(module, name, switch.theirs)


class _Switch:
    """A switch that is as shipped for readers, and as it was set for everybody else."""

    def __init__(self, shipped: Any, theirs: Any):
        self.shipped = shipped
        self.theirs = theirs

    def _value(self) -> Any:
        return self.shipped if getattr(_READER, "depth", 0) else self.theirs

    def __bool__(self) -> bool:
        return bool(self._value())

    def __eq__(self, other: object) -> bool:
        return self._value() == other

    def __hash__(self) -> int:
        return hash(self._value())

    def __repr__(self) -> str:
        return repr(self._value())


@functools.cache
def _switches() -> tuple[tuple[ModuleType, str, Any], ...]:
    from PIL import BmpImagePlugin, GifImagePlugin, ImageFile, TiffImagePlugin

    switches = (
        (ImageFile, "LOAD_TRUNCATED_IMAGES", False),
        (TiffImagePlugin, "READ_LIBTIFF", False),
        (BmpImagePlugin, "USE_RAW_ALPHA", False),
        (GifImagePlugin, "LOADING_STRATEGY", GifImagePlugin.LoadingStrategy.RGB_AFTER_FIRST),
    )
    return tuple(switch for switch in switches if hasattr(*switch[:2]))  # not every Pillow has all


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
