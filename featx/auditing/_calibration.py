"""From what similarity on two images are the same: measured on copies of the user's own images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from featx.auditing._copies import WAYS, make_copies
from featx.auditing._look import Points, Whitening, few_pixels, similarity

_FALSE_DEVIATIONS = 3.09  # of a normal distribution, 0.1 % lie above
_COMPARED = 1000
_BLOCK = 250
_NEIGHBOURS = 10
_ALMOST_ONE = 1 - 1e-9
_FEW = 20
_SAFE = 0.95
_LEAST = 0.9


@dataclass(frozen=True)
class Calibration:
    """A threshold, and how well it tells copies from other images.

    Attributes
    ----------
    threshold : float
        Similarity from which two images are taken for copies.
    missed : dict of str to float
        Way of copying -> the share of such copies of the sample that the threshold misses.
    false_share : float
        The expected share of images for which a different image lies above the threshold.
    n_sampled : int
        How many images were copied, each in three ways.
    measured : bool
        False where the images are too few to be compared with each other: the threshold is then a careful constant.
    """

    threshold: float
    missed: dict[str, float]
    false_share: float
    n_sampled: int
    measured: bool


def calibrate(points: Points, whitening: Whitening, rows: Sequence[int], images: Sequence[Image.Image]) -> Calibration:
    """Choose the threshold, and measure what it misses on copies of some images.

    Parameters
    ----------
    points : Points
        Of all images.
    whitening : Whitening
    rows : sequence of int
        Which of them the sample is.
    images : sequence of PIL.Image.Image
        The sample.

    Returns
    -------
    Calibration
    """
    copies = [make_copies(image) for image in images]
    looks = {way: np.array([few_pixels(copy[way]) for copy in copies]) for way in WAYS}
    own = points[list(rows)]
    similar = {way: np.diagonal(similarity(own, whitening(looks[way]))) for way in WAYS}
    threshold, false_share = choose_threshold(points)
    return Calibration(
        threshold,
        {way: float((values < threshold).mean()) for way, values in similar.items()},
        false_share,
        len(copies),
        len(points) >= _FEW,
    )


def choose_threshold(points: Points) -> tuple[float, float]:
    """Choose from what similarity on two of these images are the same.

    It is 0.9, or where at most one of 1,000 images is expected to have a different image above it, if that is more. The
    similarity of each image to its nearest different one is taken as normal after Fisher's transformation, its spread
    from the lower half: at the upper end are the duplicates that are looked for. Of an image's ten nearest ones those
    that are less than half as far away as the next are taken for copies.

    Returns
    -------
    threshold, false_share : float
        And the share of images that are expected to have a different one above it; of fewer than 20 images 0.95 and
        NaN.
    """
    if len(points) < _FEW:
        return _SAFE, float("nan")
    centre, spread = _nearest_others(points)
    threshold = max(float(np.tanh(centre + _FALSE_DEVIATIONS * spread)), _LEAST)
    return threshold, _share_above(threshold, centre, spread)


def _nearest_others(points: Points) -> tuple[float, float]:
    """Median and lower deviation of the similarity to the nearest image that is no copy, in Fisher's z."""
    chosen = np.unique(np.linspace(0, len(points) - 1, _COMPARED).astype(int))
    nearest = []
    for start in range(0, len(chosen), _BLOCK):
        part = chosen[start : start + _BLOCK]
        alike = similarity(points[part], points)
        alike[np.arange(len(part)), part] = -np.inf
        nearest.append(_beyond_copies(np.partition(alike, -_NEIGHBOURS, axis=1)[:, -_NEIGHBOURS:]))
    z = np.arctanh(np.concatenate(nearest).astype(np.float64).clip(0, _ALMOST_ONE))
    low, centre = np.quantile(z, [0.16, 0.5])
    return float(centre), float(centre - low)


def _beyond_copies(alike: np.ndarray) -> np.ndarray:
    """Of each row the greatest similarity but those that are less than half as far from 1 as the next lesser one."""
    ordered = np.sort(alike, axis=1)[:, ::-1]
    jumps = (1 - ordered[:, :-1]) < (1 - ordered[:, 1:]) / 2
    n_copies = np.where(jumps, np.arange(1, ordered.shape[1]), 0).max(axis=1)
    return ordered[np.arange(len(ordered)), n_copies]


def _share_above(threshold: float, centre: float, spread: float) -> float:
    from scipy.stats import norm

    if spread == 0:
        return 0.0
    return float(norm.sf((np.arctanh(min(threshold, _ALMOST_ONE)) - centre) / spread))
