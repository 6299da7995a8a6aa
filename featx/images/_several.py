"""Rows that hold several images: which images, and where each of them is.

Like ``_decode.py``, this file also runs, byte for byte, where there is nothing but numpy, Pillow and simplejpeg.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..exceptions import InputError
from ._accept import ImageColumn
from ._cell import is_missing


def holds_several(cell: Any) -> bool:
    """Whether a cell is a list of images: also an array of texts or objects, as pandas reads those of Parquet."""
    return isinstance(cell, list | tuple) or (
        isinstance(cell, np.ndarray) and cell.dtype.kind in "OUT" and cell.ndim == 1
    )


def members_of(cell: Any) -> list[Any]:
    """List the images of a row's cell: of a list its items, of one image itself, of a missing one none."""
    if holds_several(cell):
        return cell.tolist() if isinstance(cell, np.ndarray) else list(cell)
    return [] if is_missing(cell) else [cell]


def most_images(column: ImageColumn) -> int:
    """Count the images of the row that has the most."""
    return max((len(members_of(cell)) for cell in column.sources), default=0)


def spread(column: ImageColumn, n_images: int | None = None) -> ImageColumn:
    """Give each image of each row a cell by itself; a row without images has one that is missing.

    Parameters
    ----------
    column : ImageColumn
        Cells of images, of lists of them, or missing ones.
    n_images : int, default=None
        Rows with fewer images are filled up with missing ones.

    Returns
    -------
    ImageColumn
        With `places`.

    Raises
    ------
    InputError
        If a row has more than `n_images`.

    Examples
    --------
    >>> from featx.images import ImageColumn, spread
    >>> spread(ImageColumn([["a.jpg", "b.jpg"], "c.jpg", None])).places
    [(0, 0), (0, 1), (1, 0), (2, None)]
    """
    sources: list[Any] = []
    places: list[tuple[int, int | None]] = []
    for row, cell in enumerate(column.sources):
        members = members_of(cell)
        if n_images is not None and len(members) > n_images:
            raise InputError(
                f"Got {len(members)} images in row {row}. Expected at most {n_images}, the most that fit saw in a row."
            )
        if n_images is None and not members:
            sources.append(None if holds_several(cell) else cell)
            places.append((row, None))
        members += [None] * ((n_images or 0) - len(members))
        sources += members
        places += [(row, image) for image in range(len(members))]
    return replace(column, sources=sources, places=places)
