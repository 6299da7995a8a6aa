"""TIFF: the page that counts, and the samples that Pillow misreads or does not read.

Pillow reads pages of 8 bits a sample and of one plane. Of others it reads some wrongly (16-bit grey where white is 0,
uncompressed planes, 12 bits) and most not at all. They are read here: the page is described to Pillow as a grey picture
of its bytes, which libtiff then unpacks, and numpy makes samples of the bytes.

Like ``_decode.py``, this file also runs, byte for byte, where there is nothing but numpy, Pillow and simplejpeg.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

from ._pillow import DecodeError, room_for

_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _COLORS = 254, 255, 256, 257, 258, 259, 262
_FILL_ORDER, _STRIPS, _ORIENTATION, _SAMPLES, _ROWS, _STRIP_BYTES, _PLANAR = 266, 273, 274, 277, 278, 279, 284
_PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _SUBPAGES = 317, 322, 323, 324, 325, 330
_COLORMAP, _EXTRA, _FORMAT, _SUBSAMPLING, _XMP = 320, 338, 339, 530, 700

# How many samples are a color; the others are raw photos, masks and spaces that have no RGB here.
_N_COLORS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}
_MODES = {0: "L", 1: "L", 2: "RGB", 3: "RGB", 5: "CMYK"}
_PALETTE, _YCBCR, _LAB = 3, 6, 8
_NAMES = dict.fromkeys((0, 1), "grey") | {2: "RGB", 3: "palette", 4: "transparency mask", 5: "CMYK", 6: "YCbCr"}
_NAMES |= {8: "CIELAB", 9: "ICCLAB", 10: "ITULAB", 32803: "color filter array", 34892: "linear raw"}
_NAMES |= {32844: "LogL", 32845: "LogLuv"}
_RAW = (32803, 34892)
_FORMATS = {1: "unsigned integers", 2: "signed integers", 3: "floats", 5: "complex integers", 6: "complex floats"}
# Schemes whose result are bytes of samples, as they are without any.
_BYTEWISE = {1, 5, 8, 32773, 32946, 34925, 50000}
_WITH_PREDICTOR = _BYTEWISE - {1, 32773}
_PACKED_BITS = (1, 2, 4)

_BIG = 43
_PREVIEW = 4
_MOST_PAGES = 256
_MOST_EXTRA = 3
_LARGE_TILE = 4096
_BLOCK = 1 << 20


def open_tiff(data: bytes) -> Image.Image:
    """Open the page that counts.

    It is the first one. Where that is marked as reduced, or has pages below it, it is the largest of them that can be
    read; but none that has less than a quarter of the largest one's width and height.

    Parameters
    ----------
    data : bytes
        A TIFF file, or a raw photo in that form (DNG, NEF, ...).

    Returns
    -------
    PIL.Image.Image
        Its pixels are still to be loaded.

    Raises
    ------
    DecodeError
        If its samples have no agreed range, or are of a kind that is not read; the message says which.
    """
    first = _directory(data, _header(data).next)
    page = _choose(data, first)
    if _is_read_here(page):
        image: Image.Image = _Page(data, page)
    else:
        image = _by_pillow(data, page)
    if page is not first and _ORIENTATION not in page and _ORIENTATION in first:
        image.getexif()[_ORIENTATION] = first[_ORIENTATION]
    return image


def mend_loaded(image: TiffImagePlugin.TiffImageFile) -> Image.Image:
    """Make the best of a page that Pillow has read already.

    Parameters
    ----------
    image : PIL.TiffImagePlugin.TiffImageFile

    Returns
    -------
    PIL.Image.Image
        The same, or 16-bit grey as 8 bits.

    Raises
    ------
    DecodeError
        As in `open_tiff`, or if Pillow has read it wrongly.
    """
    page = image.tag_v2
    if reason := _refusal(page):
        raise DecodeError(reason)
    bits = _bits(page)[0]
    of_8_bits = bits == 8 and _number(page, _COLORS, 0) in (1, 2, 3, 5) and _number(page, _FILL_ORDER) == 1
    if _number(page, _PLANAR) == 2 and _number(page, _COMPRESSION) == 1 and not of_8_bits:
        raise DecodeError(f"{_told(page)}, in planes, which Pillow has misread; pass the file's path or bytes instead")
    if image.mode.startswith("I;16"):
        grey = _to_8_bits(np.asarray(image), bits)
        return Image.fromarray(255 - grey if _number(page, _COLORS, 0) == 0 else grey)
    return image


def _header(data: bytes) -> TiffImagePlugin.ImageFileDirectory_v2:
    if data[:4] == b"MM\0+":
        raise DecodeError("a BigTIFF in big-endian byte order, which is not read; save it as TIFF")
    return TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if data[2] == _BIG else 8])


def _directory(data: bytes, offset: int) -> TiffImagePlugin.ImageFileDirectory_v2:
    directory = _header(data)
    file = io.BytesIO(data)
    file.seek(offset)
    directory.load(file)
    return directory


def _choose(data: bytes, first: Any) -> Any:
    if not _is_reduced(first) and _SUBPAGES not in first:
        page = first
    else:
        pages = [page for page in _pages(data, first) if not _is_mask(page)] or [first]
        largest = max(pages, key=_area)
        page = max((page for page in pages if not _refusal(page)), key=_area, default=largest)
        if any(_PREVIEW * _number(page, side) < _number(largest, side) for side in (_WIDTH, _HEIGHT)):
            raise DecodeError(
                f"{_refusal(largest)}; all of it that can be read is a preview of {_number(page, _WIDTH)} x "
                f"{_number(page, _HEIGHT)} pixels"
            )
    if reason := _refusal(page):
        raise DecodeError(reason)
    for side, of_tile in ((_WIDTH, _TILE_WIDTH), (_HEIGHT, _TILE_HEIGHT)):
        if _number(page, of_tile) > 2 * _number(page, side, 0) + _LARGE_TILE:  # libtiff makes room for a tile first
            raise DecodeError(f"the TIFF is damaged: it names tiles of {_number(page, of_tile):,} pixels")
    return page


def _pages(data: bytes, first: Any) -> Iterator[Any]:
    """Yield the first page, those that follow it if it is a reduced one, and those below each."""
    offsets = [first.offset]
    seen: set[int] = set()
    while offsets and len(seen) < _MOST_PAGES:
        offset = offsets.pop(0)
        if offset in seen:
            continue
        seen.add(offset)
        page = first if offset == first.offset else _directory(data, offset)
        if _WIDTH not in page:
            if _is_reduced(first):
                raise DecodeError("the TIFF is damaged: the page that it is a preview of is not there")
            continue
        yield page
        offsets += [below for below in _numbers(page, _SUBPAGES, ()) if below]
        if _is_reduced(first) and page.next:
            offsets.append(page.next)


def _is_reduced(page: Any) -> bool:
    return bool(_number(page, _SUBFILE, 0) & 1) or _number(page, _OLD_SUBFILE, 0) == 2


def _is_mask(page: Any) -> bool:
    return bool(_number(page, _SUBFILE, 0) & 4) or _number(page, _COLORS, 0) == 4


def _area(page: Any) -> int:
    return _number(page, _WIDTH, 0) * _number(page, _HEIGHT, 0)


def _numbers(page: Any, tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
    value = page.get(tag, default)
    return value if isinstance(value, tuple) else (value,)


def _number(page: Any, tag: int, default: int = 1) -> int:
    value = _numbers(page, tag, (default,))[0]
    return value if isinstance(value, int) else default


def _n_samples(page: Any) -> int:
    of_jpeg = _number(page, _COMPRESSION) == 6 and _number(page, _COLORS, 0) in (2, 6)
    return _number(page, _SAMPLES, 3 if of_jpeg else 1)


def _bits(page: Any) -> tuple[int, ...]:
    """Bits of each sample; one value stands for all."""
    bits, n = _numbers(page, _BITS, (1,)), _n_samples(page)
    return bits * n if len(bits) == 1 and 0 < n < 256 else bits[:n] if n else bits


def _alpha(page: Any) -> str:
    """Name the sample behind the colors as Pillow's modes do: a is premultiplied, A is not, X is none."""
    extra = _n_samples(page) - _N_COLORS[_number(page, _COLORS, 0)]
    default = 2 if extra == 1 and _number(page, _COLORS, 0) == 2 else 0
    return {1: "a", 2: "A", 999: "A"}.get(_number(page, _EXTRA, default), "X") if extra > 0 else ""


