"""What a near duplicate is told by: a few pixels, aligned, and compared with how images of this set differ.

Embeddings are made to overlook what tells two images of one kind apart: on 1,500 images of Fashion-MNIST a cosine
similarity that one image in twenty has to a different image misses nine of ten copies saved again as JPEG, and all
of half the size; these pixels miss none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

_SIDE = 8
_CROPS = (0.0, 0.05, 0.1)
_FLOOR = 0.3
_FEW_ROWS = 50
_GREY_LEVEL = 1.0
LOOK_SHAPE = (len(_CROPS), 3 * _SIDE**2)
# Either image may be the cropped one.
_ALIGNMENTS = [(0, 0), *((crop, 0) for crop in range(1, len(_CROPS))), *((0, crop) for crop in range(1, len(_CROPS)))]


def few_pixels(image: Image.Image) -> np.ndarray:
    """The image as 8 x 8 pixels in three channels, uint8: whole, and without 5 and 10 % of each side's length.

    Examples
    --------
    >>> from PIL import Image
    >>> from featx.auditing._look import few_pixels
    >>> few_pixels(Image.new("RGB", (100, 80))).shape
    (3, 192)
    """
    width, height = image.size
    looks = []
    for crop in _CROPS:
        x, y = crop / 2 * width, crop / 2 * height
        small = image.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR, (x, y, width - x, height - y))
        looks.append(np.asarray(small).ravel())
    return np.array(looks)


@dataclass(frozen=True)
class Points:
    """Where images lie, whitened.

    Attributes
    ----------
    places : ndarray of shape (n, 3, 192), float32
        A point for each crop.
    spread : ndarray of shape (n, 3), float32
        The squared length of what an image has beside its mean colour, with or without the mean image: the lesser.
    rest : ndarray of shape (n, 3), float32
        The spread less the point's own squared length.
    """

    places: np.ndarray
    spread: np.ndarray
    rest: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: Any) -> Points:
        return Points(self.places[rows], self.spread[rows], self.rest[rows])


class Whitening:
    """Looks -> points whose squared distances tell near from far.

    Directions in which images differ much are shrunk, those in which they differ little are stretched (Jegou & Chum
    2012, "Negative evidences and co-occurrences in image retrieval"), but no further than noise allows: 0.3 of the mean
    variance is added to each, more where images are few and their directions not known, and that of a grey level.

    Parameters
    ----------
    looks : ndarray of shape (n, 3, 192), uint8
        What the directions are learned from.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.auditing._look import Whitening, similarity
    >>> looks = np.random.default_rng(0).integers(0, 256, (50, 3, 192), "uint8")
    >>> points = Whitening(looks)(looks)
    >>> bool(np.allclose(np.diagonal(similarity(points, points)), 1, atol=1e-5))
    True
    """

    def __init__(self, looks: np.ndarray):
        rows = looks[:, 0].astype(np.float64)
        mean = rows.mean(axis=0)
        rows -= mean
        strengths, directions = np.linalg.eigh(rows.T @ rows / len(rows))
        strengths = strengths.clip(0)
        floor = (_FLOOR + _FEW_ROWS / len(rows)) * strengths.mean()
        stretch = 1 / np.sqrt(strengths + floor + _GREY_LEVEL**2)
        self._mean, self._map = mean.astype(np.float32), (directions * stretch).astype(np.float32)
        # What a difference of one grey level in every pixel weighs.
        self._noise = np.float32(_GREY_LEVEL**2 * (stretch**2).sum())

    def __call__(self, looks: np.ndarray) -> Points:
        looks = looks.astype(np.float32)
        rows = looks - self._mean
        spread = np.minimum(self._contrast(rows), self._contrast(looks)) + self._noise / 2
        places = rows @ self._map
        return Points(places, spread, spread - (places**2).sum(axis=2))

    def _contrast(self, rows: np.ndarray) -> np.ndarray:
        pixels = rows.reshape(*rows.shape[:2], -1, 3)
        plain = pixels - pixels.mean(axis=2, keepdims=True)
        return ((plain.reshape(rows.shape) @ self._map) ** 2).sum(axis=2)


def similarity(some: Points, others: Points) -> np.ndarray:
    """How alike images are when they are aligned at best: 1 less their squared distance, as a share of their spreads.

    The mean colour counts in the distance, but not in the spread: flat images, and patches of sky, are alike only if
    their colours are the same.

    Returns
    -------
    ndarray of shape (len(some), len(others)), float32
        1 for equal images; there is no least value.
    """
    best = np.full((len(some), len(others)), -np.inf, np.float32)
    for i, j in _ALIGNMENTS:
        alike = (2 * some.places[:, i]) @ others.places[:, j].T
        alike += some.rest[:, i, None]
        alike += others.rest[:, j]
        alike /= some.spread[:, i, None] + others.spread[:, j]
        np.maximum(best, alike, out=best)
    return best
