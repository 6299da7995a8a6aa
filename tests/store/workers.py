"""Processes that use one store in every way at once: for `tests.store.kill` and `tests.store.race`.

Nothing is imported but the store, so that a process costs milliseconds.
"""

from __future__ import annotations

import mmap
import os
import random
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import filelock  # noqa: F401  what the store imports when it is first needed: here, so that no child does
import numpy as np
import pandas as pd

from featx.exceptions import UnknownNameError
from featx.store import EmbeddingStore, _upkeep
from featx.store._files import DAMAGED, TEMPORARY

# Rows of the first are never pruned; those of the second are aged as soon as they are written.
KEPT, PRUNED = "a1" * 32, "b2" * 32
DIM = 32
DAY = 24 * 3600.0
META = {"encoder": {"name": "example"}, "seconds": 0.01}


def keys_of(numbers: np.ndarray) -> np.ndarray:
    """Keys that look like digests, each made of its number."""
    words = np.asarray(numbers, np.uint64)[:, None] * 2 + np.arange(2, dtype=np.uint64)
    for factor in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB):
        words = (words ^ (words >> np.uint64(29))) * np.uint64(factor)
    return np.ascontiguousarray(words).view(np.uint8).reshape(-1, 16)


def rows_of(keys: np.ndarray) -> np.ndarray:
    """The one row that each key may have."""
    return np.tile(keys, (1, DIM // 16)) * np.float32(0.5) + np.arange(DIM, dtype=np.float32)


def make_small() -> None:
    """Let merges and indexes, which are for many rows, happen with few."""
    _upkeep._FULL_BYTES = 1 << 18
    _upkeep._MERGE_FILES = 8
    _upkeep._MERGED_AT_ONCE = 16
    _upkeep._UNINDEXED_ROWS = 2000


class Acknowledged:
    """Numbers of the rows that the store has taken, by any process: a file for each writer, appended to afterwards."""

    def __init__(self, folder: Path):
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def add(self, writer: int, numbers: np.ndarray) -> None:
        with open(self._folder / str(writer), "ab", buffering=0) as file:
            file.write(numbers.astype(np.int64).tobytes())

    def writers(self) -> list[int]:
        return sorted(int(name) for name in os.listdir(self._folder))

    def of(self, writer: int) -> np.ndarray:
        content = (self._folder / str(writer)).read_bytes()
        return np.frombuffer(content[: len(content) // 8 * 8], np.int64)

    def all(self) -> np.ndarray:
        return np.concatenate([np.empty(0, np.int64), *map(self.of, self.writers())])


class Faults(Counter):
    """What must not be: wrong and lost rows, errors of processes, leftovers."""


def look_up(store: EmbeddingStore, numbers: np.ndarray, faults: Faults, *, fingerprint: str = KEPT) -> int:
    """Read rows that the store has taken, and compare each with its key; says how many there were."""
    keys = keys_of(numbers)
    found, rows = store.get_many(fingerprint, keys)
    if found.any():
        faults["wrong rows"] += int((rows != rows_of(keys[found])).any(axis=1).sum())
    if fingerprint == KEPT:
        faults["lost rows"] += int((~found).sum())
    return int(found.sum())


class Worker:
    """One process's way through a store: actions drawn by weight, each on its own."""

    WEIGHTS = (("write", 30), ("write_in_turn", 15), ("write_to_prune", 18), ("read", 15), ("compact", 7), ("prune", 8),
               ("repair", 7), ("clear", 3), ("info", 4), ("record", 6))  # fmt: skip
    NAMES = tuple(name for name, _ in WEIGHTS)

    def __init__(self, location: Path, acknowledged: Acknowledged, number: int, seed: int):
        self.store = EmbeddingStore(location)
        self._acknowledged = acknowledged
        self._number = number
        self._random = random.Random(f"{seed} {number}")
        self._next = number * 1_000_000
        self.done: Counter[str] = Counter()
        self.faults = Faults()

    def draw(self) -> int:
        return self._random.choices(range(len(self.NAMES)), [weight for _, weight in self.WEIGHTS])[0]

    def act(self, action: int) -> None:
        name = self.NAMES[action]
        getattr(self, name)()
        self.done[name] += 1

    def write(self, fingerprint: str = KEPT) -> None:
        n = self._random.randint(1, 40)
        numbers = np.arange(self._next, self._next + n)
        self._next += n
        keys = keys_of(numbers)
        self.store.put_many(fingerprint, keys, rows_of(keys), META)
        if fingerprint == KEPT:
            self._acknowledged.add(self._number, numbers)
        self.done["rows written"] += n

    def write_in_turn(self) -> None:
        with self.store.lock(KEPT):
            self.write()

    def write_to_prune(self) -> None:
        self.write(PRUNED)
        age(self.store.location / PRUNED[:32], "*.safetensors")
        look_up(self.store, np.arange(self._next - 40, self._next), self.faults, fingerprint=PRUNED)

    def read(self) -> None:
        if writers := self._acknowledged.writers():
            numbers = self._acknowledged.of(self._random.choice(writers))
            some = self._random.sample(range(len(numbers)), min(len(numbers), 200))
            self.done["rows read"] += look_up(self.store, numbers[some], self.faults)

    def compact(self) -> None:
        self.store.compact()

    def prune(self) -> None:
        self.store.prune(unused_for=DAY)

    def repair(self) -> None:
        self.faults.update(damaged_files(self.store.verify(repair=True)))

    def clear(self) -> None:
        with suppress(UnknownNameError):  # nothing was there
            self.store.clear(PRUNED[:8])

    def info(self) -> None:
        self.store.info()

    def record(self) -> None:
        self.store.put_record(PRUNED, "fit", {"number": np.full(9, self._number)}, {"number": self._number}, {})
        if found := self.store.get_record(PRUNED, "fit"):
            arrays, description = found
            self.faults["wrong records"] += int((arrays["number"] != description["number"]).any())


def damaged_files(table: pd.DataFrame) -> list[str]:
    """Say what `verify` found."""
    bad = table[(table["damaged"] > 0) | (table["error"] != "")]
    return [f"{row.segment}: {row.damaged} damaged rows, {row.error}" for row in bad.itertuples()]


def age(folder: Path, pattern: str) -> None:
    """Make files old enough to be pruned or swept."""
    old = time.time() - 3 * DAY
    for path in folder.glob(pattern):
        with suppress(FileNotFoundError):  # merged or pruned meanwhile
            os.utime(path, (old, old))


def start(run: Callable[[], None]) -> int:
    """Fork a process that runs this and ends; an error ends it with 1."""
    if child := os.fork():
        return child
    code = 1
    try:
        warnings.simplefilter("error")  # no file may stop a reader, nor be skipped by one
        run()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def board(size: int) -> mmap.mmap:
    """Bytes that forked processes share."""
    return mmap.mmap(-1, size)


def check_after(location: Path, acknowledged: np.ndarray, faults: Faults, *, damaged: int = 0) -> None:
    """Open a store anew when all processes have ended: everything is there, and a compaction leaves no traces."""
    look_up(EmbeddingStore(location), acknowledged, faults)
    for folder in location.iterdir():
        age(folder, f"{TEMPORARY}*")
    keys = keys_of([2**40])
    EmbeddingStore(location).put_many(KEPT, keys, rows_of(keys), META)  # the encoder goes on being used
    for _ in range(2 if damaged else 1):  # sound rows of what a compaction moves aside are merged by the next
        EmbeddingStore(location).compact()
    EmbeddingStore(location).prune(unused_for=DAY)
    look_up(EmbeddingStore(location), acknowledged, faults)
    faults.update(damaged_files(EmbeddingStore(location).verify()))
    names = [path.name for path in location.rglob("*")]
    faults["temporaries"] += sum(name.startswith(TEMPORARY) for name in names)
    indexes = [name for name in names if name.startswith("index-") and not name.endswith(DAMAGED)]
    faults["indexes"] += max(0, len(indexes) - len(os.listdir(location)))
    faults["files aside"] += sum(name.endswith(DAMAGED) for name in names) - damaged
    info = EmbeddingStore(location).info()
    faults["rows twice"] += int((info["rows"] - info["unique_rows"]).sum()) if len(info) else 0
