"""Images -> what each arm sees of them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import clone

from featx._image_encoder import ImageEncoder, extraction_of
from featx.compare._baselines import BASELINES, baseline_features
from featx.encoders import Encoder
from featx.exceptions import ImageWarning, InputError, ParameterError, UnknownNameError
from featx.images import ImageColumn

PRETRAINED, RANDOM = "pretrained", "random"
ARMS = (*BASELINES, RANDOM, PRETRAINED)


def check_arms(arms: Sequence[str], extra_arms: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Names of arms, each once, among which are the pretrained one and another.

    Raises
    ------
    UnknownNameError
        If there is no such arm.
    ParameterError
        If nothing is left to compare, or an extra arm is no estimator.
    """
    arms = (arms,) if isinstance(arms, str) else tuple(dict.fromkeys(arms))
    for name in arms:
        if name not in ARMS:
            raise UnknownNameError("arm", name, ARMS, "An estimator of your own goes into extra_arms.")
    for name, estimator in (extra_arms or {}).items():
        if name in ARMS:
            raise ParameterError(f"Got extra_arms with {name!r}, which is an arm already. Expected another name.")
        if not hasattr(estimator, "fit") or isinstance(estimator, type):
            raise ParameterError(f"Got extra_arms[{name!r}]={estimator!r}. Expected an estimator (an instance).")
    if PRETRAINED not in arms or len(arms) + len(extra_arms or {}) < 2:
        raise ParameterError(f"Got arms={arms!r}. Expected 'pretrained' and at least one arm to compare it with.")
    return arms


def embed_arms(
    column: ImageColumn, encoder: ImageEncoder, arms: Sequence[str]
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Features of the arms, and the seconds each took; the hand-made ones share theirs.

    Parameters
    ----------
    column : ImageColumn
    encoder : ImageEncoder
        The pretrained one.
    arms : sequence of str

    Returns
    -------
    features : dict of str to ndarray of shape (n, dim)
        A row is NaN where an image cannot be used.
    seconds : dict of str to float
    """
    features, seconds = {}, {}
    baselines = [name for name in arms if name in BASELINES]
    started = time.perf_counter()
    if baselines:
        features |= baseline_features(column.sources, baselines)
        seconds |= dict.fromkeys(baselines, (time.perf_counter() - started) / len(baselines))
    for name in (RANDOM, PRETRAINED):
        if name in arms:
            started = time.perf_counter()
            features[name] = _embed(column, untrained(encoder) if name == RANDOM else encoder)
            seconds[name] = time.perf_counter() - started
    return {name: features[name] for name in arms}, seconds


def has_untrained(encoder: ImageEncoder) -> bool:
    """Whether the same network exists with random weights: it does for names alone."""
    return not isinstance(encoder.encoder, Encoder)


def untrained(encoder: ImageEncoder) -> ImageEncoder:
    """The same network with random weights and the same preprocessing."""
    preprocess = extraction_of(encoder).spec.preprocess
    return clone(encoder).set_params(weights="random", preprocess=preprocess)


def good_rows(features: Mapping[str, np.ndarray]) -> np.ndarray:
    """Positions of images that every arm could read; one warning counts the others.

    Raises
    ------
    InputError
        If there is none.
    """
    good = np.all([np.isfinite(rows).all(axis=1) for rows in features.values()], axis=0)
    bad = np.flatnonzero(~good)
    if not good.any():
        raise InputError(f"Got {len(good):,} images of which none can be read. featx.check_images says why.")
    if len(bad):
        shown = ", ".join(map(str, bad[:5])) + (", ..." if len(bad) > 5 else "")
        message = f"{len(bad):,} of {len(good):,} images cannot be used and are left out of every arm: rows {shown}."
        warnings.warn(message + " featx.check_images says why.", ImageWarning, stacklevel=3)
    return np.flatnonzero(good)


def _embed(column: ImageColumn, encoder: ImageEncoder) -> np.ndarray:
    tolerant = clone(encoder).set_params(on_error="nan", on_missing="nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)  # one warning for all arms comes later
        return np.asarray(tolerant.set_output(transform="default").transform(list(column.sources)))
