"""Which text model, as data: the files that decide its numbers, and the fingerprint over them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from featx.encoders import hash_file
from featx.exceptions import WeightsError

FORMAT = 1
MODULES = "modules.json"
# Configurations, tokenizers, weights.
SUFFIXES = frozenset({".bin", ".jinja", ".json", ".model", ".safetensors", ".tiktoken", ".txt"})
_WEIGHTS = (".safetensors", ".bin")
# What the model was trained on: it changes no number.
_IDLE = {"data_config.json"}


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
        Only the store or the model tells.
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
        """What the fingerprint is taken over; device, batch size, the model's name and its folder are not in it."""
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
    """The files of each module, those at the top among them; exports for other runtimes lie elsewhere."""
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
