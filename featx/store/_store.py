"""EmbeddingStore: embeddings on disk, a folder of segments for each fingerprint."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
import shutil
import threading
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import platformdirs

from featx.exceptions import ParameterError, StoreError, StoreWarning
from featx.store._folder import Folder, as_strings
from featx.store._segment import DamagedSegmentError, Segment

if TYPE_CHECKING:
    import pandas as pd

_NAME_LENGTH = 32
_CARD = "encoder.json"
_INFO_COLUMNS = ["encoder", "fingerprint", "rows", "unique_rows", "segments", "bytes", "last_used"]

logger = logging.getLogger("featx")


class EmbeddingStore:
    """Embeddings by content: a row is found by what the image shows and what encoded it.

    Any number of processes may read and write one location at the same time.
    Nothing is ever changed in place, and nothing is unpickled.

    Parameters
    ----------
    location : str or Path, default=None
        A folder, made when the first row is written. None is ``$FEATX_CACHE``
        or else this user's cache folder.

    Attributes
    ----------
    location : Path

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from featx import EmbeddingStore
    >>> store = EmbeddingStore(tempfile.mkdtemp())
    >>> keys = np.arange(32, dtype="uint8").reshape(2, 16)
    >>> store.put_many("f" * 64, keys, np.ones((2, 4), "float32"), {"encoder": {"name": "example"}})
    >>> found, rows = store.get_many("f" * 64, keys)
    >>> found.tolist(), rows.shape
    ([True, True], (2, 4))
    """

    def __init__(self, location: str | Path | None = None):
        if location is not None and not isinstance(location, str | Path):
            raise ParameterError(f"Got location={location!r}. Expected the path of a folder, or None.")
        if isinstance(location, str) and "://" in location:
            raise ParameterError(
                f"Got location={location!r}. Expected a local folder: remote stores are not supported."
            )
        self._private = location is None and "FEATX_CACHE" not in os.environ
        self.location = default_location() if location is None else Path(location).expanduser().absolute()
        self._folders: dict[str, Folder] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"EmbeddingStore({str(self.location)!r})"

    def __sklearn_clone__(self) -> EmbeddingStore:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"location": self.location, "_private": self._private}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _folders={}, _lock=threading.Lock())

    def get_many(self, fingerprint: str, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Look up rows; see `featx.store.Store.get_many`.

        Raises
        ------
        StoreError
            If the folder is a symbolic link or cannot be read.
        """
        folder = self._folder(fingerprint)
        try:
            found, rows = folder.get(keys)
        except PermissionError as error:
            raise StoreError(f"The cache folder {folder.path} cannot be read: {error.strerror}.") from error
        if found.any():
            with suppress(OSError):
                os.utime(folder.path / _CARD)
        return found, rows

    def put_many(self, fingerprint: str, keys: np.ndarray, rows: np.ndarray, meta: Mapping[str, Any]) -> None:
        """Keep rows; see `featx.store.Store.put_many`.

        Raises
        ------
        StoreError
            If the folder cannot be written.
        """
        folder = self._folder(fingerprint)
        metadata = {name: value for name, value in meta.items() if name != "encoder"}
        metadata["featx"] = importlib.metadata.version("featx")
        try:
            self._make(folder.path)
            self._write_card(folder.path, fingerprint, meta.get("encoder", {}))
            folder.put(keys, rows, metadata)
        except OSError as error:
            raise StoreError(f"The cache folder {folder.path} cannot be written: {error.strerror or error}.") from error

    @contextmanager
    def turn(self, fingerprint: str) -> Iterator[None]:
        """Take turns with the other processes; see `featx.store.Store.turn`."""
        import filelock

        folder = self._folder(fingerprint)
        lock = filelock.FileLock(folder.path / "turn.lock")
        try:
            self._make(folder.path)
            lock.acquire()
        except (OSError, NotImplementedError):  # read-only, or a file system without locks
            yield
            return
        try:
            yield
            self._tidy(folder)
        finally:
            lock.release()

    def info(self) -> pd.DataFrame:
        """What is in the store.

        Returns
        -------
        pandas.DataFrame
            One row a fingerprint: encoder (its name), fingerprint, rows,
            unique_rows, segments, bytes, last_used.
        """
        import pandas as pd

        return pd.DataFrame([self._describe(path) for path in self._paths()], columns=_INFO_COLUMNS)

    def verify(self) -> pd.DataFrame:
        """Read every row of every segment.

        Returns
        -------
        pandas.DataFrame
            One row a segment: fingerprint, segment, rows, damaged (how many of
            them), error (why it cannot be opened, or "").
        """
        import pandas as pd

        records = []
        for path in self._paths():
            for name in Folder(path).segment_names():
                records.append({"fingerprint": path.name, "segment": name, **_check_segment(path / name)})
        return pd.DataFrame(records, columns=["fingerprint", "segment", "rows", "damaged", "error"])

    def clear(self, encoder: str | None = None) -> int:
        """Delete embeddings; nothing else in the location is touched.

        Parameters
        ----------
        encoder : str, default=None
            A name or a fingerprint (its first characters) as in `info`; None is all.

        Returns
        -------
        int
            Bytes that were freed.
        """
        freed = 0
        for path in self._paths():
            card = _read_card(path)
            if encoder is None or card.get("name") == encoder or path.name.startswith(encoder):
                freed += _size(path)
                shutil.rmtree(path)
                self._folders.pop(path.name, None)
        return freed

    def _folder(self, fingerprint: str) -> Folder:
        name = fingerprint[:_NAME_LENGTH]
        path = self.location / name
        # A link could lead writes out of the store.
        if path.is_symlink():
            raise StoreError(f"{path} is a symbolic link. Expected a folder; remove the link.")
        with self._lock:
            if name not in self._folders:
                self._folders[name] = Folder(path)
                if len(self._folders) == 1:
                    logger.info("cache=%s", self.location)
            return self._folders[name]

    def _make(self, path: Path) -> None:
        self.location.mkdir(parents=True, exist_ok=True, mode=0o700 if self._private else 0o777)
        path.mkdir(exist_ok=True)

    def _write_card(self, path: Path, fingerprint: str, encoder: Mapping[str, Any]) -> None:
        """Say, for people and for checks, what these rows were encoded by."""
        if (path / _CARD).exists():
            return
        temporary = path / f".tmp-{uuid.uuid4().hex}.json"
        temporary.write_text(json.dumps({**encoder, "fingerprint": fingerprint}, indent=1, sort_keys=True))
        temporary.rename(path / _CARD)

    def _tidy(self, folder: Folder) -> None:
        try:
            folder.tidy()
        except OSError as error:
            warnings.warn(f"The store {folder.path} could not be tidied: {error}", StoreWarning, stacklevel=3)

    def _paths(self) -> list[Path]:
        """The folders that are this store's own: named by a fingerprint, with a card in them."""
        if not self.location.is_dir():
            return []
        return sorted(
            path
            for path in self.location.iterdir()
            if len(path.name) == _NAME_LENGTH and not path.is_symlink() and (path / _CARD).is_file()
        )

    def _describe(self, path: Path) -> dict[str, Any]:
        segments = []
        for name in Folder(path).segment_names():
            with suppress(DamagedSegmentError, OSError):
                segments.append(Segment(path / name))
        keys = [as_strings(segment.keys) for segment in segments]
        card = _read_card(path)
        return {
            "encoder": card.get("name", ""),
            "fingerprint": card.get("fingerprint", path.name),
            "rows": sum(map(len, segments)),
            "unique_rows": len(np.unique(np.concatenate(keys))) if keys else 0,
            "segments": len(segments),
            "bytes": _size(path),
            "last_used": datetime.fromtimestamp((path / _CARD).stat().st_mtime),
        }


def default_location() -> Path:
    """``$FEATX_CACHE``, else this user's cache folder."""
    if "FEATX_CACHE" in os.environ:
        return Path(os.environ["FEATX_CACHE"]).expanduser().absolute()
    return platformdirs.user_cache_path("featx", appauthor=False) / "embeddings"


def _check_segment(path: Path) -> dict[str, Any]:
    try:
        segment = Segment(path)
        _, sound = segment.gather(np.arange(len(segment)))
    except (DamagedSegmentError, OSError) as error:
        return {"rows": 0, "damaged": 0, "error": str(error)}
    return {"rows": len(segment), "damaged": int((~sound).sum()), "error": ""}


def _read_card(path: Path) -> dict[str, Any]:
    try:
        return json.loads((path / _CARD).read_text())
    except (OSError, ValueError):
        return {}


def _size(path: Path) -> int:
    return sum(entry.stat(follow_symlinks=False).st_size for entry in os.scandir(path))
