"""Many cells -> their digests: files that have not changed since they were last read are not read again."""

from __future__ import annotations

import os
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from featx.images._cell import Edges, Region, StoredImage, is_boxed, is_missing, is_path, open_cell
from featx.images._decode import MAX_PIXELS, DecodeError
from featx.images._memo import DigestMemo, FileState
from featx.images._pixel_path import DIGEST_BYTES, digest_file, digest_region, load
from featx.images._read import read_file, stat_file


class KeptImage(StoredImage):
    """An image that is read when it is needed, and of which it is known whether it is still the same."""

    # Whether it is read over a network: by more threads, while others are encoded.
    is_remote = False
    # Whether `fetch` tells the state, so that nothing has to be asked before.
    tells_its_state = False

    @property
    @abstractmethod
    def name(self) -> str:
        """Distinct from the names, and from the absolute paths, of all others."""

    @classmethod
    @abstractmethod
    def states(cls, images: Sequence[Any]) -> list[FileState | str]:
        """Find the state of each image, or the reason why it cannot be used, together."""

    @property
    def order(self) -> tuple[Any, ...]:
        """Compares as the images are best read, where that matters; else empty."""
        return ()

    def fetch(self) -> tuple[bytes, FileState | None]:
        """Read it, and find the state that exactly this content has, where that is told."""
        return self.read(), None


# The memo's transactions take 2 ms: so few and small files are sooner hashed again.
_FEW = 8
_SMALL = 2_000_000
# What is read at once and held until it is encoded.
_PART_FILES = 4096
_PART_BYTES = 64_000_000
_A_TASK = 32
# Threads that wait for a network.
_READERS = 16
_TOLD_LATER = FileState(b"", 1_000_000)


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
        The cell's.
    name : str
        Its path from the root, or the name of a `KeptImage`.
    state : FileState
        Found before it is read.
    since : int
        Nanoseconds of the clock before that.
    image : KeptImage or None
        What reads it; None for a path.
    box : Edges or None
        The part of it that is wanted, as in `Region`.
    """

    position: int
    name: str
    state: FileState
    since: int
    image: KeptImage | None = None
    box: Edges | None = None

    def fetch(self) -> tuple[bytes, FileState | None]:
        """Read it, or raise `DecodeError`; the state is None unless the content comes with it."""
        return (read_file(self.name), None) if self.image is None else self.image.fetch()

    def digest_of(self, digest: bytes) -> bytes:
        """Digest of what is wanted of it, given the file's."""
        return digest if self.box is None else digest_region(digest, self.box)


