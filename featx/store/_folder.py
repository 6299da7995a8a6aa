"""The segments of one fingerprint: their listing, the index of their rows, their repair and their merging."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from featx._warnings import warn
from featx.exceptions import ParameterError, StoreWarning
from featx.store._segment import DAMAGED, SEGMENT_NAME, TEMPORARY_NAME, DamagedSegmentError, Segment, write_segment


class Index:
    """Keys in order, each with its segment and its row there; a key may be there more than once."""

    def __init__(self):
        self._segments: list[Segment] = []
        self._keys = np.empty(0, "S16")
        self._segment_of = np.empty(0, np.int32)
        self._row_of = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, segments: Sequence[Segment]) -> None:
        """Take in segments; of equal keys, the one that was there first is found first."""
        if not segments:
            return
        lengths = [len(segment) for segment in segments]
        numbers = np.arange(len(self._segments), len(self._segments) + len(segments), dtype=np.int32)
        self._segments += segments
        keys = np.concatenate([self._keys, *(as_strings(segment.keys) for segment in segments)])
        order = np.argsort(keys, kind="stable")  # linear where the old index is long and the new part short
        self._keys = keys[order]
        self._segment_of = np.concatenate([self._segment_of, np.repeat(numbers, lengths)])[order]
        self._row_of = np.concatenate([self._row_of, *map(np.arange, lengths)])[order]

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Where each of n keys stands in the index, -1 where it does not.

        Parameters
        ----------
        keys : ndarray of shape (n, 16), uint8

        Returns
        -------
        ndarray of shape (n,), int
        """
        if not len(self):
            return np.full(len(keys), -1)
        wanted = as_strings(keys)
        at = np.searchsorted(self._keys, wanted)
        at[at == len(self)] = 0
        return np.where(self._keys[at] == wanted, at, -1)

    def by_segment(self, at: np.ndarray) -> Iterator[tuple[Segment, np.ndarray | slice, np.ndarray]]:
        """Group places in the index.

        Parameters
        ----------
        at : ndarray of shape (n,), int
            From `find`.

        Yields
        ------
        segment : Segment
        targets : ndarray of int, or slice
            Which of the n places these are.
        positions : ndarray of int
            Their rows in the segment, ascending.
        """
        segment_of, row_of = self._segment_of[at], self._row_of[at]
        order = np.lexsort((row_of, segment_of))
        starts = np.flatnonzero(np.diff(segment_of[order], prepend=-1))
        for targets in np.split(order, starts[1:]) if len(at) else []:
            yield self._segments[segment_of[targets[0]]], _as_slice(targets), row_of[targets]

    def drop(self, at: np.ndarray) -> None:
        """Forget these places."""
        self._keys, self._segment_of, self._row_of = (
            np.delete(array, at) for array in (self._keys, self._segment_of, self._row_of)
        )


def as_strings(keys: np.ndarray) -> np.ndarray:
    """Keys (n, 16) u8 as n strings of 16 bytes, which numpy can sort and search.

    All are 16 wide, so that numpy's neglect of trailing zero bytes makes no two of them equal.
    """
    return np.ascontiguousarray(keys).view("S16").ravel()


def _as_slice(targets: np.ndarray) -> np.ndarray | slice:
    return slice(targets[0], targets[-1] + 1) if (np.diff(targets) == 1).all() else targets


_MERGE_FILES = 64
_SMALL_ROWS = 1024
# Bounds the memory of one merge; the next holder of the lock goes on.
_MERGED_AT_ONCE = 2 * _MERGE_FILES
# A folder that is merged faster than it is read costs an encoding, not a hang.
_LISTINGS = 5
# No writer takes that long: what is older was left by one that was killed.
_STALE_SECONDS = 24 * 3600


