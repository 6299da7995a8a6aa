"""skops: estimators as data instead of a pickle, and which types may be made of it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from featx._trusted import TRUSTED, check_indices, walk
from featx.exceptions import ModelError, ParameterError

_OWN = (
    "featx._image_encoder.ImageEncoder",
    "featx.encoders.Encoder",
    "featx.encoders.FromCheckpoint",
    "featx.encoders.GraphEncoder",
    "featx.heads._linear_probe.LinearProbe",
    "featx.heads._normalizer.EmbeddingNormalizer",
    "featx.heads._prototypes.PrototypeClassifier",
    "featx.images._preprocess.Preprocess",
    "featx.text._text_encoder.TextEncoder",
)


def dump(model: Any, file: Path) -> None:
    """Write a model.

    Raises
    ------
    ModelError
        If skops has no way to hold a part of it, or a part holds itself, or a dict has keys that come back as others.
    """
    skops = _import_skops()
    for part in walk(model):
        if isinstance(part, dict) and not all(type(key) is str for key in part):
            _check_keys(skops, part)
    try:
        skops.dump(model, file)
    except RecursionError as error:
        raise ModelError(
            f"{_endless_part(skops, model)} cannot be saved as data: it holds itself, as estimators do that skada or "
            "scikit-learn's metadata routing marked. Expected parts that end: keep this one with joblib.dump."
        ) from error
    except Exception as error:  # whatever a type says of being taken apart
        raise ModelError(f"{type(model).__name__} cannot be saved: {error}") from error


def load(file: Path, trusted: Iterable[str | type]) -> Any:
    """Read a model, of trusted types alone.

    Raises
    ------
    ModelError
        If it has other types, which are listed, or if a type is not installed here, or if a tree in it has indices
        that point outside of it.
    """
    if isinstance(trusted, str | type | bool):
        raise ParameterError(f"Got trusted={trusted!r}. Expected a list of types or of their full names.")
    skops = _import_skops()
    given = [kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}" for kind in trusted]
    trusted = [*_OWN, *TRUSTED, *given]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn's, on versions, once an estimator
            model = skops.load(file, trusted=trusted)
    except skops.exceptions.UntrustedTypesFoundException as error:
        types = skops.get_untrusted_types(file=file)
        names = [name for name in types if name not in trusted]
        raise ModelError(
            f"{file} holds types that featx does not trust unasked: {', '.join(names)}. If you trust who wrote it, "
            f"load it with trusted={names!r}."
        ) from error
    except Exception as error:  # whatever a type says of a state that it does not know
        raise ModelError(
            f"{file} cannot be loaded ({type(error).__name__}: {error}). Install the versions that model.json names."
        ) from error
    try:
        check_indices(model)
    except Exception as error:  # whatever an object says that is none of its kind
        raise ModelError(f"{file} cannot be used: {error}. Copy the folder again, from who saved it.") from error
    return model


def _check_keys(skops: ModuleType, given: dict[Any, Any]) -> None:
    """Refuse keys that do not come back: skops writes them as text, and any text where a bool was is True."""
    try:
        data = skops.dumps(dict.fromkeys(given))
        again = list(skops.loads(data, trusted=skops.get_untrusted_types(data=data)))
    except Exception:  # whatever a key says of being read from text
        again = []
    if [(type(key), repr(key)) for key in again] != [(type(key), repr(key)) for key in given]:
        raise ModelError(
            f"A dict with the keys {list(given)!r} cannot be saved: they would come back as {again!r}. Expected str, "
            "int or float (a class_weight={False: ..., True: ...} is equal to {0: ..., 1: ...}), no two alike as text."
        )


def _endless_part(skops: ModuleType, model: Any) -> str:
    for name, step in getattr(model, "steps", ()):
        try:
            skops.dumps(step)
        except RecursionError:
            return f"Step {name!r} of this {type(model).__name__}"
        except Exception:  # whatever a type says of being taken apart
            continue
    return type(model).__name__


def _import_skops() -> ModuleType:
    # skops looks through all modules of scikit-learn, one of which would import torch: seconds, for nothing.
    if without := "torch" not in sys.modules:
        sys.modules["torch"] = None
    try:
        import skops.io
        import skops.io.exceptions
    finally:
        if without:
            del sys.modules["torch"]
    return skops.io