def _told(page: Any) -> str:
    bits, colors = _bits(page), _number(page, _COLORS, 0)
    format_ = _FORMATS.get(_number(page, _FORMAT), "samples of no known format")
    name = _NAMES.get(colors, f"photometric interpretation {colors}")
    depth = f"{bits[0]}-bit" if len(set(bits)) == 1 else f"{', '.join(map(str, bits))}-bit"
    n = _n_samples(page)
    return f"a TIFF of {depth} {format_} in {n} band{'s' * (n != 1)} ({name})"


def _refusal(page: Any) -> str:
    """Why a page cannot be read; "" where it can."""
    bits, colors, samples = _bits(page), _number(page, _COLORS, 0), _n_samples(page)
    if colors in _RAW:
        size = f"{_number(page, _WIDTH, 0)} x {_number(page, _HEIGHT, 0)}"
        return f"a raw photo ({_NAMES[colors]}) of {size} pixels; develop it, and save it as TIFF, PNG or JPEG"
    formats = set(_numbers(page, _FORMAT, (1,)))
    if formats != {1}:
        return f"{_told(page)}, which have no agreed range; save it as unsigned 8 or 16 bits"
    if max(bits) > 16:
        return f"{_told(page)}, which have no agreed range; save it as 8 or 16 bits"
    unread = f"{_told(page)}, which is not read; save it as grey or RGB of 8 bits"
    extra = samples - _N_COLORS.get(colors, samples + 1)
    if len(set(bits)) > 1 or len(bits) != samples or (colors == _PALETTE and bits[0] > 8):
        return unread
    if not 0 <= extra <= _MOST_EXTRA:
        return f"{unread}, or each band apart"
    n_told = len(_numbers(page, _EXTRA, ()))
    if extra and not (n_told >= extra or (n_told == 0 and colors == 2 and extra == 1)):
        return f"{unread}, or each band apart"
    scheme, predictor = _number(page, _COMPRESSION), _number(page, _PREDICTOR)
    if colors == _YCBCR and scheme == 1 and (_number(page, _PLANAR) == 2 or set(page.get(_SUBSAMPLING, (1,))) != {1}):
        return f"{_told(page)}, in planes or subsampled and not compressed, which is not read; save it as RGB"
    if colors == _LAB and _number(page, _PLANAR) == 2:
        return f"{_told(page)}, in planes, which is not read; save it as RGB"
    if scheme not in TiffImagePlugin.COMPRESSION_INFO:
        return f"{_told(page)}, compressed by scheme {scheme}, which is not read; save it without compression"
    if scheme in _WITH_PREDICTOR and not (predictor == 1 or (predictor == 2 and bits[0] in (8, 16))):
        return f"{_told(page)}, with predictor {predictor}, which is not read; save it without compression"
    return ""