class Folder:
    """Rows under one fingerprint; the folder's listing is the manifest.

    Parameters
    ----------
    path : Path
        Need not exist yet.
    """

    def __init__(self, path: Path):
        self.path = path
        self._lock = threading.RLock()
        self._skipped: set[str] = set()
        self._forget()

    def _forget(self) -> None:
        self._segments: dict[str, Segment] = {}
        self._index = Index()

    @property
    def dim(self) -> int | None:
        """Length of the rows; None where there are none."""
        return next((segment.dim for segment in self._segments.values()), None)

    def get(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Look rows up; see `Store.get_many`."""
        with self._lock:
            self.refresh()
            while True:
                at = self._index.find(keys)
                found = at >= 0
                rows, sound = self._gather(at[found])
                if sound.all():
                    return found, rows
                # There may be a second copy of a damaged row, and a merged segment's rows are in a new one.
                self._index.drop(at[found][~sound])
                self.refresh()

    def _gather(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = np.zeros((len(at), self.dim or 0), np.float32)
        sound = np.zeros(len(at), bool)
        for segment, targets, positions in self._index.by_segment(at):
            try:
                if isinstance(targets, slice):
                    _, sound[targets] = segment.gather(positions, out=rows[targets])
                else:
                    rows[targets], sound[targets] = segment.gather(positions)
            except FileNotFoundError:
                continue  # merged away since the listing
            except OSError as error:
                self._skip(segment.path.name, str(error))
                continue
            if n_bad := np.count_nonzero(~sound[targets]):
                self._skip(segment.path.name, f"{n_bad} rows are not what was written")
        return rows, sound

    def refresh(self) -> None:
        """List the folder; open what is new, forget what has gone."""
        for _ in range(_LISTINGS):
            names = self.segment_names()
            if self._segments.keys() - set(names):
                self._forget()
            new = [name for name in names if not self._knows(name)]
            try:
                opened = [self._try_open(name) for name in new]
                self._index.add([segment for segment in opened if segment is not None])
            except BaseException:
                self._forget()  # else what was opened before an interrupt counts as known, and is not in the index
                raise
            if all(map(self._knows, new)):
                break  # else some were merged away since the listing, and their rows are in the next one

    def _knows(self, name: str) -> bool:
        return name in self._segments or name in self._skipped

    def segment_names(self) -> list[str]:
        """Names of the published segments, oldest first; links are never followed."""
        try:
            with os.scandir(self.path) as entries:
                return sorted(
                    entry.name
                    for entry in entries
                    if SEGMENT_NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
                )
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _try_open(self, name: str) -> Segment | None:
        try:
            self._segments[name] = self._open(name)
        except FileNotFoundError:
            return None
        except (DamagedSegmentError, OSError) as error:
            self._skip(name, str(error))
            return None
        return self._segments[name]

    def _open(self, name: str) -> Segment:
        segment = Segment(self.path / name)
        if self.dim not in (None, segment.dim):
            raise DamagedSegmentError(f"its rows hold {segment.dim} numbers, those of the others {self.dim}")
        return segment

    def _skip(self, name: str, reason: str) -> None:
        if name not in self._skipped:
            self._skipped.add(name)
            warn(
                f"A damaged segment is skipped and its rows are encoded again: {self.path / name}: {reason}.",
                StoreWarning,
            )

    def put(self, keys: np.ndarray, rows: np.ndarray, metadata: Mapping[str, object]) -> None:
        """Write a segment; see `Store.put_many`."""
        with self._lock:
            dim = self.dim
        if dim not in (None, rows.shape[1]):
            raise ParameterError(f"Got rows of {rows.shape[1]} numbers. Expected {dim}, as in {self.path}.")
        write_segment(self.path, keys, rows, metadata)

    def tidy(self) -> None:
        """Move damaged segments aside, merge small ones, remove what killed writers left.

        Only for the holder of the lock.
        """
        with self._lock:
            self._sweep()
            self.refresh()
            if self._skipped:
                for name in sorted(self._skipped):
                    self._move_aside(name)
                self._forget()
                self.refresh()
            sound = [segment for name, segment in self._segments.items() if name not in self._skipped]
            small = [segment for segment in sound if len(segment) < _SMALL_ROWS]
            if len(small) > _MERGE_FILES:
                self._merge(small[:_MERGED_AT_ONCE])
                self.refresh()

    def _sweep(self) -> None:
        with os.scandir(self.path) as entries:
            for entry in entries:
                if TEMPORARY_NAME.fullmatch(entry.name) and _age(entry) > _STALE_SECONDS:
                    Path(entry.path).unlink(missing_ok=True)

    def _move_aside(self, name: str) -> None:
        """Read once more; what is still damaged is renamed, after its sound rows are written anew."""
        path = self.path / name
        try:
            if not self._is_sound(name):
                path.rename(path.with_name(name + DAMAGED))
        except FileNotFoundError:
            pass  # moved or merged by another process
        except OSError:
            return  # cannot be read or renamed by us, or not now
        self._skipped.discard(name)

    def _is_sound(self, name: str) -> bool:
        """Whether a second read finds no damage; the sound rows of what is damaged are written anew."""
        try:
            segment = self._open(name)
        except DamagedSegmentError:
            return False
        rows, sound = segment.read()
        if not sound.all():
            self._publish([segment], rows[sound], segment.keys[sound])
        return bool(sound.all())

    def _merge(self, segments: Sequence[Segment]) -> None:
        """Write the rows of small segments to one new segment, then remove the small ones."""
        keys = np.concatenate([segment.keys for segment in segments])
        rows = np.empty((len(keys), self.dim), np.float32)
        sound = np.empty(len(keys), bool)
        whole = []
        start = 0
        for segment in segments:
            part = slice(start, start := start + len(segment))
            rows[part], sound[part] = segment.read()
            if sound[part].all():
                whole.append(segment.path)
            else:
                self._skip(segment.path.name, "some rows are not what was written")
        keep = _first_copies(keys, sound)
        self._publish(segments, rows if len(keep) == len(rows) else rows[keep], keys[keep])
        for path in whole:
            path.unlink(missing_ok=True)

    def _publish(self, segments: Sequence[Segment], rows: np.ndarray, keys: np.ndarray) -> None:
        if len(rows):
            metadata = {**segments[0].metadata, "seconds": sum(segment.seconds for segment in segments)}
            write_segment(self.path, keys, rows, metadata)


def _first_copies(keys: np.ndarray, sound: np.ndarray) -> np.ndarray:
    """Positions of the first sound copy of each key, in the order of writing: neighbours are asked for together."""
    candidates = np.flatnonzero(sound)
    _, first = np.unique(as_strings(keys[candidates]), return_index=True)
    return np.sort(candidates[first])


def _age(entry: os.DirEntry) -> float:
    """Seconds since a file was last written, 0 where it has gone or is no file."""
    try:
        return time.time() - entry.stat(follow_symlinks=False).st_mtime if entry.is_file(follow_symlinks=False) else 0
    except FileNotFoundError:
        return 0
