"""The files of one fingerprint in an object store, which fsspec asks, beside a copy of them on this machine."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from glob import has_magic
from pathlib import Path
from typing import Any, TypeVar

from featx._atomic import atomic_file
from featx._cache_folder import user_folder
from featx._optional import open_url
from featx.exceptions import FeatxError, ParameterError, StoreError
from featx.store._files import (
    DAMAGED,
    ENCODER_FILE,
    LOCK,
    OWN_NAME,
    TEMPORARY_NAME,
    LocalFiles,
    LocalPlace,
    OwnFile,
    Url,
)
from featx.store._record import RECORD_NAME

T = TypeVar("T")
# Seconds before the next attempt; a file system that tried for so long by itself is not asked again. Files take longer.
_PAUSES = (0.2, 1.0, 3.0)
_PATIENCE = 10.0
_PATIENCE_WITH_FILES = 60.0
_THREADS = 16
# Asking once more changes nothing.
_FINAL = (
    PermissionError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
    NotImplementedError,
    ValueError,
    TypeError,
)
# Where a listing says when an object was written: S3's, Azure's, Google's, others'.
_WRITTEN = ("LastModified", "last_modified", "updated", "mtime", "modified", "created")


class BucketFiles:
    """Objects in a folder of an object store; what was read or written stays on this machine too.

    A name stands for one content, so that a copy of the size that the listing tells is the object. Records alone are
    written anew under their names: they are fetched each time.

    Parameters
    ----------
    url : Url
        Need not exist yet.
    local : LocalFiles
        The copies.
    """

    def __init__(self, url: Url, local: LocalFiles):
        self.path = url
        self._local = local
        self._sizes: dict[str, int] = {}

    def names(self) -> list[str]:
        started = time.time()
        listed = self._list()
        self._sizes = {name: _size(entry) for name, entry in listed.items() if not _is_replaced(name)}
        for name in set(self._local.names()).difference(listed):
            if OWN_NAME.fullmatch(name) and name != LOCK and not TEMPORARY_NAME.fullmatch(name):
                self._drop(name, started)
        return sorted(listed)

    def own(self) -> list[OwnFile]:
        used = {file.name: file.used for file in self._local.own()}
        return [
            OwnFile(name, _size(entry), max(_written(entry), used.get(name, 0.0)))
            for name, entry in sorted(self._list().items())
            if OWN_NAME.fullmatch(name)
        ]

    def fetch(self, name: str) -> Path:
        if not self._is_here(name):
            self._download(name)
        return self._local.path / name

    def prefetch(self, names: Iterable[str]) -> None:
        absent = [name for name in names if name in self._sizes and not self._is_here(name)]
        if absent:
            with ThreadPoolExecutor(min(_THREADS, len(absent))) as pool:
                list(pool.map(self._try_download, absent))

    def renew(self, name: str) -> bool:
        self._try_download(name)
        return True

    def publish(self, name: str, write: Callable[[Path], None], *, sync: bool | None = None) -> None:
        self._make_local()
        self._local.sweep()
        with atomic_file(self._local.path / name) as temporary:
            write(temporary)
            _ask(
                self.path / name,
                "written",
                lambda system, path: system.put_file(str(temporary), path),
                patience=_PATIENCE_WITH_FILES,
            )
            _make_young(temporary)
            n_bytes = temporary.stat().st_size
        if not _is_replaced(name):
            self._sizes[name] = n_bytes

    def remove(self, names: Iterable[str]) -> None:
        gone = list(names)
        once = [name for name in gone if not _is_rewritten(name)]
        if once:
            _ask(self.path, "deleted", lambda system, path: _remove(system, [f"{path}/{name}" for name in once]))
        # S3 deletes a thousand in one request, and is silent on those that it may not.
        if left := sorted(set(once).intersection(self._list() if once else ())):
            raise StoreError(f"{self.path / left[0]} cannot be deleted ({len(left)} such objects). Is it allowed?")
        # One by one, each with an answer: if they are there afterwards, another machine has written them again.
        for name in filter(_is_rewritten, gone):
            with suppress(FileNotFoundError):
                _ask(self.path / name, "deleted", lambda system, path: system.rm_file(path))
        self._local.remove(gone)

    def move_aside(self, name: str) -> None:
        def move(system: Any, path: str) -> None:
            system.cp_file(path, path + DAMAGED)
            system.rm_file(path)

        _ask(self.path / name, "renamed", move)
        self._local.remove([name])

    def touch(self, name: str) -> None:
        self._local.touch(name)

    def sweep(self) -> None:
        self._local.sweep()

    def _list(self) -> dict[str, Mapping[str, Any]]:
        return {name: entry for name, entry in _list(self.path) if entry.get("type") != "directory"}

    def _is_here(self, name: str) -> bool:
        try:
            return (self._local.path / name).lstat().st_size == self._sizes[name]
        except (OSError, KeyError):
            return False

    def _download(self, name: str) -> None:
        size = self._sizes.get(name)
        self._make_local()

        def get(system: Any, path: str) -> None:
            with atomic_file(self._local.path / name) as temporary:
                system.get_file(path, str(temporary))
                if size not in (None, came := temporary.stat().st_size):
                    raise ConnectionError(f"{came:,} of {size:,} bytes came")
                _make_young(temporary)

        _ask(self.path / name, "read", get, patience=_PATIENCE_WITH_FILES)

    def _try_download(self, name: str) -> None:
        try:
            self._download(name)
        except FileNotFoundError:  # it has gone since the listing
            self._local.remove([name])

    def _drop(self, name: str, started: float) -> None:
        """Remove a copy that a listing lacks, unless it was written since."""
        path = self._local.path / name
        with suppress(OSError):
            if path.lstat().st_mtime < started:
                path.unlink()

    def _make_local(self) -> None:
        try:
            self._local.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StoreError(
                f"{self._local.path} cannot be made, where copies of {self.path} are to be kept: "
                f"{error.strerror or error}. Let XDG_CACHE_HOME name a folder that you may write to."
            ) from error


class BucketPlace:
    """A folder of an object store, and a folder of this user's cache for its copies.

    Parameters
    ----------
    url : Url
        Need not exist yet; its bucket must.

    Attributes
    ----------
    copies : LocalPlace
        Where this machine keeps what it read and wrote.

    Raises
    ------
    MissingDependencyError
        If fsspec, or its package for this kind of store, is not installed.
    ParameterError
        If fsspec knows no such kind of store.
    """

    def __init__(self, url: Url):
        try:
            _open(url)
        except ValueError as error:
            raise ParameterError(f"Got location={str(url)!r}. Expected a folder or a URL of fsspec: {error}") from error
        self.path = url
        copies = user_folder() / "remote" / hashlib.sha256(url.encode()).hexdigest()[:16]
        self.copies = LocalPlace(copies, private=True)

    def check(self, name: str) -> None:
        self.copies.check(name)

    def folders(self) -> list[str]:
        return sorted(name for name, entry in _list(self.path) if entry.get("type") == "directory")

    def files(self, name: str) -> BucketFiles:
        return BucketFiles(self.path / name, self.copies.files(name))

    def make(self, name: str) -> None:
        """Do nothing: a folder is there as long as something is in it."""

    def remove(self, name: str) -> None:
        with suppress(Exception):  # not empty, or there are no folders to be removed
            system, path = _open(self.path / name)
            system.rmdir(path)
        copies = self.copies.files(name)
        copies.remove({file.name for file in copies.own()} - {LOCK})
        self.copies.remove(name)

    @contextmanager
    def lock(self, name: str) -> Iterator[bool]:
        """Take turns with the processes of this machine.

        Other machines go on meanwhile. That harms nobody, since what is merged is published before what it replaces is
        removed. But whoever tidies has to fetch what all others wrote: it is done only when it is asked for.
        """
        with self.copies.lock(name):
            yield False


def as_url(location: str) -> Url:
    """Take a URL of a folder; ParameterError where it is none."""
    scheme, _, path = location.partition("://")
    if not path.strip("/") or has_magic(location) or scheme in ("http", "https"):
        raise ParameterError(f"Got location={location!r}. Expected a URL of a folder, such as s3://bucket/folder.")
    return Url(location.rstrip("/"))


def _open(url: Url) -> tuple[Any, str]:
    # A listing that is kept would hide what other processes write.
    return open_url(url, purpose=f"The store {url}", use_listings_cache=False)


def _ask(url: Url, done: str, question: Callable[[Any, str], T], *, patience: float | None = None) -> T:
    """Ask the file system of a URL, a few times where the connection fails.

    That there is no such object is an answer, a FileNotFoundError; all else that it raises becomes a StoreError.
    """
    end = time.monotonic() + (_PATIENCE if patience is None else patience)
    for pause in (*_PAUSES, None):
        try:
            return question(*_open(url))
        except (FileNotFoundError, FeatxError):
            raise
        except Exception as error:
            if isinstance(error, _FINAL) or pause is None or time.monotonic() > end:
                reason = str(error) or type(error).__name__
                raise StoreError(f"{url} cannot be {done}: {reason.removesuffix('.')}.") from error
            time.sleep(pause)
    raise AssertionError("unreachable")


def _list(url: Url) -> list[tuple[str, Mapping[str, Any]]]:
    """List a folder: the names, and what is said of each; nothing where there is none."""

    def ask(system: Any, path: str) -> list[Mapping[str, Any]]:
        system.invalidate_cache(path)
        try:
            return system.ls(path, detail=True)
        except FileNotFoundError as error:
            if _is_no_bucket(error):
                raise StoreError(f"{url} cannot be read: there is no such bucket. Make it first.") from error
            return []

    named = ((entry["name"].rstrip("/").rpartition("/")[2], entry) for entry in _ask(url, "read", ask))
    return [(name, entry) for name, entry in named if name != url.name]


def _is_no_bucket(error: FileNotFoundError) -> bool:
    """Whether S3 says that there is no such bucket: where other stores do not tell, the first write does."""
    response = getattr(error.__cause__, "response", None) or {}
    return response.get("Error", {}).get("Code") == "NoSuchBucket"


def _remove(system: Any, paths: list[str]) -> None:
    try:
        system.rm(paths)
    except FileNotFoundError:  # one has gone already
        for path in paths:
            with suppress(FileNotFoundError):
                system.rm_file(path)


def _is_replaced(name: str) -> bool:
    """Whether it may stand for another content tomorrow."""
    return RECORD_NAME.fullmatch(name) is not None


def _is_rewritten(name: str) -> bool:
    return name == ENCODER_FILE or _is_replaced(name)


def _size(entry: Mapping[str, Any]) -> int:
    return int(entry.get("size") or 0)


def _written(entry: Mapping[str, Any]) -> float:
    """When an object was written, in seconds since 1970; now, where nothing tells: nobody may call it old."""
    told = next((entry[key] for key in _WRITTEN if entry.get(key)), time.time())
    if isinstance(told, str):
        told = datetime.fromisoformat(told)
    return told.timestamp() if isinstance(told, datetime) else float(told)


def _make_young(file: Path) -> None:
    """Make a file younger than every listing that lacks it."""
    now = time.time()
    os.utime(file, (now, now))
