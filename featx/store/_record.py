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
from featx.store._layout import NewerFormatError

FORMAT = "1"
RECORD_NAME = re.compile(r"record-[a-z0-9-]{1,40}\.safetensors")


class DamagedRecordError(FeatxError):
    """A file that is not a whole record; the message says what is wrong."""


def record_name(name: str) -> str:
    """Return the name of a record's file: lower-case letters, digits and hyphens name it."""
    file = f"record-{name}.safetensors"
    assert RECORD_NAME.fullmatch(file), name
    return file


def write_record(file: Path, arrays: Mapping[str, np.ndarray], description: Mapping[str, Any]) -> None:
    """Write a record to a new file.

    Parameters
    ----------
    file : Path
        It becomes a record once it is published under its name.
    arrays : mapping of str to ndarray
        Numbers of any shape.
    description : mapping
        Plain data.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    text = json.dumps(description, sort_keys=True)
    metadata = {"format": FORMAT, "description": text, "checksum": _checksum(arrays, text)}
    # Not save_file: its files are for their owner alone, and a store may be shared.
    file.write_bytes(save(arrays, metadata))


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
    NewerFormatError
        If a later version of featx wrote it.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = file.read_bytes()
    try:
        arrays = load(content)
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length])["__metadata__"]
        written = metadata["format"]
        if written.isdecimal() and int(written) > int(FORMAT):
            raise NewerFormatError(f"it is of format {written}, which a later version of featx wrote")
        whole = written == FORMAT and metadata["checksum"] == _checksum(arrays, metadata["description"])
        description = json.loads(metadata["description"])
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
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
