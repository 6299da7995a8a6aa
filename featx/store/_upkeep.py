"""What is done to a folder in its turn: damaged files are moved aside, segments merged, indexes written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from featx.store._folder import Folder
from featx.store._index import INDEX_NAME, Index, as_strings, open_index
from featx.store._layout import DamagedFileError, NewerFormatError
from featx.store._record import RECORD_NAME, DamagedRecordError, read_record
from featx.store._segment import Segment, new_name, write_segment
from featx.store.base import KEY_BYTES

_MERGE_FILES = 64
_SMALL_ROWS = 1024
# Bounds the memory of one merge; the next holder of the lock goes on.
_MERGED_AT_ONCE = 2 * _MERGE_FILES
# Compaction fills segments up to this, and leaves those that hold half of it alone.
_FULL_BYTES = 1 << 28
# Their names have to fit into a header.
_REPLACED_AT_ONCE = 4096
# Until so many rows are in no index, opening them takes less than a second.
_UNINDEXED_ROWS = 1_000_000


class TendedFolder(Folder):
    """A folder that is also looked after."""

    def tidy(self) -> None:
        """Move damaged files aside, merge small segments, index what is not, remove what killed writers left.

        Only for the holder of the lock.
        """
        with self._lock:
            self._repair()
            small = [name for name in self._sound() if name in self._segments and self._is_small(name)]
            if len(small) > _MERGE_FILES:
                self._merge(small[:_MERGED_AT_ONCE])
                self.refresh()
            if len(self._recent) >= _UNINDEXED_ROWS:
                self._write_index()

    def compact(self) -> None:
        """Merge segments into large ones, and write an index of all; only for the holder of the lock."""
        with self._lock:
            self._repair()
            for group in self._groups():
                self._merge(group)
            if self._skipped:  # met while merging
                self._repair()
            self.refresh()
            if self._recent.names or self._mapped.n_there < len(self._mapped.names) or len(self._indexes()) > 1:
                self._write_index()

    def remove(self, names: Iterable[str]) -> None:
        """Delete files; an index that knows them is written anew, shorter. Only for the holder of the lock."""
        with self._lock:
            gone = set(names)
            self._follow_index(self._index_names())
            self.files.remove(gone)
            if gone.intersection(self._mapped.names):
                self.refresh()
                self._write_index(of=self._mapped.names_there())

    def repair(self, names: Iterable[str]) -> set[str]:
        """Repair damaged files; say which are still there and damaged. Only for the holder of the lock."""
        with self._lock:
            self._skipped.update(names)
            self._repair()
            return {*self._skipped, *self._refused}.intersection(names)

    def _is_small(self, name: str) -> bool:
        return len(self._segments[name]) < _SMALL_ROWS and name not in set(self._mapped.names)

    def _sound(self) -> list[str]:
        names = [*self._mapped.names_there(), *self._recent.names]
        return sorted(name for name in names if name not in self._skipped)

    def _repair(self) -> None:
        self.files.sweep()
        self.refresh()
        if skipped := sorted(self._skipped):
            indexed = set(self._mapped.names)
            for name in skipped:
                self._move_aside(name)
            done = set(skipped) - self._skipped
            self._forget()
            self.refresh()
            if any(name in indexed or INDEX_NAME.fullmatch(name) for name in done):
                self._write_index(afresh=True)
        self._remove_replaced()

    def _groups(self) -> list[list[str]]:
        """Neighbours, in order of writing, that together fill a segment."""
        groups: list[list[str]] = [[]]
        room = _FULL_BYTES
        for name in self._sound():
            segment = self._try_open(name)
            if segment is None or segment.n_bytes > _FULL_BYTES // 2:
                continue
            n_bytes = segment.n_bytes
            if n_bytes > room or len(groups[-1]) == _REPLACED_AT_ONCE:
                groups.append([])
                room = _FULL_BYTES
            groups[-1].append(name)
            room -= n_bytes
        return [group for group in groups if len(group) > 1]

    def _indexes(self) -> list[str]:
        """Name the indexes that a later one may replace."""
        names = self._index_names()
        for name in set(names) - self._refused - {self._index_name}:
            try:
                open_index(self.files.fetch(name))
            except NewerFormatError as error:
                self._refuse(name, str(error))
            except (DamagedFileError, OSError):
                pass
        return [name for name in names if name not in self._refused]

    def _write_index(self, *, afresh: bool = False, of: Iterable[str] | None = None) -> None:
        """Index every segment or some, in place of older indexes; afresh, from the segments themselves."""
        old = self._indexes()
        if afresh:
            self.files.remove(old)
        whole = self._whole()
        if of is not None:
            whole.keep(of)
            whole = whole.merged_with(Index())
        if len(whole) and self._dim:
            dim = self._dim
            self.files.publish(f"index-{new_name()}", lambda file: whole.write(file, dim), sync=True)
        self._forget()  # what is mapped cannot be removed everywhere
        self.files.remove(old)
        self.refresh()

    def _remove_replaced(self) -> None:
        """Remove segments whose rows were written anew, by a merge that was killed before it could."""
        there = {*self._mapped.names_there(), *self._recent.names}
        self.files.prefetch(there)
        for name in sorted(there):
            merged = self._try_open(name)
            left = [old for old in merged.replaces if old in there and old != name] if merged else []
            with suppress(DamagedFileError, NewerFormatError, OSError):
                if merged and left and self._holds_all(merged, left):
                    self.files.remove(left)
                    self.refresh()

    def _holds_all(self, merged: Segment, names: Sequence[str]) -> bool:
        keys, _, sound = merged.read()
        held = set(as_strings(keys).tolist())
        return bool(sound.all()) and all(
            held.issuperset(as_strings(self._open(name).read_keys()[0]).tolist()) for name in names
        )

    def _move_aside(self, name: str) -> None:
        """Read once more; what is still damaged is renamed, after its sound rows are written anew."""
        try:
            if not self._is_sound(name):
                self.files.move_aside(name)
        except FileNotFoundError:
            pass  # moved or merged by another process
        except NewerFormatError:
            self._refused.add(name)  # not ours to move
        except OSError:
            return  # cannot be read or renamed by us, or not now
        self._skipped.discard(name)

    def _is_sound(self, name: str) -> bool:
        """Whether a second read finds no damage; the sound rows of what is damaged are written anew."""
        self.files.renew(name)
        if INDEX_NAME.fullmatch(name):
            return not self.check_index(name)
        self._segments.pop(name, None)
        try:
            if RECORD_NAME.fullmatch(name):
                read_record(self.files.fetch(name))
                return True
            segment = self._open(name)
            keys, rows, sound = segment.read()
        except (DamagedFileError, DamagedRecordError):
            return False
        if not sound.all():
            self._publish([segment], rows[sound], keys[sound])
        return bool(sound.all())

    def _merge(self, names: Sequence[str]) -> None:
        """Write the rows of some segments to a new one, then remove them."""
        segments = [segment for name in names if (segment := self._try_open(name)) is not None]
        if len(segments) < 2:
            return
        n = sum(map(len, segments))
        keys = np.empty((n, KEY_BYTES), np.uint8)
        rows = np.empty((n, self._dim or 0), segments[0].dtype)
        sound = np.zeros(n, bool)
        whole, start = [], 0
        for segment in segments:
            part = slice(start, start := start + len(segment))
            try:
                keys[part], _, sound[part] = segment.read(out=rows[part])
            except (DamagedFileError, OSError):
                continue  # whoever asks for its rows will be told
            if sound[part].all():
                whole.append(segment.path.name)
            else:
                sound[part] = False  # its sound rows are written anew when it is moved aside
                self._skip(segment.path.name, "some rows are not what was written")
        keep = _first_copies(keys, sound)
        self._publish(segments, rows if len(keep) == len(rows) else rows[keep], keys[keep], replaces=" ".join(whole))
        self.files.remove(whole)

    def _publish(self, segments: Sequence[Segment], rows: np.ndarray, keys: np.ndarray, **more: str) -> None:
        if not len(rows):
            return
        metadata = {**segments[0].metadata, "seconds": sum(segment.seconds for segment in segments), **more}
        names = {segment.path.name for segment in segments}
        used = [file.used for file in self.files.own() if file.name in names]

        def write(file: Path) -> None:
            write_segment(file, keys, rows, metadata)
            if used:  # to be written anew is no use
                os.utime(file, (max(used), max(used)))

        self.files.publish(new_name(), write, sync=True)  # what it replaces is on the disk


def _first_copies(keys: np.ndarray, sound: np.ndarray) -> np.ndarray:
    """Positions of the first sound copy of each key, in the order of writing: neighbours are asked for together."""
    candidates = np.flatnonzero(sound)
    _, first = np.unique(as_strings(keys[candidates]), return_index=True)
    return np.sort(candidates[first])
