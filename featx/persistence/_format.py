"""The format of a model's folder: its manifest, published weights, and the model as data in a file of skops.

A file of skops names types by module and class. Those of featx are named by their public paths, such as
``featx.ImageEncoder``, so that files may move inside featx without an effect on saved models.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import platform
import shutil
import sys
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from featx._atomic import atomic_file
from featx._manifest import Kind
from featx._trusted_types import OF_TABLES, TRUSTED, check_indices, import_skops, walk
from featx.encoders import Weights, hash_file
from featx.exceptions import ModelError, ParameterError, WeightsError

KIND = Kind("model", "model.json", 2, "featx.save", ModelError)
MODEL, WEIGHTS = "model.skops", "weights"
SCHEMA = "schema.json"
# The types of featx that a saved model may hold: class -> the package that offers it.
PUBLIC = {
    "EmbeddingNormalizer": "featx",
    "Encoder": "featx",
    "FromCheckpoint": "featx.encoders",
    "GraphEncoder": "featx.encoders",
    "ImageEncoder": "featx",
    "LinearProbe": "featx.heads",
    "LogisticRegression": "featx.heads",
    "OODDetector": "featx",
    "Preprocess": "featx",
    "PrototypeClassifier": "featx",
    "SVC": "featx.heads",
    "TableEncoder": "featx",
    "TargetAwareEncoder": "featx",
    "TextEncoder": "featx",
}
_PACKAGES = ("numpy", "scikit-learn", "skops")
_OPTIONAL = ("skrub", "torch")


def versions() -> dict[str, str]:
    """Return the versions of Python and of what decides whether a model loads; some only where they were used."""
    used = [*_PACKAGES, *(package for package in _OPTIONAL if package in sys.modules)]
    return {"python": platform.python_version(), **{package: importlib.metadata.version(package) for package in used}}


def keep_published(weights: Weights, folder: Path) -> str:
    """Copy the file of published weights into a model's folder, for a machine that cannot download it.

    Parameters
    ----------
    weights : Weights
        Weights whose loader keeps a file; it is fetched first, if it is not here.
    folder : Path
        The model's folder.

    Returns
    -------
    str
        The copy's path, relative to the folder.

    Raises
    ------
    WeightsError
        If the file cannot be fetched, or is not the one that was published.
    """
    if not weights.is_local():
        weights.load()
    assert weights.file is not None
    source = weights.file()
    _check_published(source, source.name)
    (folder / WEIGHTS).mkdir(exist_ok=True)
    shutil.copyfile(source, folder / WEIGHTS / source.name)
    return f"{WEIGHTS}/{source.name}"


def place_published(weights: Weights, folder: Path) -> None:
    """Put the copy of published weights where their loader looks, unless they are there.

    Parameters
    ----------
    weights : Weights
        The weights that an encoder needs.
    folder : Path
        The model's folder.

    Raises
    ------
    WeightsError
        If the copy is not the file that was published.
    MissingDependencyError
        If a package carries them that is not installed.
    """
    if weights.is_local():
        return
    if weights.file is None:
        weights.load()  # names the package that is missing
        return
    target = weights.file()
    kept = folder / WEIGHTS / target.name
    if not kept.is_file():
        return
    _check_published(kept, target.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(target) as temporary:
        shutil.copyfile(kept, temporary)


def _check_published(file: Path, name: str) -> None:
    """Compare a file with the digits of its SHA-256 that its published name ends in."""
    if not hash_file(file).startswith(Path(name).stem.rpartition("-")[2]):
        raise WeightsError(f"{file} is not the file that was published under that name: its SHA-256 is another.")


def dump(model: Any, file: Path) -> None:
    """Write a model as data.

    Parameters
    ----------
    model : estimator
        The model.
    file : Path
        The file to write; it is compressed.

    Raises
    ------
    ModelError
        If skops has no way to hold a part of it, or a part holds itself, or a dict has keys that come back as others.
    """
    skops = import_skops()
    for part in walk(model):
        if isinstance(part, dict) and not all(type(key) is str for key in part):
            _check_keys(skops, part)
    try:
        data = skops.dumps(model)
    except RecursionError as error:
        raise ModelError(
            f"{_endless_part(skops, model)} cannot be saved as data: it holds itself, as estimators do that skada or "
            "scikit-learn's metadata routing marked. Expected parts that end: keep this one with joblib.dump."
        ) from error
    except Exception as error:  # a type may raise anything while it is taken apart
        raise ModelError(f"{type(model).__name__} cannot be saved: {error}") from error
    _publish(data, file)


def load(file: Path, trusted: Iterable[str | type]) -> Any:
    """Read a model, of trusted types alone.

    Parameters
    ----------
    file : Path
        A file that `dump` wrote.
    trusted : iterable of str or type
        Types to allow beside scikit-learn's and those of featx in `PUBLIC`.

    Returns
    -------
    object
        The model.

    Raises
    ------
    ModelError
        If it has other types, which are listed, or if a type is not installed here, or if a tree in it has indices
        that point outside of it.
    ParameterError
        If `trusted` is a single type or a bool.
    """
    if isinstance(trusted, str | type | bool):
        raise ParameterError(f"Got trusted={trusted!r}. Expected a list of types or of their full names.")
    skops = import_skops()
    own = [f"{home}.{name}" for name, home in PUBLIC.items()]
    given = [kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}" for kind in trusted]
    allowed = [*own, *TRUSTED, *OF_TABLES, *given]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn's, on versions, once an estimator
            model = skops.load(file, trusted=allowed)
    except skops.exceptions.UntrustedTypesFoundException as error:
        names = [name for name in skops.get_untrusted_types(file=file) if name not in allowed]
        raise ModelError(
            f"{file} holds types that featx does not trust unasked: {', '.join(names)}. If you trust who wrote it, "
            f"load it with trusted={names!r}."
        ) from error
    except Exception as error:  # a type may raise anything of a state that it does not know
        raise ModelError(
            f"{file} cannot be loaded ({type(error).__name__}: {error}). Install the versions that {KIND.file} names."
        ) from error
    try:
        check_indices(model)
    except Exception as error:  # an object of another kind may raise anything
        raise ModelError(f"{file} cannot be used: {error}. Copy the folder again, from who saved it.") from error
    return model


def _home(module: str, name: str) -> str:
    """Return the module that a type is named after: the public one, of featx's own types."""
    return PUBLIC.get(name, module) if module.partition(".")[0] == "featx" else module


def _publish(data: bytes, file: Path) -> None:
    """Write a file of skops with featx's public names, compressed: what scikit-learn notes of metadata repeats."""
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            content = source.read(name)
            if name == SCHEMA:
                schema = json.loads(content)
                for node in nodes_of(schema):
                    node["__module__"] = _home(node["__module__"], node["__class__"])
                content = json.dumps(schema).encode()
            target.writestr(name, content)


def nodes_of(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield each node of a schema of skops that names a type or a function."""
    stack = [schema]
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            if isinstance(part.get("__module__"), str) and isinstance(part.get("__class__"), str):
                yield part
            stack += part.values()
        elif isinstance(part, list):
            stack += part


def _check_keys(skops: ModuleType, given: dict[Any, Any]) -> None:
    """Refuse keys that do not come back: skops writes them as text, and any text where a bool was is True."""
    try:
        data = skops.dumps(dict.fromkeys(given))
        again = list(skops.loads(data, trusted=skops.get_untrusted_types(data=data)))
    except Exception:  # a key may raise anything while it is read from text
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
        except Exception:  # a type may raise anything while it is taken apart
            continue
    return type(model).__name__
