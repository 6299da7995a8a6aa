"""The manifest of a folder: what it is, who wrote it, and the SHA-256 of each of its files.

The standard library alone: it also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from .exceptions import FeatxError


@dataclass(frozen=True)
class Kind:
    """A kind of folder that has a manifest.

    Attributes
    ----------
    name : str
        What it is, such as ``"bundle"``.
    file : str
        The manifest's name in the folder.
    format : int
        The newest version of the format that this featx reads, and the one that it writes unless it is told otherwise.
    writer : str
        The function that writes such folders, such as ``"featx.export_bundle"``.
    error : type
        The class of the errors that are raised.
    oldest : int, default=None
        The oldest version that is read; None is the newest alone.
    """

    name: str
    file: str
    format: int
    writer: str
    error: type[FeatxError]
    oldest: int | None = None

    @property
    def formats(self) -> range:
        """The versions that are read."""
        return range(self.format if self.oldest is None else self.oldest, self.format + 1)


def write_manifest(folder: Path, kind: Kind, content: dict[str, Any], featx: str) -> dict[str, Any]:
    """Describe a folder; the last file to be written, for without it the folder is none of its kind.

    Parameters
    ----------
    folder : Path
        With all its other files.
    kind : Kind
        What the folder is.
    content : dict of plain data
        What else the manifest says; its ``format`` is an older one that is enough for it.
    featx : str
        The version of featx.

    Returns
    -------
    dict
        The manifest as it will be read.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    manifest = {
        "format": kind.format,
        "featx": featx,
        **content,
        "files": {name: digest_file(folder / name) for name in names if name != kind.file},
    }
    manifest["sha256"] = digest_manifest(manifest)
    text = json.dumps(manifest, indent=2) + "\n"
    (folder / kind.file).write_bytes(text.encode())
    return json.loads(text)


def read_manifest(folder: Path, kind: Kind) -> dict[str, Any]:
    """Read a folder's manifest and check it, and every file that it lists.

    Parameters
    ----------
    folder : Path
        An absolute path.
    kind : Kind
        What the folder should be.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    FeatxError
        Of the kind's class, if the folder is none of its kind, of another format, or a file is missing or damaged.
    """
    file = folder / kind.file
    if not file.is_file():
        what = f"is not a {kind.name}: it has no {kind.file}" if folder.is_dir() else "is not there"
        raise kind.error(f"{folder} {what}. Expected a folder that {kind.writer} wrote.")
    try:
        manifest = json.loads(file.read_bytes())
    except (ValueError, OSError, RecursionError) as error:  # JSON and Unicode alike
        raise kind.error(f"{file} is damaged: {error}. Copy the {kind.name} again.") from error
    if not isinstance(manifest, dict):
        raise kind.error(f"{file} is damaged: it holds no object. Copy the {kind.name} again.")
    if manifest.get("format") not in kind.formats:
        raise kind.error(
            f"{folder} has format {manifest.get('format')!r}, written by featx {manifest.get('featx')}. "
            f"Expected format {' or '.join(map(str, kind.formats))}: {_advise(manifest.get('format'), kind)}"
        )
    if manifest.get("sha256") != digest_manifest(manifest):
        raise kind.error(f"{file} is damaged: it does not match its own digest. Copy the {kind.name} again.")
    if not isinstance(manifest.get("files"), dict):
        raise kind.error(f"{file} is damaged: it lists no files. Copy the {kind.name} again.")
    for name, expected in manifest["files"].items():
        if PureWindowsPath(name).anchor or ".." in (*PurePosixPath(name).parts, *PureWindowsPath(name).parts):
            raise kind.error(f"{file} lists {name!r}, which lies outside. Expected files of the {kind.name} alone.")
        _check_file(folder / name, expected, kind)
    return manifest


def digest_file(file: Path) -> str:
    """SHA-256 of a file, in hex."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_manifest(manifest: dict[str, Any]) -> str:
    """SHA-256, in hex, over canonical JSON of a manifest without its own digest."""
    content = {key: manifest[key] for key in manifest if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _check_file(file: Path, expected: str, kind: Kind) -> None:
    if not os.path.isfile(file):  # a pipe would be waited for
        raise kind.error(f"{file} is missing, or no file. Copy the {kind.name} again, with all its files.")
    try:
        found = digest_file(file)
    except OSError as error:
        raise kind.error(f"{file} cannot be read: {error.strerror}. Copy the {kind.name} again.") from error
    if found != expected:
        raise kind.error(f"{file} is damaged: its SHA-256 is not the one in {kind.file}. Copy the {kind.name} again.")


def _advise(found: Any, kind: Kind) -> str:
    if isinstance(found, int) and found < kind.formats[0]:
        return f"write it again with {kind.writer} of this featx."
    return "upgrade featx: pip install --upgrade featx"
