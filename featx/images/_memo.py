"""Path and state of a file -> the digest of its content, remembered across processes."""

from __future__ import annotations

import json
import os
import platform
import re
import sqlite3
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

# Git's "racy" rule: a file changed within the clock's grain of its hashing can keep its stat.
_RACY_NS = 2_000_000_000
_BATCH = 4096
_SCHEMA = "CREATE TABLE IF NOT EXISTS memo (path TEXT PRIMARY KEY, stat BLOB, digest BLOB) WITHOUT ROWID"


def pack_stat(status: os.stat_result) -> bytes:
    """Pack what identifies a file's state: size, mtime, ctime, inode, device."""
    mask = 2**64 - 1
    fields = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)
    return struct.pack("<5Q", *(value & mask for value in fields))


@dataclass(frozen=True)
class FileState:
    """What tells whether a file is still the one that was read.

    Attributes
    ----------
    packed : bytes
        Equal as long as the content is; empty where nothing tells.
    size : int
        In bytes.
    changed : int
        When it last changed, in nanoseconds of the clock; 0 where `packed` names the content, as an ETag does.
    """

    packed: bytes
    size: int
    changed: int = 0

    @classmethod
    def of(cls, status: os.stat_result) -> FileState:
        """Read a file's stat."""
        return cls(pack_stat(status), status.st_size, max(status.st_mtime_ns, status.st_ctime_ns))


class DigestMemo:
    """Path and stat -> digest, remembered across processes.

    Parameters
    ----------
    file : Path or None, default=None
        The SQLite file; None is this machine's own in the user's cache folder.

    Examples
    --------
    >>> import os, tempfile
    >>> from pathlib import Path
    >>> from featx.images._memo import DigestMemo, pack_stat
    >>> folder = Path(tempfile.mkdtemp())
    >>> image = folder / "a.jpg"
    >>> _ = image.write_bytes(b"content")
    >>> os.utime(image, (0, 0))
    >>> memo = DigestMemo(folder / "memo.sqlite")
    >>> memo.lookup([str(image)])
    {}
    """

    def __init__(self, file: Path | None = None):
        host = re.sub(r"[^\w.-]", "_", platform.node()) or "localhost"
        self.file = file or platformdirs.user_cache_path("featx", appauthor=False) / f"digests-{host}.sqlite"

    def lookup(self, paths: Sequence[str]) -> dict[str, tuple[bytes, bytes]]:
        """Read what is known of these paths, in bulk: {path: (packed stat, digest)}."""

        def read(connection: sqlite3.Connection) -> dict[str, tuple[bytes, bytes]]:
            query = "SELECT path, stat, digest FROM memo WHERE path IN (SELECT value FROM json_each(?))"
            known: dict[str, tuple[bytes, bytes]] = {}
            for start in range(0, len(paths), _BATCH):
                batch = json.dumps(paths[start : start + _BATCH], ensure_ascii=False)
                known.update((path, (state, digest)) for path, state, digest in connection.execute(query, (batch,)))
            return known

        paths = [path for path in paths if _is_utf8(path)]
        return (self._attempt(read) or {}) if paths and os.path.exists(self.file) else {}

    def entries(self) -> list[tuple[str, bytes, bytes]]:
        """Read all that is known, by name: [(path, packed stat, digest)]."""

        def read(connection: sqlite3.Connection) -> list[tuple[str, bytes, bytes]]:
            return connection.execute("SELECT path, stat, digest FROM memo ORDER BY path").fetchall()

        return (self._attempt(read) or []) if os.path.exists(self.file) else []

    def record(self, entries: Iterable[tuple[str, FileState, bytes]], since: int | None = None) -> None:
        """Remember digests of files whose state was found before they were read.

        Parameters
        ----------
        entries : iterable of (path, state, digest)
        since : int or None, default=None
            Nanoseconds of the clock before the first stat; None is now.
        """
        latest = (time.time_ns() if since is None else since) - _RACY_NS
        rows = [
            (path, state.packed, digest)
            for path, state, digest in entries
            if state.packed and state.changed < latest and _is_utf8(path)
        ]
        if not rows:
            return
        with suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._attempt(lambda connection: connection.executemany("INSERT OR REPLACE INTO memo VALUES (?, ?, ?)", rows))

    def forget(self, paths: Sequence[str]) -> None:
        """Drop entries that turned out to be wrong."""
        rows = [(path,) for path in paths if _is_utf8(path)]
        self._attempt(lambda connection: connection.executemany("DELETE FROM memo WHERE path = ?", rows))

    def _attempt(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """Do `work` in one transaction; where the file fails, None: the memo only saves time."""
        try:
            with closing(sqlite3.connect(self.file, timeout=1.0)) as connection, connection:
                connection.execute(_SCHEMA)
                return work(connection)
        except sqlite3.OperationalError:
            return None  # locked, read-only, no such folder
        except sqlite3.DatabaseError:
            with suppress(OSError):
                self.file.unlink()  # damaged: begin anew
            return None


def _is_utf8(path: str) -> bool:
    # SQLite's text is UTF-8; a file of another name is hashed every time.
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
