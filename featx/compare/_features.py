"""Feature sets: what a head gets to see of each image, pretrained, untrained or made by hand."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image
from sklearn.base import clone

from featx._image_encoder import ImageEncoder, extraction_of
from featx._machine import count_processors
from featx._optional import import_optional
from featx._warnings import warn
from featx.encoders import Encoder
from featx.exceptions import ImageWarning, InputError, ParameterError, UnknownNameError
from featx.images import DecodeError, ImageColumn, Preprocess, load

PRETRAINED, RANDOM = "pretrained", "random"
# Of a table with a column of images.
TABLE, BOTH = "table only", "both"
_PIXELS = Preprocess(size=32, fit="squash")
_SHAPE = Preprocess(size=64, fit="squash")
_BINS = 6


def _pixels(image: Image.Image) -> np.ndarray:
    return _PIXELS(image).ravel() / np.float32(255)


def _hog(image: Image.Image) -> np.ndarray:
    from skimage.feature import hog

    gray = np.asarray(Image.fromarray(_SHAPE(image)).convert("L"))
    return hog(gray, orientations=9, pixels_per_cell=(8, 8), cells_per_block=(2, 2)).astype(np.float32)


def _color(image: Image.Image) -> np.ndarray:
    """Return the square roots of a joint histogram: a row of length one."""
    cells: np.ndarray = (_SHAPE(image).reshape(-1, 3).astype(int) * _BINS) // 256
    counts = np.bincount(cells @ [_BINS**2, _BINS, 1], minlength=_BINS**3)
    return np.sqrt(counts / counts.sum()).astype(np.float32)


BASELINES: dict[str, Callable[[Image.Image], np.ndarray]] = {"pixels": _pixels, "hog": _hog, "color": _color}
FEATURE_SETS = (*BASELINES, RANDOM, PRETRAINED)


def check_feature_sets(names: Sequence[str], extra: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Check the names of feature sets, among which are the pretrained one and another.

    Parameters
    ----------
    names : str or sequence of str
        The parameter ``feature_sets``.
    extra : mapping of str to estimator, or None
        The parameter ``extra_feature_sets``.

    Returns
    -------
    tuple of str
        Each name once.

    Raises
    ------
    UnknownNameError
        If a feature set does not exist.
    ParameterError
        If nothing is left to compare, or an extra one is not an estimator.
    """
    names = (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))
    for name in names:
        if name not in FEATURE_SETS:
            raise UnknownNameError(
                "feature set", name, FEATURE_SETS, "Pass an estimator of the images as extra_feature_sets."
            )
    for name, estimator in (extra or {}).items():
        if name in (*FEATURE_SETS, TABLE, BOTH):
            raise ParameterError(f"Got extra_feature_sets with {name!r}, a feature set already. Expected another name.")
        if not hasattr(estimator, "fit") or isinstance(estimator, type):
            raise ParameterError(
                f"Got extra_feature_sets[{name!r}]={estimator!r}. Expected an estimator (an instance)."
            )
    if PRETRAINED not in names or len(names) + len(extra or {}) < 2:
        raise ParameterError(
            f"Got feature_sets={names!r}. Expected 'pretrained' and at least one other to compare it with."
        )
    return names


def embed_feature_sets(
    column: ImageColumn, encoder: ImageEncoder, names: Sequence[str]
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Compute feature sets, and the seconds each took; the hand-made ones share theirs.

    Parameters
    ----------
    column : ImageColumn
        The images.
    encoder : ImageEncoder
        The pretrained one.
    names : sequence of str
        As returned by `check_feature_sets`.

    Returns
    -------
    features : dict of str to ndarray of shape (n, dim)
        A row is NaN where an image cannot be used.
    seconds : dict of str to float
    """
    features: dict[str, np.ndarray] = {}
    seconds: dict[str, float] = {}
    baselines = [name for name in names if name in BASELINES]
    started = time.perf_counter()
    if baselines:
        features |= baseline_features(column.sources, baselines)
        seconds |= dict.fromkeys(baselines, (time.perf_counter() - started) / len(baselines))
    for name in (RANDOM, PRETRAINED):
        if name in names:
            started = time.perf_counter()
            features[name] = _embed(column, untrained(encoder) if name == RANDOM else encoder)
            seconds[name] = time.perf_counter() - started
    return {name: features[name] for name in names}, seconds


def has_untrained(encoder: ImageEncoder) -> bool:
    """Return whether the same network exists with random weights: it does for names alone."""
    return not isinstance(encoder.encoder, Encoder)


def untrained(encoder: ImageEncoder) -> ImageEncoder:
    """Return the same network with random weights and the same preprocessing."""
    preprocess = extraction_of(encoder).spec.preprocess
    return clone(encoder).set_params(weights="random", preprocess=preprocess)


def good_rows(features: Mapping[str, np.ndarray]) -> np.ndarray:
    """Find the images that every feature set could read; one warning counts the others.

    Parameters
    ----------
    features : mapping of str to ndarray of shape (n, dim)
        As returned by `embed_feature_sets`.

    Returns
    -------
    ndarray of int
        Positions, ascending.

    Raises
    ------
    InputError
        If none can be read.
    """
    good = np.all([np.isfinite(rows).all(axis=1) for rows in features.values()], axis=0)
    bad = np.flatnonzero(~good)
    if not good.any():
        raise InputError(f"Got {len(good):,} images of which none can be read. featx.check_images says why.")
    if len(bad):
        shown = ", ".join(map(str, bad[:5])) + (", ..." if len(bad) > 5 else "")
        message = f"{len(bad):,} of {len(good):,} images cannot be used and are left out of every feature set"
        warn(f"{message}: rows {shown}. featx.check_images says why.", ImageWarning)
    return np.flatnonzero(good)


def baseline_features(sources: Sequence[object], names: Iterable[str]) -> dict[str, np.ndarray]:
    """Describe images by hand-made features, each decoded once for all of them.

    Parameters
    ----------
    sources : sequence of images
        Paths, bytes, PIL images or arrays.
    names : iterable of {"pixels", "hog", "color"}
        Which features to compute.

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
    >>> from featx.compare._features import baseline_features
    >>> baseline_features([np.zeros((9, 9), "uint8")], ["pixels", "color"])["pixels"].shape
    (1, 3072)
    """
    names = list(names)
    describe = [BASELINES[name] for name in names]
    if "hog" in names:
        import_optional("skimage.feature", extra="report", purpose="The feature set 'hog'")
    with ThreadPoolExecutor(count_processors()) as pool:
        rows = list(pool.map(lambda source: _describe(source, describe), sources))
    blank = [np.full_like(function(Image.new("RGB", (8, 8))), np.nan) for function in describe]
    return {
        name: np.stack([(blank if row is None else row)[i] for row in rows]).astype(np.float32)
        for i, name in enumerate(names)
    }


def thumbnails(pixels: np.ndarray) -> np.ndarray:
    """Turn rows of ``"pixels"`` into small images again, uint8 of shape (n, 32, 32, 3)."""
    return np.rint(pixels.reshape(-1, _PIXELS.size, _PIXELS.size, 3) * 255).astype(np.uint8)


def _describe(source: object, describe: Sequence[Callable[[Image.Image], np.ndarray]]) -> list[np.ndarray] | None:
    try:
        _, image = load(source)
    except DecodeError:
        return None
    return [function(image) for function in describe]


def _embed(column: ImageColumn, encoder: ImageEncoder) -> np.ndarray:
    tolerant = clone(encoder).set_params(on_error="nan", on_missing="nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)  # one warning for all feature sets comes later
        return np.asarray(tolerant.set_output(transform="default").transform(column))
