"""What lies in a location: described, verified, deleted. Only what the store wrote counts."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.exceptions import StoreError, UnknownNameError
from featx.store._folder import Folder, as_strings
from featx.store._record import RECORD_NAME, DamagedRecordError, read_record
from featx.store._segment import DAMAGED, SEGMENT_NAME, TEMPORARY_NAME, DamagedSegmentError, Segment, publish

if TYPE_CHECKING:
    import pandas as pd

ENCODER_FILE = "encoder.json"
LOCK = "turn.lock"
NAME_LENGTH = 32
_FOLDER_NAME = re.compile(rf"[0-9a-f]{{{NAME_LENGTH}}}")
_FILE_NAME = re.compile(
    rf"{re.escape(ENCODER_FILE)}|{re.escape(LOCK)}|{TEMPORARY_NAME.pattern}|"
    rf"({SEGMENT_NAME.pattern}|{RECORD_NAME.pattern})({re.escape(DAMAGED)})?"
)
_PREFIX = 8
_INFO = ["encoder", "fingerprint", "rows", "unique_rows", "segments", "bytes", "last_used"]
_VERIFIED = ["fingerprint", "segment", "rows", "damaged", "error"]


def describe(location: Path) -> pd.DataFrame:
    """See `EmbeddingStore.info`."""
    import pandas as pd

    return pd.DataFrame([_describe(path) for path in folders(location)], columns=_INFO)


def verify(location: Path) -> pd.DataFrame:
    """See `EmbeddingStore.verify`."""
    import pandas as pd

    records = [
        {"fingerprint": path.name, "segment": name, **record}
        for path in folders(location)
        for name in [*Folder(path).segment_names(), *_record_names(path)]
        if (record := _check(path / name))
    ]
    return pd.DataFrame(records, columns=_VERIFIED)


def clear(location: Path, encoder: str | None) -> int:
    """See `EmbeddingStore.clear`."""
    paths = folders(location)
    chosen = [path for path in paths if encoder is None or _is_by(path, encoder)]
    if encoder is not None and not chosen:
        names = {read_encoder(path).get("name", path.name) for path in paths}
        raise UnknownNameError("encoder in this store", encoder, sorted(names))
    try:
        return sum(map(_remove, chosen))
    except OSError as error:
        raise StoreError(f"The store {location} cannot be cleared: {error.strerror or error}.") from error


def total_bytes(location: Path) -> int:
    """Size of all that the store wrote."""
    return sum(map(_size, folders(location)))


def folders(location: Path) -> list[Path]:
    """List the store's own folders: named by a fingerprint, with ``encoder.json`` or a segment in them."""
    try:
        with os.scandir(location) as entries:
            names = [e.name for e in entries if _FOLDER_NAME.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]
        paths = [location / name for name in sorted(names)]
        return [path for path in paths if (path / ENCODER_FILE).is_file() or Folder(path).segment_names()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreError(f"The cache folder {location} cannot be read: {error.strerror or error}.") from error


def read_encoder(path: Path) -> dict[str, Any]:
    """Read ``encoder.json``; {} if it is missing or damaged."""
    try:
        encoder = json.loads((path / ENCODER_FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return encoder if isinstance(encoder, dict) else {}


def write_encoder(path: Path, encoder: Mapping[str, Any]) -> None:
    """Say, for people and for checks, what the rows were encoded by."""
    publish(path / ENCODER_FILE, json.dumps(encoder, indent=1, sort_keys=True).encode())


def _is_by(path: Path, encoder: str) -> bool:
    by_fingerprint = len(encoder) >= _PREFIX and encoder.startswith(path.name[: len(encoder)])
    return by_fingerprint or read_encoder(path).get("name") == encoder


def _describe(path: Path) -> dict[str, Any]:
    segments = []
    for name in Folder(path).segment_names():
        with suppress(DamagedSegmentError, OSError):
            segments.append(Segment(path / name))
    keys = [as_strings(segment.keys) for segment in segments]
    encoder = read_encoder(path)
    last_used = None
    with suppress(OSError):
        last_used = datetime.fromtimestamp((path / ENCODER_FILE).stat().st_mtime)
    return {
        "encoder": encoder.get("name", ""),
        "fingerprint": encoder.get("fingerprint", path.name),
        "rows": sum(map(len, segments)),
        "unique_rows": len(np.unique(np.concatenate(keys))) if keys else 0,
        "segments": len(segments),
        "bytes": _size(path),
        "last_used": last_used,
    }


def _record_names(path: Path) -> list[str]:
    return sorted(file.name for file, _ in _own_files(path) if RECORD_NAME.fullmatch(file.name))


def _check(path: Path) -> dict[str, Any] | None:
    try:
        if RECORD_NAME.fullmatch(path.name):
            read_record(path)
            return {"rows": 0, "damaged": 0, "error": ""}
        segment = Segment(path)
        _, sound = segment.read()
    except FileNotFoundError:
        return None  # merged away since the listing: no damage
    except (DamagedSegmentError, DamagedRecordError, OSError) as error:
        return {"rows": 0, "damaged": 0, "error": str(error)}
    return {"rows": len(segment), "damaged": int((~sound).sum()), "error": ""}


def _own_files(path: Path) -> Iterator[tuple[Path, int]]:
    """List the store's own files in one folder, with their sizes."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(path) as entries:
        for entry in entries:
            if _FILE_NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):  # published or merged meanwhile
                    yield Path(entry.path), entry.stat(follow_symlinks=False).st_size


def _size(path: Path) -> int:
    return sum(size for _, size in _own_files(path))


def _remove(path: Path) -> int:
    freed = 0
    # The encoder last: a clearing that is interrupted leaves what can be seen and cleared again.
    for file, size in sorted(_own_files(path), key=lambda own: own[0].name == ENCODER_FILE):
        file.unlink(missing_ok=True)
        freed += size
    with suppress(OSError):  # not empty: somebody else's files
        path.rmdir()
    return freed
