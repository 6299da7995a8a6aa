"""Rows that hold several images: each image is embedded by itself, then those of a row become one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from featx.images import ImageColumn, spread

COMBINATIONS = ("mean", "max", "first", "concat")


def embed_rows(
    embed: Callable[[ImageColumn], np.ndarray], column: ImageColumn, how: str | None, n_images: int | None = None
) -> np.ndarray:
    """Embed a column whose rows may hold several images.

    Parameters
    ----------
    embed : callable
        Embeds a column of images: `Extraction.embed`.
    column : ImageColumn
        n rows.
    how : {"mean", "max", "first", "concat"} or None
        As for `combine`; None takes one image a row.
    n_images : int, default=None
        Images that each row has, with ``"concat"``.

    Returns
    -------
    ndarray of shape (n, dim), float32
        With ``"concat"`` of shape (n, n_images * dim).
    """
    if how is None:
        return embed(column)
    images = spread(column, n_images)
    return combine(embed(images), images.places or (), how)


def combine(embeddings: np.ndarray, places: Sequence[tuple[int, int | None]], how: str) -> np.ndarray:
    """Make one row of the embeddings of its images.

    Parameters
    ----------
    embeddings : ndarray of shape (n_images, dim), float32
        NaN where an image cannot be used.
    places : sequence of (row, image or None)
        As `spread` gives them: the rows in order, each at least once.
    how : {"mean", "max", "first", "concat"}
        Mean and maximum are of the images that can be used, ``"first"`` is the first of them. ``"concat"`` puts all
        side by side, as many in each row.

    Returns
    -------
    ndarray of shape (n_rows, dim) or (n_rows, images * dim), float32
        NaN where none of a row's images can be used; with ``"concat"``, for each that cannot.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.extraction import combine
    >>> combine(np.float32([[1, 2], [3, np.nan], [5, 6]]), [(0, 0), (0, 1), (1, 0)], "mean").tolist()
    [[1.0, 2.0], [5.0, 6.0]]
    """
    rows = np.array([row for row, _ in places], np.int64)
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    if how == "concat":
        return embeddings.reshape(len(starts), -1)
    if not len(starts):
        return embeddings
    usable = ~np.isnan(embeddings).any(axis=1)
    counts = np.add.reduceat(usable.astype(np.int64), starts)
    if how == "mean":
        sums = np.add.reduceat(np.where(usable[:, None], embeddings, 0).astype(np.float64), starts)
        combined = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
    elif how == "max":
        combined = np.maximum.reduceat(np.where(usable[:, None], embeddings, -np.inf), starts).astype(np.float32)
    else:
        # A row without any has its first image, which is NaN.
        order = np.where(usable, np.arange(len(rows)), len(rows))
        firsts = np.minimum.reduceat(order, starts)
        combined = embeddings[np.where(counts > 0, firsts, starts)].copy()
    combined[counts == 0] = np.nan
    return combined
