"""The segments of one fingerprint: their index, their lookup, their repair and their merging."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from featx.exceptions import StoreWarning
from featx.store._segment import SUFFIX, DamagedSegmentError, Segment, write_segment

_MERGE_FILES = 64
_SMALL_ROWS = 1024


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
        self._segments: dict[str, Segment] = {}
        self._damaged: set[str] = set()
        self._clear_index()

    def _clear_index(self) -> None:
        # Sorted by key: which segment, and which of its rows.
        self._keys = np.empty(0, "S16")
        self._names: list[str] = []
        self._segment_of = np.empty(0, np.int32)
        self._row_of = np.empty(0, np.int64)

    def get(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Look rows up; see `Store.get_many`."""
        with self._lock:
            self.refresh()
            wanted = as_strings(keys)
            found = np.zeros(len(wanted), bool)
            rows = np.empty((len(wanted), self.dim or 0), np.float32)
            pending = np.arange(len(wanted))
            # A damaged row leaves the index, and its key is looked up again: there may be a second copy.
            while len(pending):
                at = np.searchsorted(self._keys, wanted[pending])
                hit = at < len(self._keys)
                hit[hit] = self._keys[at[hit]] == wanted[pending[hit]]
                pending, at = pending[hit], at[hit]
                sound = self._gather_into(rows, pending, at)
                found[pending[sound]] = True
                self._drop(at[~sound])
                pending = pending[~sound]
            return found, rows if found.all() else rows[found]

    @property
    def dim(self) -> int | None:
        """Length of the rows; None where there are none."""
        return next((segment.dim for segment in self._segments.values()), None)

    def _gather_into(self, rows: np.ndarray, targets: np.ndarray, at: np.ndarray) -> np.ndarray:
        sound = np.zeros(len(at), bool)
        segment_of = self._segment_of[at]
        for i in np.unique(segment_of):
            chosen = segment_of == i
            name = self._names[i]
            gathered, sound[chosen] = self._segments[name].gather(self._row_of[at[chosen]])
            rows[targets[chosen]] = gathered
            if not sound[chosen].all():
                self._warn_damaged(name, f"{(~sound[chosen]).sum()} rows are not what was written")
        return sound

    def _drop(self, at: np.ndarray) -> None:
        if len(at):
            self._keys, self._segment_of, self._row_of = (
                np.delete(array, at) for array in (self._keys, self._segment_of, self._row_of)
            )

    def refresh(self) -> None:
        """List the folder; open what is new, forget what has gone."""
        names = self.segment_names()
        gone = self._segments.keys() - set(names)
        if gone:
            for name in gone:
                del self._segments[name]
            self._clear_index()
        new = [name for name in names if name not in self._segments and name not in self._damaged]
        opened = [name for name in new if self._open(name)]
        self._index(list(self._segments) if gone else opened)

    def segment_names(self) -> list[str]:
        """Names of the published segments, oldest first; links are never followed."""
        try:
            with os.scandir(self.path) as entries:
                return sorted(
                    entry.name
                    for entry in entries
                    if entry.name.endswith(SUFFIX) and entry.name[0] != "." and entry.is_file(follow_symlinks=False)
                )
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _open(self, name: str) -> bool:
        try:
            segment = Segment(self.path / name)
            if self.dim is not None and segment.dim != self.dim:
                raise DamagedSegmentError(
                    f"{segment.path} holds rows of {segment.dim} numbers, the others of {self.dim}"
                )
        except FileNotFoundError:
            return False  # merged away since the listing; its rows come with the next one
        except (DamagedSegmentError, OSError) as error:
            self._warn_damaged(name, str(error))
            return False
        self._segments[name] = segment
        return True

    def _index(self, names: list[str]) -> None:
        """Merge segments into the sorted index."""
        if not names:
            return
        first = len(self._names)
        self._names += names
        segments = [self._segments[name] for name in names]
        keys = np.concatenate([self._keys, *(as_strings(segment.keys) for segment in segments)])
        lengths = [len(segment) for segment in segments]
        of = np.repeat(np.arange(first, first + len(names), dtype=np.int32), lengths)
        rows = np.concatenate([np.arange(length) for length in lengths])
        order = np.argsort(keys, kind="stable")  # linear where the old index is long and the new part short
        self._keys = keys[order]
        self._segment_of = np.concatenate([self._segment_of, of])[order]
        self._row_of = np.concatenate([self._row_of, rows])[order]

    def put(self, keys: np.ndarray, rows: np.ndarray, metadata: Mapping[str, object]) -> None:
        """Write a segment; see `Store.put_many`."""
        whole = ~np.isnan(rows).any(axis=1)
        if whole.any():
            write_segment(self.path, keys[whole], rows[whole], metadata)

    def tidy(self) -> None:
        """Move damaged segments aside and merge small ones; only for the holder of the turn."""
        with self._lock:
            for name in sorted(self._damaged):
                self._move_aside(name)
            self.refresh()
            small = [name for name, segment in self._segments.items() if len(segment) < _SMALL_ROWS]
            if len(small) > _MERGE_FILES:
                self._rewrite(small)

    def _move_aside(self, name: str) -> None:
        """Read once more; what is still damaged is renamed, after its sound rows are written anew."""
        path = self.path / name
        self._damaged.discard(name)
        try:
            segment = Segment(path)
            if segment.gather(np.arange(len(segment)))[1].all():
                return
            self._segments[name] = segment
            self._rewrite([name], unlink=False)
        except FileNotFoundError:
            return
        except (DamagedSegmentError, OSError):
            pass  # nothing to be saved
        self._segments.pop(name, None)
        path.rename(path.with_name(name + ".damaged"))

    def _rewrite(self, names: list[str], *, unlink: bool = True) -> None:
        """Write the sound rows of some segments to one new segment."""
        parts = []
        seconds = 0.0
        for name in names:
            segment = self._segments[name]
            rows, sound = segment.gather(np.arange(len(segment)))
            if unlink and not sound.all():
                self._warn_damaged(name, f"{(~sound).sum()} rows are not what was written")
                continue
            parts.append((segment.keys[sound], rows[sound]))
            seconds += float(segment.metadata.get("seconds", 0))
        keys = np.concatenate([part[0] for part in parts])
        rows = np.concatenate([part[1] for part in parts])
        _, first = np.unique(as_strings(keys), return_index=True)
        metadata = {k: v for k, v in self._segments[names[0]].metadata.items() if k not in ("checksum", "format")}
        if len(first):
            write_segment(self.path, keys[first], rows[first], {**metadata, "seconds": seconds})
        if unlink:
            for name in names:
                if name not in self._damaged:
                    (self.path / name).unlink(missing_ok=True)
        self.refresh()

    def _warn_damaged(self, name: str, reason: str) -> None:
        if name not in self._damaged:
            self._damaged.add(name)
            warnings.warn(
                f"A damaged segment is skipped and its rows are encoded again: {self.path / name}: {reason}",
                StoreWarning,
                stacklevel=2,
            )


def as_strings(keys: np.ndarray) -> np.ndarray:
    """Keys (n, 16) u8 as n strings of 16 bytes, which numpy can sort and search."""
    return np.ascontiguousarray(keys).view("S16").ravel()
