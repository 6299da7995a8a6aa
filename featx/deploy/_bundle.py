"""A bundle's folder: its card, and its files held to their digests.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from ..exceptions import BundleError

FORMAT = 1
CARD = "bundle.json"
GRAPH = "model.onnx"
HEAD = "head.skops"


@dataclass(frozen=True)
class Bundle:
    """A bundle that has been read.

    Attributes
    ----------
    folder : Path
    card : dict
        What ``bundle.json`` says.
    """

    folder: Path
    card: dict[str, Any]

    def __fspath__(self) -> str:
        return str(self.folder)


def read_bundle(folder: str | Path) -> Bundle:
    """Read a bundle's card, and check every file that it lists.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    Bundle

    Raises
    ------
    BundleError
        Naming the file that is missing or damaged, or the format that is not known.
    """
    folder = Path(folder).expanduser().absolute()
    card = _read_card(folder)
    if card.get("format") != FORMAT:
        raise BundleError(
            f"{folder} has format {card.get('format')!r}, written by featx {card.get('featx')}. "
            f"Expected format {FORMAT}: upgrade featx, or export it again."
        )
    if card.get("digest") != digest_card(card):
        raise BundleError(f"{folder / CARD} is damaged: it does not match its own digest. Copy the bundle again.")
    if not isinstance(card.get("files"), dict):
        raise BundleError(f"{folder / CARD} is damaged: it lists no files. Copy the bundle again.")
    for name, expected in card["files"].items():
        if PurePath(name).anchor or ".." in PurePath(name).parts:
            raise BundleError(
                f"{folder / CARD} lists {name!r}, which lies outside. Expected files of the bundle alone."
            )
        if digest_file(folder / name) != expected:
            raise BundleError(f"{folder / name} is damaged: its SHA-256 is not the one in {CARD}. Copy it again.")
    needed = [GRAPH, HEAD] if card.get("head") == "sklearn" else [GRAPH]
    if absent := [name for name in needed if name not in card["files"]]:
        raise BundleError(f"{folder / CARD} is damaged: it does not list {absent[0]}. Copy the bundle again.")
    return Bundle(folder, card)


def digest_file(file: Path) -> str:
    """SHA-256 of a file, in hex."""
    if not os.path.isfile(file):  # a pipe would be waited for
        raise BundleError(f"{file} is not there, or no file. Copy the bundle again, whole.")
    try:
        with open(file, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(f"{file} cannot be read: {error.strerror}. Copy the bundle again, whole.") from error


def digest_card(card: dict[str, Any]) -> str:
    """SHA-256, in hex, over the card without its own digest."""
    text = json.dumps({key: card[key] for key in card if key != "digest"}, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _read_card(folder: Path) -> dict[str, Any]:
    file = folder / CARD
    if not file.is_file():
        what = "is no bundle: it has no bundle.json" if folder.is_dir() else "is not there"
        raise BundleError(f"{folder} {what}. Expected a folder that featx.export_bundle wrote.")
    try:
        card = json.loads(file.read_bytes())
    except (ValueError, OSError, RecursionError) as error:  # JSON and Unicode alike
        raise BundleError(f"{file} is damaged: {error}. Copy the bundle again.") from error
    if not isinstance(card, dict):
        raise BundleError(f"{file} is damaged: it holds no object. Copy the bundle again.")
    return card
