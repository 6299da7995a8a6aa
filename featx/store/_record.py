"""One immutable file of a few named arrays and what describes them: a result that is kept whole, beside rows."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from featx.exceptions import FeatxError
from featx.store._segment import publish

FORMAT = "1"
RECORD_NAME = re.compile(r"record-[a-z0-9-]{1,40}\.safetensors")


class DamagedRecordError(FeatxError):
    """A file that is not a whole record; the message says what is wrong."""


def record_file(folder: Path, name: str) -> Path:
    """Return the file of a record: lower-case letters, digits and hyphens name it."""
    file = folder / f"record-{name}.safetensors"
    assert RECORD_NAME.fullmatch(file.name), name
    return file


def write_record(file: Path, arrays: Mapping[str, np.ndarray], description: Mapping[str, Any]) -> None:
    """Write a record whole, or not at all.

    Parameters
    ----------
    file : Path
        An older record is replaced.
    arrays : mapping of str to ndarray
        Numbers of any shape.
    description : mapping
        Plain data.

    Raises
    ------
    OSError
        If the file cannot be written; nothing is left behind.
    """
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    text = json.dumps(description, sort_keys=True)
    publish(file, save(arrays, {"format": FORMAT, "description": text, "checksum": _checksum(arrays, text)}))


def read_record(file: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a record, and compare it with its checksum.

    Parameters
    ----------
    file : Path
        What `write_record` wrote.

    Returns
    -------
    arrays : dict of str to ndarray
        The arrays.
    description : dict
        Plain data.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    OSError
        If it cannot be read.
    DamagedRecordError
        If it is not what was written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = file.read_bytes()
    try:
        arrays = load(content)
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length])["__metadata__"]
        whole = metadata["format"] == FORMAT and metadata["checksum"] == _checksum(arrays, metadata["description"])
        description = json.loads(metadata["description"])
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedRecordError(f"it is no record ({error})") from error
    if not whole:
        raise DamagedRecordError("its content is not what was written")
    return arrays, description


def _checksum(arrays: Mapping[str, np.ndarray], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name}:{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()
