"""``model.json``: what is in a model's folder, written by which versions, and the SHA-256 of each file."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from featx._version import __version__
from featx.encoders import hash_file
from featx.exceptions import ModelError

FORMAT = 1
RECORD, MODEL, WEIGHTS = "model.json", "model.skops", "weights"
_PACKAGES = ("numpy", "scikit-learn", "skops", "torch")


def write_record(folder: Path, **more: Any) -> None:
    """Describe a folder; the last file to be written, for without it there is no model.

    Parameters
    ----------
    folder : Path
    **more : plain data
        Told as it is.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    record = {
        "format": FORMAT,
        "featx": __version__,
        "versions": versions(),
        **more,
        "files": {path.relative_to(folder).as_posix(): hash_file(path) for path in files},
    }
    (folder / RECORD).write_text(_render(record), encoding="utf-8")


def read_record(folder: Path) -> dict[str, Any]:
    """Read what is said of a folder, and check every file against it.

    Raises
    ------
    ModelError
        If it is no model's folder, of a later format, or a file is missing or damaged.
    """
    try:
        text = (folder / RECORD).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{folder / RECORD} cannot be read ({error}). Expected a folder that featx.save wrote."
        ) from error
    record = _parse(text)
    if record.get("format", FORMAT) != FORMAT:
        raise ModelError(
            f"{folder / RECORD} has format {record['format']!r}, written by featx {record.get('featx')}; this featx "
            f"{__version__} reads format {FORMAT}. Upgrade it: pip install --upgrade featx"
        )
    if not isinstance(record.get("files"), dict) or _render(record) != text:
        raise ModelError(f"{folder / RECORD} is damaged. Copy the folder again, or have the model saved again.")
    for name, digest in record["files"].items():
        _check_file(folder, name, digest)
    return record


def versions() -> dict[str, str]:
    """Of Python and of what decides whether a model loads; of torch only where it was used."""
    used = [package for package in _PACKAGES if package != "torch" or "torch" in sys.modules]
    return {"python": platform.python_version(), **{package: importlib.metadata.version(package) for package in used}}


def _parse(text: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _render(record: dict[str, Any]) -> str:
    """JSON, with the digest of itself: no character of it can change unseen."""
    plain = {key: value for key, value in record.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(plain).encode()).hexdigest()
    return json.dumps({**plain, "sha256": digest}, indent=2) + "\n"


def _check_file(folder: Path, name: str, digest: str) -> None:
    path = folder / name
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise ModelError(f"{folder / RECORD} names {name!r}, which lies outside of its folder.")
    if not path.is_file():
        raise ModelError(f"{path} is missing. Copy the folder again, with all its files.")
    found = hash_file(path)
    if found != digest:
        raise ModelError(
            f"{path} is damaged: it has SHA-256 {found[:16]}..., expected {str(digest)[:16]}.... Copy the folder again."
        )
