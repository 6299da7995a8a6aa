"""What an image is without a network: its pixels, its edges, its colours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from featx._machine import count_threads
from featx._optional import import_optional
from featx.images import DecodeError, Preprocess, load

_PIXELS = Preprocess(size=32, fit="squash")
_SHAPE = Preprocess(size=64, fit="squash")
_BINS = 6


def baseline_features(sources: Sequence[object], names: Iterable[str]) -> dict[str, np.ndarray]:
    """Describe images by hand-made features, each decoded once for all of them.

    Parameters
    ----------
    sources : sequence of images
    names : iterable of {"pixels", "hog", "color"}

    Returns
    -------
    dict of str to ndarray of shape (n, dim), float32
        An image that cannot be read is a row of NaN.

    Raises
    ------
    MissingDependencyError
        If scikit-image is not installed, for HOG.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.compare._baselines import baseline_features
    >>> baseline_features([np.zeros((9, 9), "uint8")], ["pixels", "color"])["pixels"].shape
    (1, 3072)
    """
    names = list(names)
    describe = [BASELINES[name] for name in names]
    if "hog" in names:
        import_optional("skimage.feature", extra="report", purpose="The arm 'hog'")
    with ThreadPoolExecutor(count_threads(None)) as pool:
        rows = list(pool.map(lambda source: _describe(source, describe), sources))
    blank = [np.full_like(part, np.nan) for part in _describe(np.zeros((8, 8), np.uint8), describe)]
    return {
        name: np.stack([(blank if row is None else row)[i] for row in rows]).astype(np.float32)
        for i, name in enumerate(names)
    }


def thumbnails(pixels: np.ndarray) -> np.ndarray:
    """Rows of the arm "pixels" as small images again, uint8 of shape (n, 32, 32, 3)."""
    return np.rint(pixels.reshape(-1, _PIXELS.size, _PIXELS.size, 3) * 255).astype(np.uint8)


def _describe(source: object, describe: list[Callable]) -> list[np.ndarray] | None:
    try:
        _, image = load(source)
    except DecodeError:
        return None
    return [function(image) for function in describe]


def _pixels(image: Image.Image) -> np.ndarray:
    return _PIXELS(image).ravel() / np.float32(255)


def _hog(image: Image.Image) -> np.ndarray:
    from skimage.feature import hog

    grey = np.asarray(Image.fromarray(_SHAPE(image)).convert("L"))
    return hog(grey, orientations=9, pixels_per_cell=(8, 8), cells_per_block=(2, 2)).astype(np.float32)


def _color(image: Image.Image) -> np.ndarray:
    """Square roots of a joint histogram: its rows have length one."""
    cells = (_SHAPE(image).reshape(-1, 3).astype(int) * _BINS) // 256
    counts = np.bincount(cells @ [_BINS**2, _BINS, 1], minlength=_BINS**3)
    return np.sqrt(counts / counts.sum()).astype(np.float32)


BASELINES = {"pixels": _pixels, "hog": _hog, "color": _color}
