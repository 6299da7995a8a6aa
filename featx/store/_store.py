"""EmbeddingStore: embeddings on disk, a folder of segments for each fingerprint."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from featx._cache_folder import default_location
from featx._version import __version__
from featx._warnings import warn
from featx.exceptions import ParameterError, StoreError, StoreWarning, UnknownNameError
from featx.store import _inventory
from featx.store._bucket import BucketPlace, as_url
from featx.store._export import SUFFIX, check_paths, to_frame, write_parquet
from featx.store._files import ENCODER_FILE, TRIES, LocalPlace, Place, Url
from featx.store._folder import Folder
from featx.store._inventory import NAME_LENGTH
from featx.store._layout import NewerFormatError
from featx.store._record import DamagedRecordError, read_record, record_name, write_record
from featx.store._upkeep import TendedFolder
from featx.store.base import KEY_BYTES

if TYPE_CHECKING:
    import pandas as pd

_DTYPES = ("float32", "float16")
_FINGERPRINT = re.compile(r"[0-9a-f]{32,}")

# The turns that are taken: by which process and thread, at which location, at which folder.
_TURNS: set[tuple[int, int, str, str]] = set()

logger = logging.getLogger("featx")


class EmbeddingStore:
    """Embeddings by content: a row is found by what the image shows and what encoded it.

    Any number of processes may read, write, compact and prune one location at the same time, and each of them may be
    killed at any moment: rows that `put_many` has returned from stay, and what is half-written is never read, and
    removed after a day. (A power cut may cost the rows of the last minute.) Every row is compared with its sum when it
    is read: what is damaged costs a warning and an encoding, never a wrong row.

    Nothing is changed in place or unpickled, no link below the location is followed, and what a later version of featx
    wrote is left as it is. A store that cannot be written can be read.

    An object store is listed once a look-up. Each object that was read or written is kept in this user's cache folder
    too (``featx/remote``), and is fetched once. These copies may be deleted at any time; ``prune(copies=True)`` bounds
    them. Machines do not wait for each other: two of them may encode one image, and segments are merged by `compact`
    alone. What cannot be reached, after a few attempts, is a StoreError; encoders then warn and go on without a cache.

    Parameters
    ----------
    location : str or Path, default=None
        A folder, made when the first row is written; or the URL of a folder in an object store, such as
        ``s3://bucket/folder``, ``gs://`` or ``az://``: fsspec reads it (``pip install 'featx[remote]'``), where the
        store is and who asks is configured as for fsspec. None is ``$FEATX_CACHE`` or else this user's cache folder.
    dtype : {"float32", "float16"}, default="float32"
        What rows are kept as. float16 takes half the bytes; its rows are separate ones, and what is returned is
        rounded, the first time too. Embeddings of photos keep a cosine of 0.9999999 with the exact ones; those with
        numbers beyond 65,504 are not kept.

    Attributes
    ----------
    location : Path or str
        The folder, or its URL.
    dtype : str

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

    def __init__(self, location: str | Path | None = None, *, dtype: str = "float32"):
        if location is not None and not isinstance(location, str | Path):
            raise ParameterError(f"Got location={location!r}. Expected the path or the URL of a folder, or None.")
        if dtype not in _DTYPES:
            raise UnknownNameError("dtype", dtype, _DTYPES)
        self._private = location is None and not os.environ.get("FEATX_CACHE")
        self.location = _locate(default_location() if location is None else location)
        self.dtype = dtype
        self._begin()

    def _begin(self) -> None:
        self._place: Place = (
            BucketPlace(self.location)
            if isinstance(self.location, Url)
            else LocalPlace(self.location, private=self._private)
        )
        self._folders: dict[str, TendedFolder] = {}
        self._carded: set[str] = set()
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._announced = False

    def __repr__(self) -> str:
        dtype = "" if self.dtype == "float32" else f", dtype={self.dtype!r}"
        return f"EmbeddingStore({str(self.location)!r}{dtype})"

    def __sklearn_clone__(self) -> EmbeddingStore:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"location": self.location, "dtype": self.dtype, "_private": self._private}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({"dtype": "float32", **state})
        self._begin()

    def round(self, rows: np.ndarray) -> np.ndarray:
        """Round rows to what the store gives back, so that a first call returns what later ones do.

        Parameters
        ----------
        rows : ndarray of shape (n, dim), float32

        Returns
        -------
        ndarray of shape (n, dim), float32
            Rows that have no float16 (beyond 65,504) are as they were; they are not kept.
        """
        if self.dtype == "float32":
            return rows
        with np.errstate(over="ignore"):
            rounded = rows.astype(np.float16).astype(np.float32)
        return np.where(np.isfinite(rounded).all(axis=1, keepdims=True), rounded, rows)

    def get_many(self, fingerprint: str, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Look up rows; see `featx.store.Store.get_many`.

        Rows that are damaged are not found, with a `StoreWarning`.

        Raises
        ------
        StoreError
            If the folder is a symbolic link, is another encoder's under this one's name, or cannot be read.
        """
        folder = self._folder(fingerprint)
        keys = _checked_keys(keys)
        with _store_errors(folder.path, "read"):
            found, rows = folder.get(keys)
            if found.any():
                self._check_card(folder)
                folder.files.touch(ENCODER_FILE)
        return found, rows

    def put_many(self, fingerprint: str, keys: np.ndarray, rows: np.ndarray, meta: Mapping[str, Any]) -> None:
        """Keep rows; see `featx.store.Store.put_many`.

        Raises
        ------
        ParameterError
            If the rows are not as long as those that are there.
        StoreError
            If the folder cannot be written, as on a full disk (of these rows nothing is kept then), is a symbolic
            link, or is another encoder's under this one's name.
        """
        folder = self._folder(fingerprint)
        keys, rows = self._kept(*_checked_rows(keys, rows))
        if not len(keys):
            return
        metadata = {name: value for name, value in meta.items() if name != "encoder"}
        metadata["featx"] = __version__
        encoder = {**meta.get("encoder", {}), "fingerprint": self._stored_as(fingerprint)}
        if self.dtype != "float32":
            encoder |= {"dtype": self.dtype, "of": fingerprint}
        with _store_errors(folder.path, "written"):
            self._write(folder, encoder, lambda: folder.put(keys, rows, metadata))

    @contextmanager
    def lock(self, fingerprint: str) -> Iterator[None]:
        """Take turns with the other processes; see `featx.store.Store.lock`.

        When a turn ends, small segments are merged and what is damaged is moved aside. Where nothing can be locked, as
        in a folder that can only be read, nobody waits.

        Raises
        ------
        StoreError
            If this thread has this turn already. `compact`, `prune` and ``verify(repair=True)`` take the turn of every
            fingerprint, and raise it if this thread has any.
        """
        folder = self._folder(fingerprint)
        with self._turn(folder.path.name) as alone:
            yield
            if alone:
                self._tidy(folder)

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
            If the folder is a symbolic link, is another one's under this name, or cannot be read.
        """
        files, file = self._folder(key).files, record_name(name)
        try:
            with _store_errors(files.path, "read", passing=FileNotFoundError):
                found = read_record(files.fetch(file))
        except FileNotFoundError:
            return None
        except NewerFormatError as error:
            warn(f"{files.path / file} is not used: {error}. It is left as it is; upgrade featx.", StoreWarning)
            return None
        except DamagedRecordError as error:
            warn(f"{files.path / file} is damaged: {error}. It is computed again.", StoreWarning)
            with suppress(OSError):
                files.move_aside(file)
            return None
        self._check_card(self._folder(key))
        for used in (ENCODER_FILE, file):
            files.touch(used)
        return found

    def put_record(
        self,
        key: str,
        name: str,
        arrays: Mapping[str, np.ndarray],
        description: Mapping[str, Any],
        encoder: Mapping[str, Any],
    ) -> None:
        """Keep a result whole; one that a later version of featx wrote is left as it is.

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
        folder, file = self._folder(key), record_name(name)
        with _store_errors(folder.path, "written"), suppress(NewerFormatError):  # left as it is
            with suppress(FileNotFoundError, DamagedRecordError):
                read_record(folder.files.fetch(file))
            self._write(
                folder,
                {**encoder, "fingerprint": key},
                lambda: folder.files.publish(file, lambda path: write_record(path, arrays, description)),
            )

    def info(self) -> pd.DataFrame:
        """Describe what is in the store; of an object store, segments that are in no index are fetched.

        Returns
        -------
        pandas.DataFrame
            One row a fingerprint: encoder (its name), fingerprint, rows,
            unique_rows, segments, bytes, last_used. Fits of a `TargetAwareEncoder` have no rows.

        Raises
        ------
        StoreError
            If the location cannot be read.
        """
        with _store_errors(self.location, "read"):
            return _inventory.describe(self._place)

    def copied_bytes(self) -> int:
        """Sum up the copies of an object store on this machine.

        Returns
        -------
        int
            Their size in bytes; 0 for a folder.
        """
        return _inventory.copied_bytes(self._place.copies) if isinstance(self._place, BucketPlace) else 0

    def verify(self, *, repair: bool = False) -> pd.DataFrame:
        """Read every row of every segment, every index, every record, and whether each folder is what its card says.

        Of an object store the objects themselves are read.

        Parameters
        ----------
        repair : bool, default=False
            Whether to move damaged files aside, after their sound rows were written anew, and to write damaged indexes
            again. What is lost is encoded again when it is asked for. Files of a later version of featx, and whole
            folders, stay where they are. False moves and removes nothing.

        Returns
        -------
        pandas.DataFrame
            One row a file: fingerprint, segment (its name), rows, damaged (how many of
            them), error (why it cannot be used, or ""), repaired.

        Raises
        ------
        StoreError
            If the location cannot be read, or not repaired, as on a full disk (no sound row is lost then) or within a
            turn.
        """
        if repair:
            self._check_no_turn("repaired")
        with _store_errors(self.location, "repaired" if repair else "read"):
            return _inventory.verify(self._place, self._locked if repair else None)

    def compact(self) -> None:
        """Merge segments into files of up to 256 MB, and write a sorted index of all of them.

        With an index a store of any size opens at once, and its keys take no memory. Rows, readers and writers are
        not disturbed; what is killed halfway is gone on with the next time. Damaged files that are met are moved
        aside, after their sound rows were written anew. What is compact stays as it is. Segments of an object store
        are fetched.

        Raises
        ------
        StoreError
            If the folder cannot be written, as on a full disk (nothing is lost then), or within a turn.
        """
        self._check_no_turn("compacted")
        with _store_errors(self.location, "compacted"):
            for name in _inventory.folders(self._place):
                with suppress(FileNotFoundError), self._locked(name) as folder:  # cleared meanwhile
                    folder.compact()

    def prune(
        self, *, max_bytes: int | None = None, unused_for: float | timedelta | None = None, copies: bool = False
    ) -> int:
        """Delete segments and records, those that were used least recently first.

        A file's time of modification says when it was last used, to about a minute (to be merged is no use). An object
        counts as used when it was written, or last used on this machine. Damaged files, and unfinished ones that are
        older than a day, go before all others. A folder goes when nothing is left in it, and indexes are written anew.

        Parameters
        ----------
        max_bytes : int, default=None
            Delete until the store is no larger, and no segment more.
        unused_for : float or timedelta, default=None
            Delete what was not used for so long, in seconds.
        copies : bool, default=False
            Whether to delete nothing but copies of an object store on this machine, until they are no larger. What is
            asked for is fetched again.

        Returns
        -------
        int
            Bytes that were freed.

        Raises
        ------
        ParameterError
            If neither is given, or one is negative; if a folder, which has no copies, is asked for them.
        StoreError
            If the folder cannot be written, or within a turn.
        """
        seconds = unused_for.total_seconds() if isinstance(unused_for, timedelta) else unused_for
        if (max_bytes is None and seconds is None) or any(x is not None and not x >= 0 for x in (max_bytes, seconds)):
            raise ParameterError(
                f"Got max_bytes={max_bytes!r} and unused_for={unused_for!r}. Expected at least one of them, 0 or more."
            )
        oldest = None if seconds is None else time.time() - seconds
        if copies:
            if not isinstance(self._place, BucketPlace):
                raise ParameterError(f"Got copies=True for {self.location}. Expected it for an object store alone.")
            with _store_errors(self._place.copies.path, "pruned"):
                return _inventory.prune_copies(self._place.copies, max_bytes, oldest)
        self._check_no_turn("pruned")
        with _store_errors(self.location, "pruned"):
            return _inventory.prune(self._place, max_bytes, oldest, self._locked)

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
        with _store_errors(self.location, "cleared"):
            return _inventory.clear(self._place, encoder)

    def export(self, path: str | Path, encoder: str | None = None, *, paths: Mapping[str, Any] | None = None) -> int:
        """Write the embeddings of one encoder to a Parquet file, for other programs.

        Its columns are digest (32 hex digits), path (null where it is not known) and embedding, a list of `dim`
        float32. Each image is there once, in the order of writing. A row group of 64 MB is in memory at a time, beside
        16 bytes for each row of the file. What is read does not count as used, as for `prune`.

        Parameters
        ----------
        path : str or Path
            A file ``.parquet``; an older one is replaced when the new one is complete.
        encoder : str, default=None
            A name or a fingerprint (at least its first 8 characters) as in `info`; None where there is one only.
        paths : mapping of str to str or Path, default=None
            Digest -> the path of an image, as `featx.known_paths` gives; None knows none.

        Returns
        -------
        int
            How many embeddings were written.

        Raises
        ------
        UnknownNameError
            If nothing in the store is by that encoder.
        ParameterError
            If there are several; the message lists them.
        StoreError
            If there are no embeddings, or the file cannot be written.

        Warns
        -----
        StoreWarning
            If embeddings are damaged: they are left out.

        Examples
        --------
        In pandas, polars and DuckDB, each as an array of shape (n, dim), float32:

        >>> import numpy as np, pandas as pd, tempfile
        >>> from featx import EmbeddingStore
        >>> folder = tempfile.mkdtemp()
        >>> store = EmbeddingStore(folder)
        >>> keys = np.arange(32, dtype="uint8").reshape(2, 16)
        >>> store.put_many("f" * 64, keys, np.ones((2, 4), "float32"), {"encoder": {"name": "example"}})
        >>> file = f"{folder}/embeddings.parquet"
        >>> _ = store.export(file, paths={"000102030405060708090a0b0c0d0e0f": "photos/cat.jpg"})
        >>> np.stack(pd.read_parquet(file)["embedding"]).shape
        (2, 4)
        >>> import polars as pl
        >>> pl.read_parquet(file)["embedding"].to_numpy().shape
        (2, 4)
        >>> np.stack(duckdb.sql(f"FROM '{file}'").df()["embedding"]).shape  # doctest: +SKIP
        (2, 4)
        """
        file = Path(path).expanduser()
        if file.suffix != SUFFIX:
            raise ParameterError(f"Got path={str(path)!r}. Expected the name of a file {SUFFIX}.")
        return write_parquet(file, *self._exported(encoder), check_paths(paths))

    def to_frame(self, encoder: str | None = None, *, paths: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Read the embeddings of one encoder as a table.

        Parameters
        ----------
        encoder, paths
            As for `export`.

        Returns
        -------
        pandas.DataFrame
            Of shape (n, 1 + dim), with the digests as its index: path (None where it is not known), then
            ``image_0000``, ``image_0001``, ... float32, as `featx embed` names them.

        Raises
        ------
        UnknownNameError, ParameterError, StoreError
            As for `export`.
        """
        return to_frame(*self._exported(encoder), check_paths(paths))

    def _exported(self, encoder: str | None) -> tuple[Folder, dict[str, Any]]:
        name = _inventory.one_chosen(self._place, encoder)
        self._check_card(self._open(name))
        files = self._place.files(name)
        return Folder(files, notes_use=False), _inventory.read_encoder(files)

    def _stored_as(self, fingerprint: str) -> str:
        if self.dtype == "float32":
            return fingerprint
        return hashlib.sha256(f"{fingerprint} as {self.dtype}".encode()).hexdigest()

    def _folder(self, fingerprint: str) -> TendedFolder:
        if not _FINGERPRINT.fullmatch(fingerprint):
            raise ParameterError(f"Got fingerprint={fingerprint!r}. Expected a hex digest of 32 digits or more.")
        return self._open(self._stored_as(fingerprint)[:NAME_LENGTH])

    def _open(self, name: str) -> TendedFolder:
        self._place.check(name)
        if self._pid != os.getpid():
            self._begin()  # forked, maybe while another thread held a lock: nobody would ever release it here
        with self._lock:
            self._announce()
            if name not in self._folders:
                self._folders[name] = TendedFolder(self._place.files(name))
            return self._folders[name]

    @contextmanager
    def _locked(self, name: str) -> Iterator[TendedFolder]:
        folder = self._open(name)
        with self._turn(name):
            yield folder

    @contextmanager
    def _turn(self, name: str) -> Iterator[bool]:
        turn = (*self._turns_here(), name)
        if turn in _TURNS:
            raise StoreError(f"The turn at {self._place.path / name} is taken: this thread has it. Take it once.")
        with self._place.lock(name) as alone:
            _TURNS.add(turn)
            try:
                yield alone
            finally:
                _TURNS.remove(turn)

    def _turns_here(self) -> tuple[int, int, str]:
        return os.getpid(), threading.get_ident(), str(self.location)

    def _check_no_turn(self, done: str) -> None:
        """Whoever waits for other turns while he has one may wait for somebody who waits for him."""
        if any(turn[:3] == self._turns_here() for turn in _TURNS.copy()):
            raise StoreError(
                f"The store {self.location} cannot be {done} within a turn, since it takes the turn of every encoder. "
                "Expected the block of store.lock(...) to have ended."
            )

    def _announce(self) -> None:
        if not self._announced and logger.isEnabledFor(logging.INFO):
            with suppress(OSError):  # a line of the log is no reason to fail
                # Summing a bucket up takes a request or two for each encoder.
                size = "" if isinstance(self.location, Url) else f" bytes={_inventory.total_bytes(self._place)}"
                logger.info("cache=%s%s", self.location, size)
        self._announced = True

    def _kept(self, keys: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows in the type that they are kept in; those that it cannot hold are left out."""
        if self.dtype == "float32":
            return keys, np.asarray(rows, np.float32)
        with np.errstate(over="ignore"):
            rows = rows.astype(np.float16)
        fit = np.isfinite(rows).all(axis=1)
        if not fit.all():
            warn(
                f"{np.count_nonzero(~fit)} embeddings hold numbers beyond 65,504, which float16 cannot hold; they are "
                "not kept. Keep them as float32.",
                StoreWarning,
            )
        return keys[fit], rows[fit]

    def _check_card(self, folder: Folder) -> None:
        """Whether the folder is what its name says: one that was copied to another name holds other rows."""
        name, files = folder.path.name, folder.files
        if name in self._carded:
            return
        encoder = _inventory.read_encoder(files)
        if error := _inventory.disagrees(name, encoder):
            raise StoreError(
                f"{files.path / ENCODER_FILE} does not belong there: {error}. Expected the card of this folder's own "
                "rows; move the folder away or back to its name."
            )
        if not encoder and _inventory.is_lost(files):
            warn(
                f"{files.path / ENCODER_FILE} is missing or damaged. It is written again with the next row.",
                StoreWarning,
            )
        self._carded.add(name)

    def _write_card(self, folder: Folder, encoder: Mapping[str, Any]) -> None:
        if _inventory.read_encoder(folder.files):
            self._check_card(folder)
        else:
            _inventory.write_encoder(folder.files, encoder)

    def _write(self, folder: Folder, encoder: Mapping[str, Any], put: Callable[[], None]) -> None:
        for left in reversed(range(TRIES)):
            try:
                self._place.make(folder.path.name)
                self._write_card(folder, encoder)
                put()
                folder.files.renew(ENCODER_FILE)
                self._write_card(folder, encoder)  # pruned meanwhile
            except FileNotFoundError:  # the folder was
                if not left:
                    raise
            else:
                return

    def _tidy(self, folder: TendedFolder) -> None:
        try:
            folder.tidy()
        except FileNotFoundError:
            pass  # cleared meanwhile
        except (OSError, MemoryError) as error:
            warn(f"The store {folder.path} could not be tidied: {error}", StoreWarning)


def _locate(location: str | Path) -> Path | Url:
    if isinstance(location, str) and location.startswith("file://"):
        from urllib.parse import urlsplit
        from urllib.request import url2pathname

        return Path(url2pathname(urlsplit(location).path)).absolute()
    if isinstance(location, str) and "://" in location:
        return as_url(location)
    path = Path(location).expanduser().absolute()
    if any(part.endswith(":") and len(part) > 2 for part in path.parts[1:]):  # Path makes one slash of two
        raise ParameterError(f"Got location={str(location)!r}. Expected a URL as text, not as a Path.")
    return path


@contextmanager
def _store_errors(path: Path | Url, what: str, *, passing: type[OSError] = StoreError) -> Iterator[None]:
    """Say of what the system refuses what it was for."""
    try:
        yield
    except (StoreError, passing):
        raise
    except OSError as error:
        raise StoreError(f"The cache folder {path} cannot be {what}: {error.strerror or error}.") from error


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
