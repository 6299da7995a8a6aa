"""Embeddings that a sample does not show: where a head in ONNX may answer otherwise, and the sample would not tell."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_ROWS = 16  # of each kind
_FAR = (10, 1000)
_NUDGE = 1e-6
_PAIRS = 4

Rows = tuple[np.ndarray, dict[str, np.ndarray]]


def probes(embedding: np.ndarray, values: Mapping[str, np.ndarray]) -> list[Rows]:
    """Make rows between and beyond those of a sample, always the same.

    Parameters
    ----------
    embedding : ndarray of shape (n, dim), float32
        Of a sample; rows that are not finite are passed over.
    values : dict of str to ndarray of shape (n, 1)
        The sample's other columns.

    Returns
    -------
    list of (ndarray, dict)
        Embeddings and values, in batches whose scores are of one size: the first between the
        sample's rows, beyond them, near them, in random directions, in the corners of their range, and zero; the
        others so far out that scores saturate. Values are the sample's own.
    """
    rows = np.flatnonzero(np.isfinite(embedding).all(axis=1))
    if not len(rows):
        return []
    random = np.random.default_rng(0)
    shape = (_ROWS, embedding.shape[1])
    known = embedding[rows].astype(np.float64)
    some, others = known[random.integers(len(known), size=_ROWS)], known[random.integers(len(known), size=_ROWS)]
    directions = random.standard_normal(shape)
    directions *= np.linalg.norm(some, axis=1, keepdims=True) / np.linalg.norm(directions, axis=1, keepdims=True)
    near = [
        some + random.random((_ROWS, 1)) * (others - some),
        some + random.uniform(1, 3, (_ROWS, 1)) * (others - some),
        some + 0.3 * known.std(axis=0) * random.standard_normal(shape),
        directions,
        np.where(random.random(shape) < 0.5, known.min(axis=0), known.max(axis=0)),
        np.zeros((1, embedding.shape[1])),
    ]
    batches = [np.concatenate(near), *(factor * np.concatenate([some, directions]) for factor in _FAR)]
    made = []
    for batch in batches:
        chosen = random.choice(rows, len(batch))
        made.append((batch.astype(np.float32), {name: column[chosen] for name, column in values.items()}))
    return made


def nudged(embedding: np.ndarray) -> list[np.ndarray]:
    """Embeddings as far off as rounding puts them: by 1e-6 of a number's size, or of its column's spread.

    Parameters
    ----------
    embedding : ndarray of shape (n, dim), float32

    Returns
    -------
    list of ndarray
        Pairs to either side: of a threshold that is so near, one of them lies across.
    """
    random = np.random.default_rng(0)
    size = np.maximum(np.abs(embedding), np.nan_to_num(embedding.std(axis=0))) * _NUDGE
    moves = [np.where(random.random(embedding.shape) < 0.5, -size, size) for _ in range(_PAIRS)]
    return [(embedding + sign * move).astype(np.float32) for move in moves for sign in (1, -1)]
