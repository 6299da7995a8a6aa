"""The images to measure on: a user's own, or photos that are written for it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from featx.exceptions import InputError
from featx.images import check_images, find_images


@dataclass(frozen=True)
class Photos:
    """Image files that can be read, each content once.

    Attributes
    ----------
    paths : tuple of str
    left_out : tuple of (str, str)
        Path and reason of each file that is not among them.
    """

    paths: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...] = ()


def find_photos(sources: Sequence[str | Path], limit: int) -> Photos:
    """Find the images of folders, nested ones too, and of files.

    Parameters
    ----------
    sources : sequence of str or Path
        Folders and image files.
    limit : int
        At most so many files, spread evenly, are looked at.

    Returns
    -------
    Photos
        Files that cannot be read, and copies, are left out: every library must be given the same work.

    Raises
    ------
    InputError
        If no image can be read, or a source is not there.
    """
    files, _ = find_images(sources)
    n = min(limit, len(files))
    table = check_images([files[i * len(files) // n] for i in range(n)])
    copies = table["ok"] & table["digest"].duplicated()
    reasons = table["error"].mask(copies, "a copy of another image")
    used = table["ok"] & ~copies
    if not used.any():
        raise InputError(f"None of {n:,} images can be read. For example {files[0]}: {reasons.iloc[0]}.")
    left_out = zip(table["image"][~used], reasons[~used], strict=True)
    return Photos(tuple(table["image"][used]), tuple(left_out))


def write_photos(folder: str | Path, n: int) -> list[str]:
    """Write distinct JPEG files of 500 x 375 pixels and about 50 kB, from scikit-learn's two photos.

    Parameters
    ----------
    folder : str or Path
        There already.
    n : int

    Returns
    -------
    list of str
        Their paths.
    """
    from sklearn.datasets import load_sample_images

    photos = [Image.fromarray(photo) for photo in load_sample_images().images]
    rng = np.random.default_rng(0)
    paths = [os.path.join(folder, f"{i:05}.jpg") for i in range(n)]
    for i, path in enumerate(paths):
        left, upper = rng.uniform(0, (100, 40))
        photos[i % 2].resize((500, 375), box=(left, upper, left + 540, upper + 387)).save(path, quality=85)
    return paths
