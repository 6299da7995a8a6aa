"""From what similarity on two images are the same: measured on copies of the user's own images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from featx.transfer.quality._copies import WAYS, make_copies
from featx.transfer.quality._duplicates import unit_rows
from featx.transfer.quality._look import Whitening, few_pixels

_FALSE_DEVIATIONS = 3.09  # of a normal distribution, 0.1 % lie above
_MISSED_SHARE = 0.02
_COMPARED = 1000
_ALMOST_ONE = 1 - 1e-9
_FEW = 20
_SAFE = 0.98
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


def calibrate(
    looks: np.ndarray, whitening: Whitening, rows: Sequence[int], images: Sequence[Image.Image]
) -> Calibration:
    """Choose the threshold.

    It lies where 2 % of the copies are missed, if at most one of 1,000 images is expected to have a different image
    above it; else where that is expected, and more copies are missed; never below 0.9. The similarity of each image
    to its nearest other one is taken as normal after Fisher's transformation, its spread from the lower half: the
    upper end is not looked at, as it holds the duplicates that are looked for.

    Parameters
    ----------
    looks : ndarray of shape (n, dim)
        Of all images, whitened.
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
    similar = {
        way: (whitening(np.array([few_pixels(copy[way]) for copy in copies])) * looks[list(rows)]).sum(axis=1)
        for way in WAYS
    }
    wanted = float(np.quantile(np.concatenate(list(similar.values())), _MISSED_SHARE))
    measured = len(looks) >= _FEW
    centre, spread = _nearest_others(looks, float(np.median(similar[WAYS[0]]))) if measured else (0.0, 0.0)
    careful = float(np.tanh(centre + _FALSE_DEVIATIONS * spread)) if measured else _SAFE
    threshold = max(wanted, careful, _LEAST)
    return Calibration(
        threshold,
        {way: float((values < threshold).mean()) for way, values in similar.items()},
        _share_above(threshold, centre, spread) if measured else float("nan"),
        len(copies),
        measured,
    )


def _nearest_others(looks: np.ndarray, plain_copy: float) -> tuple[float, float]:
    """Median and lower deviation of the similarity to the nearest image that is no plain copy, in Fisher's z."""
    chosen = np.unique(np.linspace(0, len(looks) - 1, _COMPARED).astype(int))
    unit = unit_rows(looks)
    products = unit[chosen] @ unit.T
    products[products >= plain_copy] = -1
    products[np.arange(len(chosen)), chosen] = -1
    nearest = np.arctanh(np.clip(products.max(axis=1).astype(np.float64), -_ALMOST_ONE, _ALMOST_ONE))
    low, centre = np.quantile(nearest, [0.16, 0.5])
    return float(centre), float(centre - low)


def _share_above(threshold: float, centre: float, spread: float) -> float:
    from scipy.stats import norm

    if spread == 0:
        return 0.0
    return float(norm.sf((np.arctanh(min(threshold, _ALMOST_ONE)) - centre) / spread))
