"""The files of one fingerprint: what is asked of the place where they are, and a folder of this machine."""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from featx._atomic import TEMPORARY, atomic_file
from featx.exceptions import StoreError
from featx.store._index import INDEX_NAME
from featx.store._record import RECORD_NAME
from featx.store._segment import SEGMENT_NAME

if TYPE_CHECKING:
    from filelock import FileLock

DAMAGED = ".damaged"
ENCODER_FILE = "encoder.json"
LOCK = "turn.lock"
TEMPORARY_NAME = re.compile(rf"{re.escape(TEMPORARY)}[0-9a-f]{{32}}(\.[a-z]+)?")
# Other files that people put into the folder are not ours to read, to move or to delete.
OWN_NAME = re.compile(
    rf"{re.escape(ENCODER_FILE)}|{re.escape(LOCK)}|{TEMPORARY_NAME.pattern}|"
    rf"({SEGMENT_NAME.pattern}|{INDEX_NAME.pattern}|{RECORD_NAME.pattern})({re.escape(DAMAGED)})?"
)
# A lost row is only encoded again, so small files do not wait for the disk.
_SYNCED_BYTES = 1_000_000
# So often a folder that somebody uses may be deleted meanwhile.
TRIES = 10
# No writer takes that long: what is older was left by one that was killed.
_STALE_SECONDS = 24 * 3600


class Url(str):
    """The URL of a folder: joined and named as a path is."""

    def __truediv__(self, name: str) -> Url:
        return Url(f"{self}/{name}")

    @property
    def name(self) -> str:
        return self.rpartition("/")[2]


@dataclass(frozen=True)
class OwnFile:
    """A file that the store wrote.

    Attributes
    ----------
    name : str
        Its name in the folder.
    n_bytes : int
        Its size.
    used : float
        When it was last read or written, in seconds since 1970.
    """

    name: str
    n_bytes: int
    used: float


class Files(Protocol):
    """What a `Folder` asks of the place where its files are."""

    @property
    def path(self) -> Path | Url:
        """Where they are, for messages."""
        ...

    def names(self) -> list[str]:
        """List the regular files in order of their names, other people's among them; [] where there is no folder."""
        ...

    def own(self) -> list[OwnFile]:
        """List the files that the store wrote."""
        ...

    def fetch(self, name: str) -> Path:
        """Give a file that can be opened here; FileNotFoundError if it has gone."""
        ...

    def prefetch(self, names: Iterable[str]) -> None:
        """Bring files of the last listing here, several at once, which `fetch` then only names; errors are raised."""
        ...

    def renew(self, name: str) -> bool:
        """Fetch a file that was found damaged once more; say whether it may be another one now."""
        ...

    def publish(self, name: str, write: Callable[[Path], None], *, sync: bool | None = None) -> None:
        """Write a file that others see whole or not at all; None waits for the disk if it is large."""
        ...

    def remove(self, names: Iterable[str]) -> None:
        """Delete files, those that have gone already too."""
        ...

    def move_aside(self, name: str) -> None:
        """Rename a damaged file, so that it is read no more."""
        ...

    def touch(self, name: str) -> None:
        """Note that a file was used."""
        ...

    def sweep(self) -> None:
        """Remove what killed writers left."""
        ...


class LocalFiles:
    """Files in a folder of this machine; links are never followed.

    Parameters
    ----------
    path : Path
        Need not exist yet.
    """

    def __init__(self, path: Path):
        self.path = path

    def names(self) -> list[str]:
        try:
            with os.scandir(self.path) as entries:
                return sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def own(self) -> list[OwnFile]:
        found = []
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.path) as entries:
            for entry in entries:
                if OWN_NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    with suppress(FileNotFoundError):  # published or merged meanwhile
                        status = entry.stat(follow_symlinks=False)
                        found.append(OwnFile(entry.name, status.st_size, status.st_mtime))
        return sorted(found, key=lambda file: file.name)

    def fetch(self, name: str) -> Path:
        path = self.path / name
        if not stat.S_ISREG(path.lstat().st_mode):  # a link leads elsewhere, and a pipe would never end
            raise FileNotFoundError(errno.ENOENT, "It is no regular file", str(path))
        return path

    def prefetch(self, names: Iterable[str]) -> None:
        pass

    def renew(self, name: str) -> bool:
        return False

    def publish(self, name: str, write: Callable[[Path], None], *, sync: bool | None = None) -> None:
        with atomic_file(self.path / name) as temporary:
            write(temporary)
            if sync or (sync is None and temporary.stat().st_size >= _SYNCED_BYTES):
                _to_disk(temporary)
        if sync:
            _to_disk(self.path)

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            (self.path / name).unlink(missing_ok=True)

    def move_aside(self, name: str) -> None:
        path = self.path / name
        path.rename(path.with_name(name + DAMAGED))

    def touch(self, name: str) -> None:
        path = self.path / name
        with suppress(OSError):  # a store that cannot be written may be read
            if not path.is_symlink():
                os.utime(path)

    def sweep(self) -> None:
        self.remove(file.name for file in self.own() if is_left_over(file))


