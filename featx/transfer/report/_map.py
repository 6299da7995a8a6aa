"""Embeddings -> a map in the plane."""

from __future__ import annotations

import numpy as np

_MOST = 2000
_PARTS = 50
_PERPLEXITY = 30


def map_rows(n: int, seed: int = 0, most: int = _MOST) -> np.ndarray:
    """Rows to be shown, ascending: all, or a sample.

    Examples
    --------
    >>> from featx.transfer.report._map import map_rows
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
