"""Many image sources -> their digests: files that have not changed since they were last read are not read again."""

from __future__ import annotations

import json
import os
import platform
import re
import sqlite3
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from featx.images._decode import MAX_PIXELS, DecodeError
from featx.images._pixel_path import DIGEST_BYTES, digest_file, load
from featx.images._read import read_file, stat_file

# Git's "racy" rule: a file changed within the clock's grain of its hashing can keep its stat.
_RACY_NS = 2_000_000_000
_BATCH = 4096
_SCHEMA = "CREATE TABLE IF NOT EXISTS memo (path TEXT PRIMARY KEY, stat BLOB, digest BLOB) WITHOUT ROWID"


def pack_stat(status: os.stat_result) -> bytes:
    """Pack what identifies a file's state: size, mtime, ctime, inode, device."""
    mask = 2**64 - 1
    fields = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)
    return struct.pack("<5Q", *(value & mask for value in fields))


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
    >>> from featx.images._source import DigestMemo, pack_stat
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

    def record(self, entries: Iterable[tuple[str, os.stat_result, bytes]], since: int | None = None) -> None:
        """Remember digests of files whose stat was taken before they were read.

        Parameters
        ----------
        entries : iterable of (path, stat, digest)
        since : int or None, default=None
            Nanoseconds of the clock before the first stat; None is now.
        """
        latest = (time.time_ns() if since is None else since) - _RACY_NS
        rows = [
            (path, pack_stat(status), digest)
            for path, status, digest in entries
            if max(status.st_mtime_ns, status.st_ctime_ns) < latest and _is_utf8(path)
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


# The memo's transactions take 2 ms: so few and small files are sooner hashed again.
_FEW = 8
_SMALL = 2_000_000
# What is read at once and held until it is encoded.
_PART_FILES = 4096
_PART_BYTES = 64_000_000
_UNKNOWN = (b"", b"")


def absolute(path: str | Path) -> str:
    """Make a path absolute, not normalized: it only has to name the same file every time."""
    text = os.fspath(path)
    return text if os.path.isabs(text) else os.path.join(os.getcwd(), text)


@dataclass(frozen=True)
class UnreadFile:
    """A file whose digest only its content can give.

    Attributes
    ----------
    position : int
        The source's.
    path : str
        From the root.
    status : os.stat_result
        Taken before it is read.
    since : int
        Nanoseconds of the clock before that.
    """

    position: int
    path: str
    status: os.stat_result
    since: int


def digest_unread(
    sources: Mapping[int, object], *, memo: DigestMemo, pool: Executor, max_pixels: int = MAX_PIXELS
) -> tuple[dict[int, bytes], dict[int, str], list[UnreadFile]]:
    """Digest what is in memory, and those files that have not changed since they were last read; read none.

    Parameters
    ----------
    sources : mapping of int to object
        Position -> a path, bytes, a PIL image, an array or a tensor.
    memo : DigestMemo
        What is known of files already.
    pool : concurrent.futures.Executor
        Threads that hash what is in memory.
    max_pixels : int, default=89_000_000
        Larger images are refused before they are decoded.

    Returns
    -------
    digests : dict of int to bytes
        Position -> digest.
    reasons : dict of int to str
        Position -> why that source cannot be used.
    unread : list of UnreadFile
        The other files, for `read_in_parts`.
    """
    since = time.time_ns()
    digests: dict[int, bytes] = {}
    reasons: dict[int, str] = {}
    files, others = [], []
    for i, source in sources.items():
        if not isinstance(source, str | Path):
            others.append(i)
            continue
        try:
            status = stat_file(source)
            files.append((i, absolute(source), status))
        except DecodeError as error:
            reasons[i] = str(error)
    worth_it = _worth_it([status for _, _, status in files])
    known = memo.lookup([path for _, path, _ in files]) if worth_it else {}
    unread = []
    for i, path, status in files:
        state, digest = known.get(path, _UNKNOWN)
        if state == pack_stat(status):
            digests[i] = digest
        else:
            unread.append(UnreadFile(i, path, status, since))
    for i, result in zip(others, pool.map(lambda i: _hash_source(sources[i], max_pixels), others), strict=True):
        if isinstance(result, str):
            reasons[i] = result
        else:
            digests[i] = result
    return digests, reasons, unread


def read_in_parts(
    files: Sequence[UnreadFile], *, memo: DigestMemo, pool: Executor
) -> Iterator[tuple[dict[int, bytes], dict[int, bytes], dict[int, str]]]:
    """Read files and digest them, each once, and as many at a time as memory should hold.

    Parameters
    ----------
    files : sequence of UnreadFile
        Those that `digest_unread` left.
    memo : DigestMemo
        The new digests are recorded there.
    pool : concurrent.futures.Executor
        Threads that read.

    Yields
    ------
    contents : dict of int to bytes
        Position -> what was read.
    digests : dict of int to bytes
        Position -> digest of exactly that.
    reasons : dict of int to str
        Position -> why a file cannot be used.
    """
    start = 0
    while start < len(files):
        end, size = start, 0
        while end < len(files) and end - start < _PART_FILES and (size == 0 or size < _PART_BYTES):
            size += files[end].status.st_size
            end += 1
        part = files[start:end]
        contents, digests, reasons = {}, {}, {}
        for file, (content, digest) in zip(part, pool.map(_read_and_hash, part), strict=True):
            if isinstance(digest, str):
                reasons[file.position] = digest
            else:
                contents[file.position], digests[file.position] = content, digest
        if _worth_it([file.status for file in files]):
            fresh = [(file.path, file.status, digests[file.position]) for file in part if file.position in digests]
            memo.record(fresh, part[0].since)
        yield contents, digests, reasons
        start = end


def digest_many(
    sources: Sequence[object], *, memo: DigestMemo, pool: Executor, max_pixels: int = MAX_PIXELS
) -> tuple[np.ndarray, dict[int, str]]:
    """Digest many sources; files that have not changed since they were last read are not read again.

    Parameters
    ----------
    sources, memo, pool, max_pixels
        As for `digest_unread`.

    Returns
    -------
    keys : ndarray of shape (n, 16), uint8
        Zeros where there is a reason.
    reasons : dict of int to str
        Position -> why that source cannot be used.
    """
    digests, reasons, unread = digest_unread(dict(enumerate(sources)), memo=memo, pool=pool, max_pixels=max_pixels)
    for _, fresh, failed in read_in_parts(unread, memo=memo, pool=pool):
        digests |= fresh
        reasons |= failed
    keys = b"".join(digests.get(i, bytes(DIGEST_BYTES)) for i in range(len(sources)))
    return np.frombuffer(keys, np.uint8).reshape(-1, DIGEST_BYTES), dict(sorted(reasons.items()))


def _worth_it(statuses: Sequence[os.stat_result]) -> bool:
    """Whether a transaction of the memo takes less time than to read and hash these files."""
    return len(statuses) > _FEW or sum(status.st_size for status in statuses) > _SMALL


def _read_and_hash(file: UnreadFile) -> tuple[bytes, bytes | str]:
    try:
        content = read_file(file.path)
    except DecodeError as error:
        return b"", str(error)
    return content, digest_file(content)


def _hash_source(source: object, max_pixels: int) -> bytes | str:
    """Digest a source in memory, without decoding encoded bytes; a str is a reason."""
    if isinstance(source, bytes):
        return digest_file(source) if source else "empty bytes (0 bytes)"
    try:
        return load(source, max_pixels)[0]
    except DecodeError as error:
        return str(error)