class Place(Protocol):
    """What an `EmbeddingStore` asks of its location: a folder for each fingerprint."""

    @property
    def path(self) -> Path | Url:
        """Where it is, for messages."""
        ...

    def check(self, name: str) -> None:
        """Raise StoreError if a folder is none that may be used."""
        ...

    def folders(self) -> list[str]:
        """Name the folders; those of the store among other people's."""
        ...

    def files(self, name: str) -> Files:
        """Give the files of a folder, which need not exist yet."""
        ...

    def make(self, name: str) -> None:
        """Make a folder."""
        ...

    def remove(self, name: str) -> None:
        """Delete a folder if nothing is in it but the file that is locked, and nobody holds that."""
        ...

    def lock(self, name: str) -> AbstractContextManager[bool]:
        """Take turns with other processes; what it yields says whether the turn is ours alone."""
        ...


class LocalPlace:
    """A folder of this machine.

    Parameters
    ----------
    path : Path
        Need not exist yet.
    private : bool
        Whether it is made for this user alone.
    """

    def __init__(self, path: Path, *, private: bool):
        self.path = path
        self._private = private

    def check(self, name: str) -> None:
        # A link could lead writes out of the store.
        if (path := self.path / name).is_symlink():
            raise StoreError(f"{path} is a symbolic link. Expected a folder; remove the link.")

    def folders(self) -> list[str]:
        try:
            with os.scandir(self.path) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def files(self, name: str) -> LocalFiles:
        return LocalFiles(self.path / name)

    def make(self, name: str) -> None:
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700 if self._private else 0o777)
        with suppress(FileExistsError):  # exist_ok=True raises it where the folder is deleted at that moment
            (self.path / name).mkdir()

    def remove(self, name: str) -> None:
        from filelock import FileLock

        files, lock = self.files(name), FileLock(self.path / name / LOCK)
        try:
            if LOCK in files.names():
                lock.acquire(blocking=False)
                if os.name == "nt":  # which deletes no file that is open, be it another's
                    lock.release()
                files.remove([LOCK])
            files.path.rmdir()
        except (OSError, NotImplementedError):
            pass  # somebody has the turn, or other people's files are there
        finally:
            lock.release()

    @contextmanager
    def lock(self, name: str) -> Iterator[bool]:
        from filelock import FileLock

        lock = FileLock(self.path / name / LOCK)
        with suppress(OSError, NotImplementedError):  # read-only, or a file system without locks
            self._acquire(name, lock)
        try:
            yield lock.is_locked
        finally:
            lock.release()

    def _acquire(self, name: str, lock: FileLock) -> None:
        for _ in range(TRIES):
            self.make(name)
            if Path(lock.lock_file).is_symlink():
                return
            try:
                lock.acquire()
                return
            except FileNotFoundError:
                pass  # the folder was deleted since


def is_left_over(file: OwnFile) -> bool:
    """Whether a killed writer left it unfinished."""
    return bool(TEMPORARY_NAME.fullmatch(file.name)) and file.used < time.time() - _STALE_SECONDS


def is_being_written(file: OwnFile) -> bool:
    """Whether it is unfinished, and somebody may be at it."""
    return bool(TEMPORARY_NAME.fullmatch(file.name)) and not is_left_over(file)


def _to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, would outlive a power cut."""
    try:
        handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    except PermissionError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