def _is_read_here(page: Any) -> bool:
    bits, n, colors = _bits(page)[0], _n_samples(page), _number(page, _COLORS, 0)
    if _number(page, _COMPRESSION) not in _BYTEWISE or colors not in _MODES:
        return False
    plain = _number(page, _PLANAR) == 1 and _number(page, _FILL_ORDER) == 1
    usual = bits in (8, *_PACKED_BITS) if n == 1 else bits == 8 and colors != 0
    return not (plain and usual)


def _by_pillow(data: bytes, page: Any) -> Image.Image:
    if page.offset != _header(data).next:
        at, kind = (8, "Q") if data[2] == _BIG else (4, "L")
        pointer = struct.pack(("<" if page.prefix == b"II" else ">") + kind, page.offset)
        data = b"".join((data[:at], pointer, memoryview(data)[at + len(pointer) :]))
    try:
        return TiffImagePlugin.TiffImageFile(io.BytesIO(data), "")
    except SyntaxError as error:
        if _WIDTH not in page:
            raise
        raise DecodeError(f"{_told(page)}, compressed by scheme {_number(page, _COMPRESSION)}: {error}") from error


class _Page(Image.Image):
    """A page whose samples are read here; 8 bits a channel once it is loaded."""

    format = "TIFF"

    def __init__(self, data: bytes, page: Any):
        super().__init__()
        self._data, self._page = data, page
        colors = _number(page, _COLORS, 0)
        self._mode, alpha = _MODES[colors], _alpha(page)
        self._kept = _N_COLORS[colors]
        if alpha in ("a", "A") and self._mode in ("L", "RGB") and colors != _PALETTE:
            self._mode += alpha
            self._kept += 1
        self._size = _number(page, _WIDTH, 0), _number(page, _HEIGHT, 0)
        self._loaded = False
        if _XMP in page:
            self.info["xmp"] = page[_XMP]
        if _ORIENTATION in page:
            self.getexif()[_ORIENTATION] = page[_ORIENTATION]

    def load(self) -> Any:
        if not self._loaded:
            samples = _read_samples(self._data, self._page, self._kept)
            self.im = Image.frombytes(self.mode, self.size, samples).im
            self._loaded = True
        return super().load()


