"""EmbeddingStore: embeddings on disk, a folder of segments for each fingerprint."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from featx._cache_folder import default_location
from featx._version import __version__
from featx._warnings import warn
from featx.exceptions import ParameterError, StoreError, StoreWarning
from featx.store import _inventory
from featx.store._folder import Folder
from featx.store._inventory import ENCODER_FILE, LOCK, NAME_LENGTH
from featx.store._record import DamagedRecordError, read_record, record_file, write_record
from featx.store._segment import DAMAGED
from featx.store.base import KEY_BYTES

if TYPE_CHECKING:
    import pandas as pd
    from filelock import FileLock

_FINGERPRINT = re.compile(r"[0-9a-f]{32,}")

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
        self._private = location is None and not os.environ.get("FEATX_CACHE")
        self.location = default_location() if location is None else Path(location).expanduser().absolute()
        self._begin()

    def _begin(self) -> None:
        self._folders: dict[str, Folder] = {}
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._announced = False

    def __repr__(self) -> str:
        return f"EmbeddingStore({str(self.location)!r})"

    def __sklearn_clone__(self) -> EmbeddingStore:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"location": self.location, "_private": self._private}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def get_many(self, fingerprint: str, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Look up rows; see `featx.store.Store.get_many`.

        Raises
        ------
        StoreError
            If the folder is a symbolic link or cannot be read.
        """
        folder = self._folder(fingerprint)
        keys = _checked_keys(keys)
        try:
            found, rows = folder.get(keys)
        except OSError as error:
            raise StoreError(f"The cache folder {folder.path} cannot be read: {error.strerror or error}.") from error
        encoder = folder.path / ENCODER_FILE
        if found.any() and not encoder.is_symlink():
            with suppress(OSError):
                os.utime(encoder)
        return found, rows

    def put_many(self, fingerprint: str, keys: np.ndarray, rows: np.ndarray, meta: Mapping[str, Any]) -> None:
        """Keep rows; see `featx.store.Store.put_many`.

        Raises
        ------
        StoreError
            If the folder cannot be written.
        """
        folder = self._folder(fingerprint)
        keys, rows = _checked_rows(keys, rows)
        if not len(keys):
            return
        metadata = {name: value for name, value in meta.items() if name != "encoder"}
        metadata["featx"] = __version__
        encoder = {**meta.get("encoder", {}), "fingerprint": fingerprint}
        try:
            try:
                self._write(folder, encoder, keys, rows, metadata)
            except FileNotFoundError:  # cleared by another process meanwhile: once more
                self._write(folder, encoder, keys, rows, metadata)
        except OSError as error:
            raise StoreError(f"The cache folder {folder.path} cannot be written: {error.strerror or error}.") from error

    @contextmanager
    def lock(self, fingerprint: str) -> Iterator[None]:
        """Take turns with the other processes; see `featx.store.Store.lock`."""
        folder = self._folder(fingerprint)
        lock = self._acquire(folder)
        try:
            yield
            if lock is not None:
                self._tidy(folder)
        finally:
            if lock is not None:
                lock.release()

    def get_record(self, key: str, name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """Read a result that is kept whole, such as a fitted `TargetAwareEncoder`.

        Parameters
        ----------
        key : str
            The hex digest of everything that changes the result.
        name : str
            Which of the results under this key.

        Returns
        -------
        (dict of str to ndarray, dict) or None
            Arrays and plain data; None if there is no such record. A damaged one is moved aside, with a warning.

        Raises
        ------
        StoreError
            If the folder is a symbolic link or cannot be read.
        """
        folder = self._folder(key).path
        file = record_file(folder, name)
        try:
            found = read_record(file)
        except FileNotFoundError:
            return None
        except DamagedRecordError as error:
            warn(f"{file} is damaged: {error}. It is computed again.", StoreWarning)
            with suppress(OSError):
                file.replace(file.with_name(file.name + DAMAGED))
            return None
        except OSError as error:
            raise StoreError(f"The cache folder {folder} cannot be read: {error.strerror or error}.") from error
        with suppress(OSError):
            os.utime(folder / ENCODER_FILE)
        return found

    def put_record(
        self,
        key: str,
        name: str,
        arrays: Mapping[str, np.ndarray],
        description: Mapping[str, Any],
        encoder: Mapping[str, Any],
    ) -> None:
        """Keep a result whole.

        Parameters
        ----------
        key, name
            As for `get_record`.
        arrays : mapping of str to ndarray
            Its numbers.
        description : mapping
            Plain data beside them.
        encoder : mapping
            What `info` says of it: ``"name"``, and what went into the key.

        Raises
        ------
        StoreError
            If the folder cannot be written.
        """
        folder = self._folder(key).path
        try:
            self._make(folder)
            if not _inventory.read_encoder(folder):
                _inventory.write_encoder(folder, {**encoder, "fingerprint": key})
            write_record(record_file(folder, name), arrays, description)
        except OSError as error:
            raise StoreError(f"The cache folder {folder} cannot be written: {error.strerror or error}.") from error

    def info(self) -> pd.DataFrame:
        """Describe what is in the store.

        Returns
        -------
        pandas.DataFrame
            One row a fingerprint: encoder (its name), fingerprint, rows,
            unique_rows, segments, bytes, last_used. Fits of a `TargetAwareEncoder` have no rows.
        """
        return _inventory.describe(self.location)

    def verify(self) -> pd.DataFrame:
        """Read every row of every segment; nothing is moved or removed.

        Returns
        -------
        pandas.DataFrame
            One row a segment: fingerprint, segment, rows, damaged (how many of
            them), error (why it cannot be opened, or "").
        """
        return _inventory.verify(self.location)

    def clear(self, encoder: str | None = None) -> int:
        """Delete embeddings; nothing that the store did not write is touched.

        Parameters
        ----------
        encoder : str, default=None
            A name or a fingerprint (at least its first 8 characters) as in
            `info`; None is all.

        Returns
        -------
        int
            Bytes that were freed.

        Raises
        ------
        UnknownNameError
            If nothing in the store is by that encoder.
        """
        return _inventory.clear(self.location, encoder)

    def _folder(self, fingerprint: str) -> Folder:
        if not _FINGERPRINT.fullmatch(fingerprint):
            raise ParameterError(f"Got fingerprint={fingerprint!r}. Expected a hex digest of 32 digits or more.")
        path = self.location / fingerprint[:NAME_LENGTH]
        # A link could lead writes out of the store.
        if path.is_symlink():
            raise StoreError(f"{path} is a symbolic link. Expected a folder; remove the link.")
        if self._pid != os.getpid():
            self._begin()  # forked, maybe while another thread held a lock: nobody would ever release it here
        with self._lock:
            self._announce()
            return self._folders.setdefault(path.name, Folder(path))

    def _announce(self) -> None:
        if not self._announced and logger.isEnabledFor(logging.INFO):
            with suppress(OSError):  # a line of the log is no reason to fail
                logger.info("cache=%s bytes=%d", self.location, _inventory.total_bytes(self.location))
        self._announced = True

    def _acquire(self, folder: Folder) -> FileLock | None:
        from filelock import FileLock

        lock = FileLock(folder.path / LOCK)
        try:
            self._make(folder.path)
            lock.acquire()
        except (OSError, NotImplementedError):  # read-only, or a file system without locks
            return None
        return lock

    def _make(self, path: Path) -> None:
        self.location.mkdir(parents=True, exist_ok=True, mode=0o700 if self._private else 0o777)
        path.mkdir(exist_ok=True)

    def _write(
        self,
        folder: Folder,
        encoder: Mapping[str, Any],
        keys: np.ndarray,
        rows: np.ndarray,
        metadata: Mapping[str, Any],
    ) -> None:
        self._make(folder.path)
        if not _inventory.read_encoder(folder.path):
            _inventory.write_encoder(folder.path, encoder)
        folder.put(keys, rows, metadata)

    def _tidy(self, folder: Folder) -> None:
        try:
            folder.tidy()
        except FileNotFoundError:
            pass  # cleared meanwhile
        except (OSError, MemoryError) as error:
            warn(f"The store {folder.path} could not be tidied: {error}", StoreWarning)


def _checked_keys(keys: np.ndarray) -> np.ndarray:
    keys = np.asarray(keys)
    if keys.dtype != np.uint8 or keys.ndim != 2 or keys.shape[1] != KEY_BYTES:
        raise ParameterError(f"Got keys {keys.shape} {keys.dtype}. Expected (n, {KEY_BYTES}) uint8.")
    return keys


def _checked_rows(keys: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keys and rows that can be kept: those without NaN."""
    keys, rows = _checked_keys(keys), np.asarray(rows)
    if rows.ndim != 2 or len(rows) != len(keys) or not rows.shape[1] or rows.dtype.kind != "f":
        raise ParameterError(f"Got rows {rows.shape} {rows.dtype}. Expected ({len(keys)}, dim) float32.")
    whole = ~np.isnan(rows).any(axis=1)
    return (keys, rows) if whole.all() else (keys[whole], rows[whole])
