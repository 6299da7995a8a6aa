"""The rows of one fingerprint: looked up and kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from featx._warnings import warn
from featx.exceptions import ParameterError, StoreWarning
from featx.store._files import Files, LocalFiles, Url
from featx.store._index import INDEX_NAME, Index, as_slice, as_strings, checks_of, open_index
from featx.store._layout import DamagedFileError, NewerFormatError
from featx.store._segment import SEGMENT_NAME, Segment, new_name, write_segment

T = TypeVar("T")
# A folder that is merged faster than it is read costs an encoding, not a hang.
_LISTINGS = 5
# A segment is noted as used this often, in seconds.
_NOTED = 60.0


class Folder:
    """Rows under one fingerprint; the listing of its files is the manifest.

    Parameters
    ----------
    files : Files or Path
        Where they are; a folder need not exist yet.
    report : callable, default=None
        Takes what is to be said of files that are skipped; None warns.
    notes_use : bool, default=True
        Whether what is read counts as used, which saves it from being pruned.
    """

    def __init__(self, files: Files | Path, report: Callable[[str], None] | None = None, *, notes_use: bool = True):
        self.files: Files = LocalFiles(files) if isinstance(files, Path) else files
        self._report = report or partial(warn, category=StoreWarning)
        self._notes_use = notes_use
        self._lock = threading.RLock()
        self._skipped: set[str] = set()
        self._refused: set[str] = set()
        self._renewed: set[str] = set()
        self._noted: dict[str, float] = {}
        self._forget()

    def _forget(self) -> None:
        self._segments: dict[str, Segment] = {}
        self._dim: int | None = None
        self._index_name: str | None = None
        self._mapped = Index()
        self._recent = Index()

    @property
    def path(self) -> Path | Url:
        """Where the files are, for messages."""
        return self.files.path

    @property
    def dim(self) -> int | None:
        """Length of the rows; None where there are none."""
        return self._dim

    def count(self) -> tuple[int, int, int]:
        """Count rows, distinct keys and segments."""
        with self._lock:
            whole = self._whole()
            return len(whole), whole.n_distinct, len(whole.names)

    def _whole(self) -> Index:
        """Where everything lies."""
        return self._ask_indexes(lambda mapped, recent: mapped.merged_with(recent))

    def _ask_indexes(self, question: Callable[[Index, Index], T]) -> T:
        """Ask about everything that lies here; what a damaged index says is read from its segments."""
        while True:
            self.refresh()
            try:
                return question(self._mapped, self._recent)
            except DamagedFileError as error:
                self._skip(self._index_name or "", str(error))

    def get(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Look rows up; see `Store.get_many`."""
        with self._lock:
            found = np.zeros(len(keys), bool)
            rows = np.empty((0, 0), np.float32)
            complete = False
            while not complete:
                # There may be a second copy of a damaged row, and a merged segment's rows are in a new one.
                self.refresh()
                if not len(rows):
                    rows = np.empty((0, self._dim or 0), np.float32)
                complete = True
                for index in (self._mapped, self._recent):
                    wanted = np.flatnonzero(~found)
                    try:
                        at = index.find(keys[wanted])
                    except DamagedFileError as error:
                        self._skip(self._index_name or "", str(error))
                        complete = False
                        break
                    wanted, at = wanted[at >= 0], at[at >= 0]
                    if not len(at):
                        continue
                    if not len(rows):
                        rows = np.zeros((len(keys), self._dim or 0), np.float32)
                    sound = self._gather(index, at, keys, wanted, rows)
                    found[wanted[sound]] = True
                    index.drop(at[~sound])
                    complete &= bool(sound.all())
            return found, rows if found.all() or not len(rows) else rows[found]

    def _gather(
        self, index: Index, at: np.ndarray, keys: np.ndarray, wanted: np.ndarray, rows: np.ndarray
    ) -> np.ndarray:
        """Read the rows of some keys to their places; say which are what was written."""
        sound = np.zeros(len(at), bool)
        sums = index.sums_at(at, keys[wanted])
        parts = list(index.by_segment(at))
        self.files.prefetch(name for name, _, _ in parts)
        for name, targets, positions in parts:
            sound[targets] = self._take(name, positions, sums[targets], as_slice(wanted[targets]), rows)
        return sound

    def _take(
        self, name: str, positions: np.ndarray, sums: np.ndarray, places: np.ndarray | slice, rows: np.ndarray
    ) -> np.ndarray | bool:
        """Read rows of one segment to their places; say which are what was written."""
        try:
            segment = self._open(name)
            direct = isinstance(places, slice) and segment.dtype == rows.dtype
            got, sound = segment.gather(positions, sums, out=rows[places] if direct else None)
            if not direct:
                rows[places] = got
        except FileNotFoundError:
            return False  # merged away since the listing
        except NewerFormatError as error:
            self._refuse(name, str(error))
            return False
        except (DamagedFileError, OSError) as error:
            return self._skip(name, str(error)) and self._take(name, positions, sums, places, rows)
        self._note(name)
        n_bad = np.count_nonzero(~sound)
        if n_bad and self._skip(name, f"{n_bad} rows are not what was written"):
            return self._take(name, positions, sums, places, rows)
        return sound

    def _note(self, name: str) -> None:
        now = time.monotonic()
        if self._notes_use and now - self._noted.get(name, -_NOTED) >= _NOTED:
            self._noted[name] = now
            self.files.touch(name)

    def keys(self) -> np.ndarray:
        """Every distinct key once, (n, 16) uint8, in the order in which their rows lie in the segments."""

        def distinct(mapped: Index, recent: Index) -> np.ndarray:
            new = recent.in_order()
            return np.concatenate([mapped.in_order(), new[mapped.find(new) < 0]])

        with self._lock:
            return self._ask_indexes(distinct)

    def refresh(self) -> None:
        """List the folder; open what is new, forget what has gone."""
        for _ in range(_LISTINGS):
            names = self.files.names()
            segments = [name for name in names if SEGMENT_NAME.fullmatch(name)]
            self._follow_index([name for name in names if INDEX_NAME.fullmatch(name)])
            if set(self._recent.names) - set(segments):
                indexed = set(self._mapped.names)
                self._recent = Index()
                self._segments = {name: segment for name, segment in self._segments.items() if name in indexed}
            self._mapped.keep(segments)
            known = {*self._mapped.names, *self._recent.names, *self._skipped, *self._refused}
            new = [name for name in segments if name not in known]
            self.files.prefetch(new)
            try:
                read = {name: keys for name in new if (keys := self._try_read(name)) is not None}
                self._recent.add(read)
            except BaseException:
                self._forget()  # else what was opened before an interrupt counts as known, and is not in the index
                raise
            if all(name in read or name in self._skipped or name in self._refused for name in new):
                break  # else some were merged away since the listing, and their rows are in the next one
        if not self._recent.names and not self._mapped.n_there:
            self._dim = None

    def _follow_index(self, names: Sequence[str]) -> None:
        """Map the latest index that is sound."""
        for name in reversed(names):
            if name in self._skipped or name in self._refused:
                continue
            if name == self._index_name or self._try_map(name):
                return
        if self._index_name is not None:
            self._forget()

    def _try_map(self, name: str) -> bool:
        self.files.prefetch([name])
        try:
            mapped, dim = open_index(self.files.fetch(name))
        except FileNotFoundError:
            return False
        except NewerFormatError as error:
            self._refuse(name, str(error))
            return False
        except (DamagedFileError, OSError) as error:
            return self._skip(name, str(error)) and self._try_map(name)
        self._forget()
        self._index_name, self._mapped, self._dim = name, mapped, dim
        return True

    def _index_names(self) -> list[str]:
        return list(filter(INDEX_NAME.fullmatch, self.files.names()))

    def segment_names(self) -> list[str]:
        """Names of the published segments, oldest first; links are never followed."""
        return list(filter(SEGMENT_NAME.fullmatch, self.files.names()))

    def _try_read(self, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        try:
            segment = self._open(name)
            keys = segment.read_keys()
        except FileNotFoundError:
            return None
        except NewerFormatError as error:
            self._refuse(name, str(error))
            return None
        except (DamagedFileError, OSError) as error:
            self._skip(name, str(error))
            return None
        self._dim = segment.dim
        return keys

    def _open(self, name: str) -> Segment:
        if name not in self._segments:
            segment = Segment(self.files.fetch(name))
            if self._dim not in (None, segment.dim):
                raise DamagedFileError(f"its rows hold {segment.dim} numbers, those of the others {self._dim}")
            self._segments[name] = segment
        return self._segments[name]

    def _try_open(self, name: str) -> Segment | None:
        """Open a segment, or leave it to whoever asks for its rows to be told why it cannot be."""
        try:
            return self._open(name)
        except (DamagedFileError, NewerFormatError, OSError):
            return None

    def _skip(self, name: str, reason: str) -> bool:
        """Read a damaged file no more; say whether it was fetched once more instead, and is worth another look."""
        if name not in self._renewed and self.files.renew(name):
            self._renewed.add(name)
            self._segments.pop(name, None)
            if name == self._index_name:
                self._forget()
            return True
        if name not in self._skipped:
            self._skipped.add(name)
            if INDEX_NAME.fullmatch(name):
                skipped = "index is skipped and the keys of its segments are read"
            else:
                skipped = "segment is skipped and its rows are encoded again"
            self._report(f"A damaged {skipped}: {self.path / name}: {reason}.")
        return False

    def _refuse(self, name: str, reason: str) -> None:
        if name not in self._refused:
            self._refused.add(name)
            self._report(f"{self.path / name} is not used: {reason}. It is left as it is; upgrade featx.")

    def put(self, keys: np.ndarray, rows: np.ndarray, metadata: Mapping[str, object]) -> None:
        """Write a segment; see `Store.put_many`."""
        with self._lock:
            dim = self._dim
        if dim not in (None, rows.shape[1]):
            raise ParameterError(f"Got rows of {rows.shape[1]} numbers. Expected {dim}, as in {self.path}.")
        self.files.publish(new_name(), lambda file: write_segment(file, keys, rows, metadata))

    def check_index(self, name: str) -> str:
        """Compare an index with its segments, as far as they are there; say what is wrong with it, or ""."""
        try:
            index, _ = open_index(self.files.fetch(name))
            entries = index.entries()
        except DamagedFileError as error:
            return str(error)
        there = set(self.segment_names())
        for segment, (keys, checks, positions) in entries.items():
            if segment not in there or (opened := self._try_open(segment)) is None:
                continue
            with suppress(DamagedFileError, OSError):
                right, sums = opened.read_keys()
                if not (
                    len(keys) == len(right)
                    and np.array_equal(positions, np.arange(len(right)))
                    and np.array_equal(keys, as_strings(right))
                    and np.array_equal(checks, checks_of(right, sums))
                ):
                    return f"it is not what {segment} says"
        return ""