def _read_samples(data: bytes, page: Any, kept: int) -> np.ndarray:
    """Read the first bands as 8 bits, or a palette's colors: (height, width, bands)."""
    width, height = _number(page, _WIDTH, 0), _number(page, _HEIGHT, 0)
    bits, samples, colors = _bits(page)[0], _n_samples(page), _number(page, _COLORS, 0)
    planes = samples if _number(page, _PLANAR) == 2 else 1
    result = np.empty((height, width, kept), np.uint8)
    for plane in range(min(planes, kept)):
        interleaved = samples // planes
        top = 0
        for rows in _sample_rows(data, page, plane, planes, bits, interleaved):
            part = rows[:, :width, : kept if planes == 1 else 1]
            bands = slice(None) if planes == 1 else slice(plane, plane + 1)
            result[top : top + len(part), :, bands] = part if colors == _PALETTE else _to_8_bits(part, bits)
            top += len(part)
    if colors == 0:
        result[:, :, 0] = 255 - result[:, :, 0]
    if colors == _PALETTE:
        palette = np.array(page[_COLORMAP]).reshape(3, -1).T >> 8
        return palette.astype(np.uint8)[result[:, :, 0]]
    return result


def _sample_rows(data: bytes, page: Any, plane: int, planes: int, bits: int, interleaved: int) -> Iterator[np.ndarray]:
    """Blocks of rows of one plane: (rows, at least width, interleaved), of full depth."""
    width, height = _number(page, _WIDTH, 0), _number(page, _HEIGHT, 0)
    across = _number(page, _TILE_WIDTH) if _TILES in page else width
    tiles = -(-width // across)
    whole = tiles * across if tiles > 1 or _TILES in page else width
    if tiles > 1 and across * interleaved * bits % 8:
        raise ValueError(f"tiles of {across} x {interleaved} samples of {bits} bits end inside a byte")
    row_bytes = tiles * -(-across * interleaved * bits // 8)
    image = _as_bytes(data, page, plane, planes, row_bytes, row_bytes // tiles)
    differences = _number(page, _PREDICTOR) == 2 and _number(page, _COMPRESSION) in _WITH_PREDICTOR
    little = bits == 16 and page.prefix == b"II"
    step = max(1, _BLOCK // row_bytes)
    with room_for(row_bytes * height):
        image.load()
    for top in range(0, height, step):
        block = np.asarray(image.crop((0, top, row_bytes, min(top + step, height))))
        values = _unpack(block, bits, whole * interleaved, little)
        if differences:
            values = values.reshape(len(values), tiles, across, interleaved)
            values = np.cumsum(values, axis=2, dtype=np.uint16) & ((1 << bits) - 1)
        yield values.reshape(len(values), whole, interleaved)


def _unpack(rows: np.ndarray, bits: int, n: int, little: bool) -> np.ndarray:
    """Rows of bytes -> rows of n samples, whose bits follow each other from the highest on."""
    if bits == 16:
        return rows.view("<u2" if little else ">u2")
    starts = np.arange(n) * bits
    at, within = starts >> 3, (starts & 7).astype(np.uint32)
    padded = np.pad(rows, ((0, 0), (0, 2))).astype(np.uint32)
    window = padded[:, at] << 16 | padded[:, at + 1] << 8 | padded[:, at + 2]
    return ((window >> (24 - bits - within)) & ((1 << bits) - 1)).astype(np.uint16)


def _to_8_bits(values: np.ndarray, bits: int) -> np.ndarray:
    return (values >> (bits - 8) if bits >= 8 else values * 255 // ((1 << bits) - 1)).astype(np.uint8)


def _as_bytes(data: bytes, page: Any, plane: int, planes: int, row: int, tile_row: int) -> Image.Image:
    """One plane of a page as a grey picture of its bytes: libtiff unpacks them, and leaves them as they are."""

    def of_plane(tag: int) -> tuple[int, ...]:
        values = _numbers(page, tag, ())
        n = len(values) // planes
        return values[plane * n : (plane + 1) * n]

    tiled = _TILES in page
    height = _number(page, _HEIGHT, 0)
    entries: dict[int, tuple[int, ...]] = {
        _WIDTH: (row,),
        _HEIGHT: (height,),
        _BITS: (8,),
        _COLORS: (1,),
        _SAMPLES: (1,),
    }
    entries |= {_COMPRESSION: (_number(page, _COMPRESSION),), _FILL_ORDER: (_number(page, _FILL_ORDER),)}
    if tiled:
        entries |= {_TILE_WIDTH: (tile_row,), _TILE_HEIGHT: (_number(page, _TILE_HEIGHT),)}
        entries |= {_TILES: of_plane(_TILES), _TILE_BYTES: of_plane(_TILE_BYTES)}
    else:
        entries |= {_STRIPS: of_plane(_STRIPS), _ROWS: (min(_number(page, _ROWS, height), height),)}
        entries |= {_STRIP_BYTES: of_plane(_STRIP_BYTES)}
    entries = {tag: values for tag, values in sorted(entries.items()) if values}
    at = len(data) + len(data) % 2
    behind = at + 2 + 12 * len(entries) + 4
    directory, values_behind = struct.pack("<H", len(entries)), b""
    for tag, values in entries.items():
        packed = struct.pack(f"<{len(values)}L", *values)
        if len(values) > 1:
            values_behind += packed
            packed = struct.pack("<L", behind + len(values_behind) - len(packed))
        directory += struct.pack("<HHL", tag, 4, len(values)) + packed
    header = b"II*\0" + struct.pack("<L", at)
    parts = (header, memoryview(data)[8:], b"\0" * (at - len(data)), directory, bytes(4), values_behind)
    return TiffImagePlugin.TiffImageFile(io.BytesIO(b"".join(parts)), "")
