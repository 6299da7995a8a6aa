"""skops: estimators as data instead of a pickle, and which types may be made of it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from featx.exceptions import ModelError, ParameterError

_OWN = (
    "featx._image_encoder.ImageEncoder",
    "featx.encoders._encoder.Encoder",
    "featx.encoders._graph_encoder.GraphEncoder",
    "featx.encoders._recipe.FromCheckpoint",
    "featx.heads._linear_probe.LinearProbe",
    "featx.heads._normalizer.EmbeddingNormalizer",
    "featx.heads._prototypes.PrototypeClassifier",
    "featx.images._preprocess.Preprocess",
    "featx.text._text_encoder.TextEncoder",
)
# Parts of scikit-learn's public estimators: plain Python, and no index that native code would follow.
_PARTS = (
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.metrics._scorer._CurveScorer",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._Scorer",
    "sklearn.model_selection._split.GroupKFold",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
)


def dump(model: Any, file: Path) -> None:
    """Write a model.

    Raises
    ------
    ModelError
        If skops has no way to hold a part of it, or a part holds itself.
    """
    skops = _import_skops()
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
        If it has other types, which are listed, or if a type is not installed here.
    """
    if isinstance(trusted, str | type | bool):
        raise ParameterError(f"Got trusted={trusted!r}. Expected a list of types or of their full names.")
    skops = _import_skops()
    given = [kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}" for kind in trusted]
    trusted = [*_OWN, *_PARTS, *_scorers(), *given]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn's, on versions, once an estimator
            return skops.load(file, trusted=trusted)
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


def _scorers() -> list[str]:
    from sklearn.metrics import get_scorer, get_scorer_names

    functions = [get_scorer(name)._score_func for name in get_scorer_names()]
    return sorted({f"{function.__module__}.{function.__name__}" for function in functions})
