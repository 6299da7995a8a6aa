"""Embeddings -> a map in the plane; images -> one sheet of small pictures for its points."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from featx.images import DecodeError, load

SIDE, SHEET_COLUMNS = 40, 50

_MOST = 2000
_PARTS = 50
_PERPLEXITY = 30
_BACKGROUND = (236, 236, 234)
_QUALITY = 75


def map_rows(n: int, seed: int = 0, most: int = _MOST) -> np.ndarray:
    """Rows to be shown, ascending: all, or a sample.

    Examples
    --------
    >>> from featx.compare._map import map_rows
    >>> map_rows(3).tolist(), len(map_rows(5000))
    ([0, 1, 2], 2000)
    """
    return np.sort(np.random.default_rng(seed).permutation(n)[:most])


def embed_plane(embeddings: np.ndarray) -> np.ndarray:
    """Lay rows out so that neighbours stay neighbours: t-SNE after PCA.

    Parameters
    ----------
    embeddings : ndarray of shape (n, dim)
        Three rows or more.

    Returns
    -------
    ndarray of shape (n, 2)
        From 0 to 1.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    n = len(embeddings)
    if not np.ptp(embeddings, axis=0).any():
        return np.full((n, 2), 0.5)
    parts = PCA(min(_PARTS, n, embeddings.shape[1]), random_state=0).fit_transform(embeddings.astype(np.float32))
    plane = TSNE(perplexity=min(_PERPLEXITY, (n - 1) / 3), init="random", random_state=0).fit_transform(parts)
    low = plane.min(axis=0)
    return (plane - low) / np.maximum(np.ptp(plane, axis=0), np.finfo(np.float32).tiny)


def draw_sheet(sources: Sequence[Any]) -> str:
    """Draw images at 40 x 40 in rows of 50, as one JPEG: 2,000 photos are about 1.5 MB, a fifth of as many files.

    Parameters
    ----------
    sources : sequence
        Paths, bytes, PIL images or uint8 arrays; one that cannot be read stays grey.

    Returns
    -------
    str
        A ``data:`` URI.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.compare._map import draw_sheet
    >>> draw_sheet([np.zeros((8, 8), "uint8")])[:23]
    'data:image/jpeg;base64,'
    """
    sheet = Image.new("RGB", (SIDE * SHEET_COLUMNS, SIDE * -(-len(sources) // SHEET_COLUMNS)), _BACKGROUND)
    for i, source in enumerate(sources):
        try:
            _, image = load(source, at_least=2 * SIDE)
        except DecodeError:
            continue
        down, right = divmod(i, SHEET_COLUMNS)
        sheet.paste(ImageOps.pad(image, (SIDE, SIDE), color=_BACKGROUND), (SIDE * right, SIDE * down))
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