def digest_unread(
    sources: Mapping[int, object], *, memo: DigestMemo, pool: Executor, max_pixels: int = MAX_PIXELS
) -> tuple[dict[int, bytes], dict[int, str], list[UnreadFile]]:
    """Digest what is in memory, and those files that have not changed since they were last read; read none.

    Parameters
    ----------
    sources : mapping of int to object
        Position -> a cell, as for `open_cell`.
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
    digests: dict[int, bytes] = {}
    files, kept, others, boxes, reasons = _sort(sources)
    known = memo.lookup([image.name for image in kept.values()])
    found, failed = _find_states(kept, known)
    reasons |= failed
    files += found
    if _worth_it(files):
        known |= memo.lookup([file.name for file in files if file.image is None])
    unread = []
    for file in files:
        if file.position in boxes:
            file = replace(file, box=boxes[file.position])
        packed, digest = known.get(file.name, (b"", b""))
        if packed and packed == file.state.packed:
            digests[file.position] = file.digest_of(digest)
        else:
            unread.append(file)
    # Many a task: to hand one over takes as long as to hash a small image.
    batches = [others[start : start + _A_TASK] for start in range(0, len(others), _A_TASK)]
    hashed = pool.map(lambda batch: [_hash_source(sources[i], max_pixels) for i in batch], batches)
    for i, result in zip(others, chain.from_iterable(hashed), strict=True):
        if isinstance(result, str):
            reasons[i] = result
        else:
            digests[i] = result
    return digests, reasons, unread


def _sort(
    sources: Mapping[int, object],
) -> tuple[list[UnreadFile], dict[int, KeptImage], list[int], dict[int, Edges], dict[int, str]]:
    """Tell files, `KeptImage`, what is in memory, of which a part is wanted, and what cannot be used, with the reason.

    What is in memory is in no need of its box: it is digested with it.
    """
    since = time.time_ns()
    files: list[UnreadFile] = []
    kept: dict[int, KeptImage] = {}
    others: list[int] = []
    boxes: dict[int, Edges] = {}
    reasons: dict[int, str] = {}
    for i, cell in sources.items():
        try:
            path, box = _path_in(cell)
            if box is not None:
                boxes[i] = box
            if isinstance(path, KeptImage):
                kept[i] = path
            elif path is None:
                others.append(i)
            else:
                state = FileState.of(stat_file(path))
                files.append(UnreadFile(i, absolute(path), state, since))
        except DecodeError as error:
            reasons[i] = str(error)
    return files, kept, others, boxes, reasons


def _find_states(
    kept: Mapping[int, KeptImage], known: Mapping[str, tuple[bytes, bytes]]
) -> tuple[list[UnreadFile], dict[int, str]]:
    """Find the states of images, or the reasons why they cannot be used."""
    since = time.time_ns()
    # There is nothing to compare a new one with, if its content will tell.
    new = {i for i, image in kept.items() if image.tells_its_state and image.name not in known}
    files = [UnreadFile(i, kept[i].name, _TOLD_LATER, since, kept[i]) for i in new]
    reasons: dict[int, str] = {}
    for i, state in _states({i: image for i, image in kept.items() if i not in new}).items():
        if isinstance(state, str):
            reasons[i] = state
        else:
            files.append(UnreadFile(i, kept[i].name, state, since, kept[i]))
    return files, reasons


def read_in_parts(
    files: Sequence[UnreadFile], *, memo: DigestMemo, pool: Executor
) -> Iterator[tuple[dict[int, bytes | Region], dict[int, bytes], dict[int, str]]]:
    """Read files and digest them, each once, and as many at a time as memory should hold.

    Where some come over a network, the next ones are read while these are used.

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
    contents : dict of int to bytes or Region
        Position -> what was read, or the part of it that is wanted.
    digests : dict of int to bytes
        Position -> digest of exactly that.
    reasons : dict of int to str
        Position -> why a file cannot be used.
    """
    with ExitStack() as stack:
        ahead = 0
        if any(file.image is not None and file.image.is_remote for file in files):
            ahead, pool = 1, stack.enter_context(ThreadPoolExecutor(_READERS, thread_name_prefix="featx-reader"))
        waiting: list[tuple[Sequence[UnreadFile], list[Future[_Read]]]] = []
        stack.callback(lambda: [future.cancel() for _, futures in waiting for future in futures])
        files = sorted(files, key=lambda file: () if file.image is None else file.image.order)
        worth_it = _worth_it(files)
        for part in _parts(files):
            waiting.append((part, [pool.submit(_read_and_hash, file) for file in part]))
            if len(waiting) > ahead:
                yield _finish(*waiting.pop(0), memo, worth_it=worth_it)
        while waiting:
            yield _finish(*waiting.pop(0), memo, worth_it=worth_it)


def _parts(files: Sequence[UnreadFile]) -> Iterator[Sequence[UnreadFile]]:
    start = 0
    while start < len(files):
        end, size = start, 0
        while end < len(files) and end - start < _PART_FILES and (size == 0 or size < _PART_BYTES):
            size += files[end].state.size
            end += 1
        yield files[start:end]
        start = end


def _finish(
    part: Sequence[UnreadFile],
    futures: Sequence[Future[_Read]],
    memo: DigestMemo,
    *,
    worth_it: bool,
) -> tuple[dict[int, bytes | Region], dict[int, bytes], dict[int, str]]:
    contents: dict[int, bytes | Region] = {}
    digests, reasons, whole = {}, {}, {}
    states: dict[int, FileState] = {}
    for file, future in zip(part, futures, strict=True):
        read = future.result()
        if read.reason:
            reasons[file.position] = read.reason
        else:
            contents[file.position] = read.content if file.box is None else Region(read.content, file.box)
            whole[file.position], digests[file.position] = read.digest, file.digest_of(read.digest)
            states[file.position] = read.state or file.state
    if worth_it:
        # Over a network nothing else tells that a file did not change between its state and its content.
        unsure = {
            file.position: file.image
            for file in part
            if file.image is not None and file.image.is_remote and not file.image.tells_its_state
        }
        again = _states({i: image for i, image in unsure.items() if i in states})
        memo.record(
            [
                (file.name, states[i], whole[i])
                for file in part
                if (i := file.position) in states and again.get(i, states[i]) == states[i]
            ],
            part[0].since,
        )
    return contents, digests, reasons


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


def _path_in(cell: object) -> tuple[str | Path | KeptImage | None, Edges | None]:
    """Find the path, or the `KeptImage`, that a cell holds, and its box; no path where it holds what is in memory."""
    if isinstance(cell, str | Path):
        return cell if is_path(cell) else None, None
    if isinstance(cell, KeptImage):
        return cell, None
    if is_boxed(cell):
        region = open_cell(cell)
        return (_path_in(region.source)[0], region.box) if isinstance(region, Region) else _path_in(region)
    if not isinstance(cell, Mapping) or (hasattr(cell, "as_py") and not is_missing(cell.get("bytes"))):
        return None, None
    source = open_cell(cell)
    return source if isinstance(source, str | Path) and is_path(source) else None, None


def name_of_file(cell: object) -> str | None:
    """Name the file of a cell as `DigestMemo` does; None where it holds what is in memory."""
    path, _ = _path_in(cell)
    if path is None or isinstance(path, KeptImage):
        return None if path is None else path.name
    return absolute(path)


def _states(images: Mapping[int, KeptImage]) -> dict[int, FileState | str]:
    kinds: dict[type[KeptImage], list[int]] = {}
    for i, image in images.items():
        kinds.setdefault(type(image), []).append(i)
    return {
        i: state
        for kind, positions in kinds.items()
        for i, state in zip(positions, kind.states([images[i] for i in positions]), strict=True)
    }


def _worth_it(files: Sequence[UnreadFile]) -> bool:
    """Whether a transaction of the memo takes less time than to read and hash these files."""
    is_remote = any(file.image is not None and file.image.is_remote for file in files)
    return is_remote or len(files) > _FEW or sum(file.state.size for file in files) > _SMALL


@dataclass(frozen=True)
class _Read:
    content: bytes = b""
    digest: bytes = b""
    state: FileState | None = None
    reason: str = ""


def _read_and_hash(file: UnreadFile) -> _Read:
    try:
        content, state = file.fetch()
    except DecodeError as error:
        return _Read(reason=str(error))
    return _Read(content, digest_file(content), state) if content else _Read(reason="the file is empty (0 bytes)")


def _hash_source(source: object, max_pixels: int) -> bytes | str:
    """Digest a source in memory, without decoding encoded bytes; a str is a reason."""
    try:
        source = source if isinstance(source, Region) else open_cell(source)
        if isinstance(source, Region):
            digest = _hash_source(source.source, max_pixels)
            return digest if isinstance(digest, str) else digest_region(digest, source.box)
        if isinstance(source, bytes):
            return digest_file(source) if source else "empty bytes (0 bytes)"
        return load(source, max_pixels)[0]
    except DecodeError as error:
        return str(error)
