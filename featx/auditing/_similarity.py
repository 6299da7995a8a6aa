"""How near duplicates are recognized: a few pixels per image, compared as images of this set differ.

Embeddings are trained to ignore what distinguishes two images of one kind, so their cosine similarity misses most near
duplicates; tests/benchmarks/RESULTS.md compares the two. The threshold of the similarity is measured on copies of the
user's images.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from scipy.stats import norm

COPY_KINDS = ("saved as JPEG", "half the size", "cropped")
_JPEG_QUALITY = 60
_CROPPED = 0.05
_LONGER_SIDE = 512

_SIDE = 8
_CROPS = (0.0, 0.05, 0.1)
SIGNATURE_SHAPE = (len(_CROPS), 3 * _SIDE**2)
_FLOOR = 0.3
_FEW_ROWS = 50
_GREY_LEVEL = 1.0
# Either image may be the cropped one.
_ALIGNMENTS = [(0, 0), *((crop, 0) for crop in range(1, len(_CROPS))), *((0, crop) for crop in range(1, len(_CROPS)))]

_FALSE_DEVIATIONS = 3.09  # 0.1 % of a normal distribution lie above
_COMPARED = 1000
_BLOCK = 250
_NEIGHBORS = 10
_ALMOST_ONE = 1 - 1e-9
_FEW = 20
_SAFE = 0.95
_LEAST = 0.9


def make_copies(image: Image.Image) -> dict[str, Image.Image]:
    """Make one altered copy of each kind; large images are first reduced to 512 pixels.

    Parameters
    ----------
    image : PIL.Image.Image
        An RGB image, which is not changed.

    Returns
    -------
    dict of str to PIL.Image.Image
        Saved as JPEG of quality 60; half the width and height; 5 % of the width and height cropped.

    Examples
    --------
    >>> from PIL import Image
    >>> from featx.auditing._similarity import make_copies
    >>> {kind: copy.size for kind, copy in make_copies(Image.new("RGB", (100, 80))).items()}
    {'saved as JPEG': (100, 80), 'half the size': (50, 40), 'cropped': (96, 76)}
    """
    image = shrink(image)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    width, height = image.size
    dx, dy = (max(1, round(side * _CROPPED / 2)) if side > 2 else 0 for side in image.size)
    copies = (
        Image.open(buffer).convert("RGB"),
        image.resize([max(1, side // 2) for side in image.size], Image.Resampling.BICUBIC),
        image.crop((dx, dy, width - dx, height - dy)),
    )
    return dict(zip(COPY_KINDS, copies, strict=True))


def shrink(image: Image.Image) -> Image.Image:
    """Copy an image, and reduce its longer side to 512 pixels if it is longer."""
    small = image.copy()
    small.thumbnail((_LONGER_SIDE, _LONGER_SIDE))
    return small


def signature(image: Image.Image) -> np.ndarray:
    """Reduce an image to 8 x 8 RGB pixels: the whole image, and without 5 % and 10 % of its width and height.

    Parameters
    ----------
    image : PIL.Image.Image
        An RGB image.

    Returns
    -------
    ndarray of shape (3, 192), uint8

    Examples
    --------
    >>> from PIL import Image
    >>> from featx.auditing._similarity import signature
    >>> signature(Image.new("RGB", (100, 80))).shape
    (3, 192)
    """
    width, height = image.size
    crops = []
    for crop in _CROPS:
        x, y = crop / 2 * width, crop / 2 * height
        small = image.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR, (x, y, width - x, height - y))
        crops.append(np.asarray(small).ravel())
    return np.array(crops)


@dataclass(frozen=True)
class Points:
    """Whitened signatures.

    Attributes
    ----------
    places : ndarray of shape (n, 3, 192), float32
        A point for each crop.
    spread : ndarray of shape (n, 3), float32
        The squared length of an image's deviation from its mean color, with or without the mean image, whichever is
        less.
    rest : ndarray of shape (n, 3), float32
        The spread minus the squared length of the point.
    """

    places: np.ndarray
    spread: np.ndarray
    rest: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: Any) -> Points:
        return Points(self.places[rows], self.spread[rows], self.rest[rows])


class Whitening:
    """Map signatures to points whose squared distances separate near duplicates from other images.

    Directions in which images differ much are shrunk and those in which they differ little are stretched (Jegou & Chum
    2012, "Negative evidences and co-occurrences in image retrieval"), but no further than noise allows. To each
    variance are added 0.3 of the mean variance, more if there are few images and their directions are uncertain, and
    the variance of one grey level.

    Parameters
    ----------
    signatures : ndarray of shape (n, 3, 192), uint8
        The signatures from which the directions are learned.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.auditing._similarity import Whitening, similarity
    >>> signatures = np.random.default_rng(0).integers(0, 256, (50, 3, 192), "uint8")
    >>> points = Whitening(signatures)(signatures)
    >>> bool(np.allclose(np.diagonal(similarity(points, points)), 1, atol=1e-5))
    True
    """

    def __init__(self, signatures: np.ndarray):
        rows: np.ndarray = signatures[:, 0].astype(np.float64)
        mean = rows.mean(axis=0)
        rows -= mean
        strengths, directions = np.linalg.eigh(rows.T @ rows / len(rows))
        strengths = strengths.clip(0)
        floor = (_FLOOR + _FEW_ROWS / len(rows)) * strengths.mean()
        stretch = 1 / np.sqrt(strengths + floor + _GREY_LEVEL**2)
        self._mean, self._map = mean.astype(np.float32), (directions * stretch).astype(np.float32)
        # The squared distance that a difference of one grey level in every pixel makes.
        self._noise = np.float32(_GREY_LEVEL**2 * (stretch**2).sum())

    def __call__(self, signatures: np.ndarray) -> Points:
        signatures = signatures.astype(np.float32)
        rows = signatures - self._mean
        spread = np.minimum(self._contrast(rows), self._contrast(signatures)) + self._noise / 2
        places = rows @ self._map
        return Points(places, spread, spread - (places**2).sum(axis=2))

    def _contrast(self, rows: np.ndarray) -> np.ndarray:
        pixels = rows.reshape(*rows.shape[:2], -1, 3)
        deviation = pixels - pixels.mean(axis=2, keepdims=True)
        return ((deviation.reshape(rows.shape) @ self._map) ** 2).sum(axis=2)


def similarity(some: Points, others: Points) -> np.ndarray:
    """Compare images in their best alignment: 1 minus their squared distance, relative to their spreads.

    The mean color counts in the distance but not in the spread: flat images, and patches of sky, are alike only if
    their colors are the same.

    Parameters
    ----------
    some, others : Points
        The images that are compared, each with each.

    Returns
    -------
    ndarray of shape (len(some), len(others)), float32
        1 for equal images; there is no lower bound.
    """
    best: np.ndarray = np.full((len(some), len(others)), -np.inf, np.float32)
    for i, j in _ALIGNMENTS:
        alike = (2 * some.places[:, i]) @ others.places[:, j].T
        alike += some.rest[:, i, None]
        alike += others.rest[:, j]
        alike /= some.spread[:, i, None] + others.spread[:, j]
        np.maximum(best, alike, out=best)
    return best


@dataclass(frozen=True)
class Calibration:
    """The threshold from which images count as duplicates, and how well it works.

    Attributes
    ----------
    threshold : float
        The lowest similarity of two images that count as copies.
    missed : dict of str to float
        For each kind of copy, the share of such copies of the sample that the threshold misses.
    false_share : float
        The expected share of images for which a different image lies above the threshold.
    n_sampled : int
        How many images were copied, each in three ways.
    measured : bool
        False if there are too few images to compare with each other: the threshold is then a cautious constant.
    """

    threshold: float
    missed: dict[str, float]
    false_share: float
    n_sampled: int
    measured: bool


def calibrate(points: Points, whitening: Whitening, rows: Sequence[int], images: Sequence[Image.Image]) -> Calibration:
    """Choose the threshold, and measure on copies of some images what it misses.

    Parameters
    ----------
    points : Points
        All images.
    whitening : Whitening
        The map that made the points.
    rows : sequence of int
        The positions of the sample among them.
    images : sequence of PIL.Image.Image
        The sample.

    Returns
    -------
    Calibration
    """
    copies = [make_copies(image) for image in images]
    signatures = {kind: np.array([signature(copy[kind]) for copy in copies]) for kind in COPY_KINDS}
    originals = points[list(rows)]
    similar = {kind: np.diagonal(similarity(originals, whitening(signatures[kind]))) for kind in COPY_KINDS}
    threshold, false_share = choose_threshold(points)
    return Calibration(
        threshold,
        {kind: float((values < threshold).mean()) for kind, values in similar.items()},
        false_share,
        len(copies),
        len(points) >= _FEW,
    )


def choose_threshold(points: Points) -> tuple[float, float]:
    """Choose the similarity from which two of these images count as copies.

    It is 0.9, or, if that is higher, the value above which at most one image in 1,000 is expected to have a different
    image. The similarity of each image to its nearest different one is assumed to be normal after Fisher's
    transformation. Its spread is estimated from the lower half, since the upper end holds the duplicates to be found.

    Parameters
    ----------
    points : Points
        All images.

    Returns
    -------
    threshold : float
        0.95 if there are fewer than 20 images.
    false_share : float
        The share of images that are expected to have a different one above it; NaN if there are fewer than 20 images.
    """
    if len(points) < _FEW:
        return _SAFE, float("nan")
    center, spread = _nearest_others(points)
    threshold = max(float(np.tanh(center + _FALSE_DEVIATIONS * spread)), _LEAST)
    return threshold, _share_above(threshold, center, spread)


def _nearest_others(points: Points) -> tuple[float, float]:
    """Compute the median and lower deviation of the similarity to the nearest image but copies, in Fisher's z."""
    chosen = np.unique(np.linspace(0, len(points) - 1, _COMPARED).astype(int))
    nearest = []
    for start in range(0, len(chosen), _BLOCK):
        part = chosen[start : start + _BLOCK]
        alike = similarity(points[part], points)
        alike[np.arange(len(part)), part] = -np.inf
        nearest.append(_beyond_copies(np.partition(alike, -_NEIGHBORS, axis=1)[:, -_NEIGHBORS:]))
    z = np.arctanh(np.concatenate(nearest).astype(np.float64).clip(0, _ALMOST_ONE))
    low, center = np.quantile(z, [0.16, 0.5])
    return float(center), float(center - low)


def _beyond_copies(alike: np.ndarray) -> np.ndarray:
    """Return the largest similarity per row, ignoring copies: values less than half as far from 1 as the next."""
    ordered = np.sort(alike, axis=1)[:, ::-1]
    jumps = (1 - ordered[:, :-1]) < (1 - ordered[:, 1:]) / 2
    n_copies = np.where(jumps, np.arange(1, ordered.shape[1]), 0).max(axis=1)
    return ordered[np.arange(len(ordered)), n_copies]


def _share_above(threshold: float, center: float, spread: float) -> float:
    if spread == 0:
        return 0.0
    return float(norm.sf((np.arctanh(min(threshold, _ALMOST_ONE)) - center) / spread))
