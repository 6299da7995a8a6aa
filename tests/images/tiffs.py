"""TIFF files of every kind, made by hand: what Pillow cannot write, it may still have to read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

RAW, LZW, DEFLATE, PACKBITS = 1, 5, 8, 32773
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass
class Page:
    """One page of a file.

    Attributes
    ----------
    samples : ndarray of shape (height, width[, bands])
        Unsigned integers of `bits` bits, or of any dtype of 8 bits and more, which is written as it is.
    bits : int
    colors : int
        The photometric interpretation: 0 and 1 are grey, 2 is RGB.
    planar : bool
        Whether each band is stored apart.
    rows : int
        Of each strip.
    tile : tuple of int or None
        Width and height.
    tags : dict of int to values
        Others, or other values; an empty tuple leaves one out.
    below : list of Page
        SubIFDs.
    """

    samples: np.ndarray
    bits: int = 8
    colors: int = 1
    compression: int = RAW
    planar: bool = False
    rows: int = 3
    tile: tuple[int, int] | None = None
    fill_order: int = 1
    predictor: int = 1
    tags: dict[int, Sequence[int] | bytes] = field(default_factory=dict)
    below: list[Page] = field(default_factory=list)


def write_tiff(*pages: Page, order: str = "<", big: bool = False) -> bytes:
    """A file of these pages, in little- or big-endian order."""
    magic = b"II" if order == "<" else b"MM"
    header = struct.pack(order + "HHHQ", 43, 8, 0, 0) if big else struct.pack(order + "HL", 42, 0)
    file = bytearray(magic + header)
    at = 8 if big else 4
    for page in pages:
        start, then = _append(file, page, order, big)
        struct.pack_into(order + ("Q" if big else "L"), file, at, start)
        at = then
    return bytes(file)


def _append(file: bytearray, page: Page, order: str, big: bool) -> tuple[int, int]:
    """Append a page; where its directory starts, and where that names the next one."""
    blocks, sizes = [], []
    for part in _blocks(page, order):
        blocks.append(len(file))
        sizes.append(len(part))
        file += part
    below = [_append(file, other, order, big)[0] for other in page.below]
    samples = page.samples if page.samples.ndim == 3 else page.samples[:, :, None]
    height, width, bands = samples.shape
    tags: dict[int, Sequence[int] | bytes] = {256: [width], 257: [height], 258: [page.bits] * bands}
    tags |= {259: [page.compression], 262: [page.colors], 266: [page.fill_order], 277: [bands]}
    tags |= {284: [2 if page.planar else 1], 317: [page.predictor]}
    if page.tile:
        tags |= {322: [page.tile[0]], 323: [page.tile[1]], 324: blocks, 325: sizes}
    else:
        tags |= {273: blocks, 278: [page.rows], 279: sizes}
    if below:
        tags[330] = below
    tags = {tag: values for tag, values in sorted((tags | page.tags).items()) if len(values)}
    file += bytes(len(file) % 2)
    start, n = len(file), len(tags)
    count, entry, offset, inline = ("Q", 20, "Q", 8) if big else ("H", 12, "L", 4)
    behind = start + struct.calcsize(order + count) + n * entry + struct.calcsize(order + offset)
    directory, values_behind = struct.pack(order + count, n), b""
    for tag, values in tags.items():
        if isinstance(values, bytes):
            packed, kind = values, 7
        else:
            kind = 4 if tag in (256, 257, 273, 278, 279, 322, 323, 324, 325, 330) else 3
            packed = struct.pack(order + f"{len(values)}{'L' if kind == 4 else 'H'}", *values)
        if len(packed) > inline:
            pointer = struct.pack(order + offset, behind + len(values_behind))
            values_behind += packed + bytes(len(packed) % 2)
            packed = pointer
        directory += struct.pack(order + "HH" + ("Q" if big else "L"), tag, kind, len(values)) + packed.ljust(
            inline, b"\0"
        )
    file += directory + struct.pack(order + offset, 0) + values_behind
    return start, start + len(directory)


def _blocks(page: Page, order: str) -> list[bytes]:
    """Strips or tiles, plane after plane."""
    samples = page.samples if page.samples.ndim == 3 else page.samples[:, :, None]
    planes = [samples[:, :, [band]] for band in range(samples.shape[2])] if page.planar else [samples]
    return [_encode(block, page, order) for plane in planes for block in _cut(plane, page)]


def _cut(plane: np.ndarray, page: Page) -> list[np.ndarray]:
    height, width, _ = plane.shape
    if page.tile is None:
        return [plane[top : top + page.rows] for top in range(0, height, page.rows)]
    across, down = page.tile
    padded = np.pad(plane, ((0, -height % down), (0, -width % across), (0, 0)))
    tops, lefts = range(0, height, down), range(0, width, across)
    return [padded[top : top + down, left : left + across] for top in tops for left in lefts]


def _encode(block: np.ndarray, page: Page, order: str) -> bytes:
    rows, width, bands = block.shape
    if page.predictor == 2:
        block = np.diff(block.astype(np.int64), axis=1, prepend=0) % (1 << page.bits)
    if page.bits % 8 == 0 and page.bits >= 8:
        kind = f"u{page.bits // 8}" if page.predictor == 2 else block.dtype.str[1:]
        data = block.astype(order + kind if page.bits > 8 else kind).tobytes()
    else:
        shifts = np.arange(page.bits - 1, -1, -1)
        bits = (block.reshape(rows, width * bands, 1).astype(np.int64) >> shifts) & 1
        data = np.packbits(bits.reshape(rows, -1).astype(np.uint8), axis=1).tobytes()
    data = {RAW: bytes, LZW: _lzw, DEFLATE: zlib.compress, PACKBITS: _packbits}[page.compression](data)
    return data.translate(_REVERSED) if page.fill_order == 2 else data


def _packbits(data: bytes) -> bytes:
    runs = [data[i : i + 128] for i in range(0, len(data), 128)]
    return b"".join(bytes([len(run) - 1]) + run for run in runs)


def _lzw(data: bytes) -> bytes:
    """Literals only, with a clear code before codes would need 10 bits."""
    codes = [code for i in range(0, len(data), 200) for code in (256, *data[i : i + 200])] + [257]
    bits = "".join(f"{code:09b}" for code in codes)
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
