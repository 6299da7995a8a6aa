"""Graphs on disk: networks converted once, so that later processes need no torch.

A graph is one file in the user's cache folder: magic, SHA-256 of all that follows, length of the header, the header
(JSON), the content. A file that is damaged, or that other versions wrote, is made again.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from featx._atomic import atomic_file
from featx._cache_folder import user_folder
from featx._version import __version__
from featx.encoders import EncoderSpec

_DIGEST_BYTES = 32
# Parts of an identity that change what a network is given, or how it is run, and not the network.
_UNLIKE = ("precision", "executor", "decode", "policy")
_OF_PREPROCESS = ("size", "mean", "std")


def graphs_folder() -> Path:
    """Return the folder in which graphs are kept."""
    return user_folder() / "graphs"


def graph_name(specs: Sequence[EncoderSpec]) -> str:
    """Name a network's graph by all that is in it: one serves each precision, and each way to cut out the square."""
    identities = []
    for spec in specs:
        identity = {key: value for key, value in spec.identity().items() if key not in _UNLIKE}
        identities.append({**identity, "preprocess": {key: identity["preprocess"][key] for key in _OF_PREPROCESS}})
    return hashlib.sha256(json.dumps(identities, sort_keys=True).encode()).hexdigest()[:32]


def versions_of(*packages: str) -> list[str]:
    """List featx's version, and those of the packages that are installed."""
    versions = [__version__]
    for package in packages:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{package} {importlib.metadata.version(package)}")
    return versions


def write_kept(
    file: Path, magic: bytes, header: dict[str, Any], content: Sequence[bytes], *, name_by_content: bool = False
) -> tuple[Path, str]:
    """Write a file, whole or not at all.

    It is `magic`, its SHA-256, the header and the content, one part after the other; with `name_by_content` it is named
    ``<file>-<digest>.graph``. Returns where it was written, and the digest in hex. Raises OSError if it cannot be.
    """
    text = json.dumps(header).encode()
    rest = (len(text).to_bytes(8, "little"), text, *content)
    digest = _sha256(*rest)
    if name_by_content:
        file = file.with_name(f"{file.name}-{digest.hex()[:32]}.graph")
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with atomic_file(file) as temporary, open(temporary, "wb") as output:
        output.write(magic + digest)
        output.writelines(rest)
    return file, digest.hex()


def read_kept(file: Path, magic: bytes) -> tuple[dict[str, Any], np.ndarray] | None:
    """Read header and content, uint8, of a file that `write_kept` wrote; None if it is missing or damaged."""
    try:
        content = np.fromfile(file, np.uint8)
    except OSError:
        return None
    whole, start = memoryview(content), len(magic) + _DIGEST_BYTES
    if bytes(whole[: len(magic)]) != magic or bytes(whole[len(magic) : start]) != _sha256(whole[start:]):
        return None
    end = start + 8 + int.from_bytes(whole[start : start + 8], "little")
    return json.loads(bytes(whole[start + 8 : end])), content[end:]


def read_digest(file: Path, magic: bytes) -> str:
    """Read the digest that a file claims to have, in hex.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with open(file, "rb") as opened:
        return opened.read(len(magic) + _DIGEST_BYTES)[len(magic) :].hex()


def _sha256(*parts: bytes | memoryview) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()
