"""Kill writers: at seeded moments, or at each step of an operation that meets the file system.

``python -m tests.store.kill --kills 1000`` prints what was killed and what was lost.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from featx.store import EmbeddingStore
from featx.store._segment import Segment
from tests.store.workers import (
    DAY,
    KEPT,
    META,
    PRUNED,
    Acknowledged,
    Faults,
    Worker,
    age,
    board,
    check_after,
    keys_of,
    look_up,
    make_small,
    rows_of,
    start,
)

PROCESSES = 3
# Seconds between two kills.
_LONGEST = 0.05
_LOOK_EVERY = 20


def kill_at_random(home: Path, kills: int, seed: int) -> dict[str, object]:
    """Kill one of three processes, start another in its place, look at the store, and so on."""
    make_small()
    rng = random.Random(seed)
    location, acknowledged = home / "store", Acknowledged(home / "acknowledged")
    faults, killed = Faults(), Counter()
    doing = board(PROCESSES)

    def run(slot: int, number: int) -> None:
        worker = Worker(location, acknowledged, number, seed)
        while True:
            doing[slot] = action = worker.draw()
            worker.act(action)
            assert not +worker.faults, worker.faults

    children = [start(partial(run, slot, slot)) for slot in range(PROCESSES)]
    started = time.perf_counter()
    for i in range(kills):
        time.sleep(rng.uniform(0, _LONGEST))
        slot = rng.randrange(PROCESSES)
        os.kill(children[slot], signal.SIGKILL)
        _, status = os.waitpid(children[slot], 0)
        faults["errors"] += not os.WIFSIGNALED(status)  # it had ended before, which is said on stderr
        killed[Worker.NAMES[doing[slot]]] += 1
        children[slot] = start(partial(run, slot, PROCESSES + i))
        if i % _LOOK_EVERY == 0:
            look_up(EmbeddingStore(location), acknowledged.all(), faults)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    seconds = time.perf_counter() - started
    left = sum(1 for _ in location.glob("*/.tmp-*"))
    rows = acknowledged.all()
    check_after(location, rows, faults)
    return {
        "kills": kills + PROCESSES,
        "killed in": dict(killed),
        "rows acknowledged": len(rows),
        "half-written files left by the killed": left,
        "seconds": round(seconds, 1),
        "faults": dict(+faults),
    }


def _put(location: Path, first: int, n: int, fingerprint: str = KEPT) -> np.ndarray:
    numbers = np.arange(first, first + n)
    keys = keys_of(numbers)
    EmbeddingStore(location).put_many(fingerprint, keys, rows_of(keys), META)
    return numbers


def _segments(location: Path, n: int, first: int = 0) -> np.ndarray:
    return np.concatenate([np.arange(0), *(_put(location, first + 5 * i, 5) for i in range(n))])


def _indexed(location: Path) -> np.ndarray:
    """Two segments in an index, and three beside them."""
    old = _segments(location, 2)
    EmbeddingStore(location).compact()
    old = np.concatenate([old, _segments(location, 2, 100)])
    EmbeddingStore(location).compact()
    return np.concatenate([old, _segments(location, 3, 200)])


def _with_damage(location: Path) -> np.ndarray:
    """An index whose first segment has a row that is not what was written; says which rows are."""
    numbers = _indexed(location)
    path = min(location.glob("*/[0-9a-f]*.safetensors"))
    data = bytearray(path.read_bytes())
    data[Segment(path)._layout.starts["rows"]] ^= 1
    path.write_bytes(data)
    return numbers[1:]


def _with_damaged_index(location: Path) -> np.ndarray:
    numbers = _indexed(location)
    (path,) = location.glob("*/index-*")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    return numbers


def _with_old_rows(location: Path) -> np.ndarray:
    """A second encoder, whose rows were not used for long; and a first one with an index, of which one segment is."""
    _put(location, 900, 5, PRUNED)
    EmbeddingStore(location).compact()
    _put(location, 910, 5, PRUNED)
    age(location / PRUNED[:32], "*.safetensors")
    numbers = _indexed(location)
    oldest = min((location / KEPT[:32]).glob("[0-9a-f]*.safetensors"))
    gone = len(Segment(oldest))
    age(location / KEPT[:32], oldest.name)
    return numbers[gone:]


def _in_turn(location: Path) -> None:
    store = EmbeddingStore(location)
    with store.lock(KEPT):
        pass


def _write_in_turn(location: Path) -> None:
    store = EmbeddingStore(location)
    with store.lock(KEPT):
        keys = keys_of(np.arange(500, 505))
        store.put_many(KEPT, keys, rows_of(keys), META)


def _put_record(location: Path) -> None:
    EmbeddingStore(location).put_record(KEPT, "network", {"weights": np.ones(3)}, {}, {"name": "example"})


# What is made, and what is killed.
Prepare, Operate = Callable[[Path], np.ndarray], Callable[[Path], object]
OPERATIONS: dict[str, tuple[Prepare, Operate]] = {
    "the first write": (lambda location: _segments(location, 0), partial(_put, first=500, n=5)),
    "a write": (partial(_segments, n=2), partial(_put, first=500, n=5)),
    "a merge": (partial(_segments, n=10), _write_in_turn),
    "a compaction": (_indexed, lambda location: EmbeddingStore(location).compact()),
    "a compaction that repairs": (_with_damage, lambda location: EmbeddingStore(location).compact()),
    "a repair": (_with_damage, lambda location: EmbeddingStore(location).verify(repair=True)),
    "a repair of an index": (_with_damaged_index, lambda location: EmbeddingStore(location).verify(repair=True)),
    "a clearing": (_with_old_rows, lambda location: EmbeddingStore(location).clear(PRUNED[:8])),
    "a record": (partial(_segments, n=2), _put_record),
    "a pruning": (_with_old_rows, lambda location: EmbeddingStore(location).prune(unused_for=DAY)),
}


def kill_at_each_step(home: Path, name: str) -> dict[str, object]:
    """Kill an operation before its k-th step that changes a file of the store, for every k, each in a new store."""
    make_small()
    prepare, operate = OPERATIONS[name]
    original = home / "original"
    original.mkdir()
    numbers = prepare(original)
    faults = Faults()
    k, killed = 0, True
    while killed:
        location = home / str(k)
        shutil.copytree(original, location)  # with its files' times
        killed = _killed_at(k, location, partial(operate, location))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore" if "repair" in name else "error")
            check_after(location, numbers, faults, damaged=_aside(location) if "repair" in name else 0)
        shutil.rmtree(location)
        k += 1
    return {"steps": k - 1, "faults": dict(+faults)}


def _aside(location: Path) -> int:
    """Repairing moves one file aside, if it gets there before it is killed or afterwards."""
    return 1 if any(location.glob("*/*.safetensors")) else 0


# Between two of these a kill leaves the same files.
_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.utime", "os.truncate"}


def _changes(event: str, arguments: tuple) -> bool:
    """Whether an audit event of Python's, raised before the system is called, is of a call that changes files."""
    return event in _CHANGES or (event == "open" and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)))


def _killed_at(k: int, location: Path, operate: Operate) -> bool:
    """Let a process do something until it would change a file for the k-th time; say whether it was killed."""

    def run() -> None:
        left = [k]

        def count(event: str, arguments: tuple) -> None:
            if _changes(event, arguments) and str(arguments[0]).startswith(str(location)):
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1

        sys.addaudithook(count)
        warnings.simplefilter("ignore")
        operate()

    _, status = os.waitpid(start(run), 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps-of", choices=list(OPERATIONS), help="instead: kill this before each of its steps")
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if parsed.steps_of:
            told = kill_at_each_step(home, parsed.steps_of)
        else:
            told = kill_at_random(home, parsed.kills, parsed.seed)
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
