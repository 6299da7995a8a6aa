"""Read the images of some rows: the tensors that the graph takes, and what cannot be used.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..exceptions import Position
from ..images._accept import ImageColumn
from ..images._cell import is_missing
from ..images._decode import DecodeError
from ..images._pixel_path import PixelPath
from ..images._preprocess import Preprocess
from ..images._several import members_of, spread

BROKEN = "NaN or infinite numbers from the network"
_BATCH_SIZE = 4


@dataclass(frozen=True)
class Bad:
    """An image, or a value, that cannot be used.

    Attributes
    ----------
    row : int
        Its row.
    policy : {"raise", "nan"}
        What becomes of that.
    reason : str
        Why it cannot be used.
    source : object
        The image; of a value, the first one of its row.
    column : str or None
        Its column of images.
    image : int or None
        Which of the row's images it is.
    """

    row: int
    policy: str
    reason: str
    source: Any
    column: str | None = None
    image: int | None = None

    def place(self) -> Position:
        """Say where it is: in which row, and which image of it."""
        return self.row if self.image is None else (self.row, self.image)

    def told(self, with_column: bool, *, with_image: bool = False) -> str:
        """Say the reason, and what it is about."""
        about = [
            *([self.column] if with_column and self.column else []),
            *([f"image {self.image}"] if with_image and self.image is not None else []),
        ]
        return f"{', '.join(about)}: {self.reason}" if about else self.reason


class Tensor:
    """An input of pixels: those of one column, for one encoder or several.

    Parameters
    ----------
    encoders : list of dict
        What the manifest says of these, each with the policies that hold.
    max_pixels : int
        Larger images are not decoded.
    """

    def __init__(self, encoders: list[dict[str, Any]], max_pixels: int):
        first = encoders[0]
        self.name, self._tensor, self._absent = first["name"], first["tensor"], first["absent"]
        self._size = first["preprocess"]["size"]
        self.path = pixel_path(first, max_pixels)
        self._policies = {
            name: "nan" if all(encoder[name] == "nan" for encoder in encoders) else "raise"
            for name in ("on_error", "on_missing")
        }
        self.rows: str | None = first.get("rows")
        self._takes_none = all(encoder.get("takes_none", True) for encoder in encoders)
        limits = [encoder["n_images"] for encoder in encoders if encoder.get("n_images")]
        self._most, self._least = min(limits, default=None), max(limits, default=None)

    def read(self, cells: Sequence[Any], chunk: range) -> tuple[dict[str, np.ndarray], list[Bad]]:
        """Read the images of some rows: what the graph takes, and those that cannot be used."""
        return self._read_several(cells, chunk) if self.rows else self._read_one(cells, chunk)

    def _read_one(self, cells: Sequence[Any], chunk: range) -> tuple[dict[str, np.ndarray], list[Bad]]:
        pixels = np.zeros((len(chunk), self._size, self._size, 3), np.uint8)
        absent: np.ndarray = np.zeros((len(chunk), 1), bool)
        bad = []
        for j, row in enumerate(chunk):
            found = self._pixels(cells[row])
            if isinstance(found, np.ndarray):
                pixels[j] = found
            else:
                absent[j] = True
                bad.append(Bad(row, found[0], found[1], cells[row], self.name))
        return {self._tensor: pixels, **({self._absent: absent} if self._absent else {})}, bad

    def _read_several(self, cells: Sequence[Any], chunk: range) -> tuple[dict[str, np.ndarray], list[Bad]]:
        assert self.rows
        pixels: list[np.ndarray] = []
        rows: list[list[int]] = []
        bad = []
        for row in chunk:
            rows.append([])
            n = len(members_of(cells[row]))
            if self._most is not None and n > self._most:
                reason = f"got {n} images, expected at most {self._most}, the most that the fit saw in a row"
                bad.append(Bad(row, "raise", reason, cells[row], self.name))
                continue
            images = spread(ImageColumn([cells[row]]), self._least)
            unusable = []
            for source, (_, i) in zip(images.sources, images.places or (), strict=True):
                found = self._pixels(source)
                if isinstance(found, np.ndarray):
                    rows[-1].append(len(pixels))
                    pixels.append(found)
                else:
                    rows[-1].append(-1)
                    unusable.append(Bad(row, found[0], found[1], source, self.name, i))
            if not self._takes_none and unusable and max(rows[-1]) < 0:
                unusable = [replace(image, policy="raise") for image in unusable]
            bad += unusable
        most = max(1, self._least or 0, *map(len, rows))
        own = np.array([[*row, *[-1] * (most - len(row))] for row in rows], np.int64)
        # Of no images at all some networks make nothing.
        stacked = np.stack(pixels or [np.zeros((self._size, self._size, 3), np.uint8)])
        return {self._tensor: stacked, self.rows: own}, bad

    def _pixels(self, source: Any) -> np.ndarray | tuple[str, str]:
        """Return the pixels of a source; or the policy that holds, and why there are none."""
        if is_missing(source):
            return self._policies["on_missing"], f"missing ({source!r})"
        try:
            return self.path.pixels(source)
        except DecodeError as error:
            return self._policies["on_error"], str(error)


def divide(n: int, several: Sequence[Sequence[Any]]) -> Iterator[range]:
    """Divide n rows such that few images are computed at once, those of one row together."""
    start = images = 0
    for row in range(n):
        own = max((len(members_of(cells[row])) for cells in several), default=1) or 1
        if row > start and images + own > _BATCH_SIZE:
            yield range(start, row)
            start, images = row, 0
        images += own
    if n:
        yield range(start, n)


def pixel_path(entry: dict[str, Any], max_pixels: int) -> PixelPath:
    """Say how images become pixels, by what the manifest says of an encoder."""
    decode = entry.get("decode")
    if decode is None:  # only what is decoded fast has it, and had not at first
        decode = "exact" if entry["at_least"] is None else "fast:1"
    return PixelPath(Preprocess(**entry["preprocess"]), decode, max_pixels)
