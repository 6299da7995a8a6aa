"""Copies that are on both sides of a fold: a head is tested on what it was trained on."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image

from featx.auditing._calibration import choose_threshold
from featx.auditing._duplicates import crossing_groups, group_alike, number_groups
from featx.auditing._look import Whitening, few_pixels, similarity
from featx.exceptions import ImageWarning

_SHARE = 0.01


def warn_of_copies(
    Z: np.ndarray,
    folds: Iterable[tuple[Any, Any]],
    pixels: np.ndarray | None = None,
    *,
    stacklevel: int,
    divided: str = "a fold",
    advice: str = "Pass groups=featx.audit(X).groups, or leave copies out with featx.audit(X).clean().",
) -> str:
    """Warn if folds divide copies, and say it.

    Parameters
    ----------
    Z : ndarray of shape (n, dim)
        Embeddings: those of equal images are equal. One such pair is enough.
    folds : iterable of (train, test)
        Positions.
    pixels : ndarray of shape (n, height, width, 3), uint8, default=None
        Small images, of which near copies are told as `audit` does; told only if there is a group of them for
        one image in 100, as one image in 1,000 has a different one that looks the same.
    stacklevel : int
        As `warnings.warn` would have it of the caller.
    divided : str, default="a fold"
        What training and test rows are called together.
    advice : str
        What to do.

    Returns
    -------
    str
        The warning; "" where there is none.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.auditing._crossing import warn_of_copies
    >>> warn_of_copies(np.eye(4), [([0, 1], [2, 3]), ([2, 3], [0, 1])], stacklevel=1)
    ''
    """
    folds = list(folds)
    digests = [hashlib.blake2b(np.ascontiguousarray(row), digest_size=16).digest() for row in Z]
    n_equal = n_groups = crossing_groups(number_groups(np.array(digests)), folds)
    if pixels is not None:
        n_near = crossing_groups(_near_groups(pixels, digests), folds)
        n_groups = n_near if n_near >= _SHARE * len(Z) else n_equal
    if not n_groups:
        return ""
    text = (
        f"{n_groups:,} groups of copies ({n_equal:,} of equal content) are on both sides of {divided}: scores are too "
        f"good. {advice}"
    )
    warnings.warn(text, ImageWarning, stacklevel=stacklevel + 1)
    return text


def _near_groups(pixels: np.ndarray, digests: list[bytes]) -> np.ndarray:
    looks = np.array([few_pixels(Image.fromarray(image)) for image in pixels])
    points = Whitening(looks)(looks)
    return group_alike(points, similarity, choose_threshold(points)[0], digests)
