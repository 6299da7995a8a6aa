"""Stores of more and more rows: opening, memory a row, look-up; as written, compacted, and by another checkout.

The other one is a folder, such as ``git worktree add ../before 97c1164`` makes. Segments of 16,384 rows are written;
each figure is the median of fresh processes, which ask for random keys, others each time. All files are read once
before, so that they are in the page cache: what a disk or a bucket would add is not measured. ``--paper`` prints,
instead, what a billion images would take by arithmetic.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

PRINT = "a1" * 32
SEGMENT = 16_384
ASKED = 10_000
# Of a compacted store.
SEGMENT_BYTES, KEY_BYTES, NAME_BYTES, BLOCK = 1 << 28, 16, 45, 256
# Images a second: EfficientNet-Lite0 on two processors, as side_by_side.py measured; a cluster of 800 such.
RATES = (123, 100_000)
PROGRAM = """
import ctypes, statistics, sys, time
from pathlib import Path
import numpy as np
from featx import EmbeddingStore
location, fingerprint, asked, draws = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
def private_bytes():
    ctypes.CDLL(None).malloc_trim(0)
    (line,) = [line for line in open("/proc/self/status") if line.startswith("RssAnon")]
    return 1024 * int(line.split()[1])
for path in Path(location).glob("*/*.safetensors"):
    with open(path, "rb") as file:
        while file.read(1 << 24):
            pass
all_keys = np.load(location + ".npy", mmap_mode="r")
rng = np.random.default_rng()
keys = [all_keys[rng.integers(0, len(all_keys), asked)] for _ in range(draws)]
EmbeddingStore(location + "/none").get_many(fingerprint, keys[0])  # imports
before = private_bytes()
store = EmbeddingStore(location)
started = time.perf_counter()
store.get_many(fingerprint, keys[0][:1])
opening = time.perf_counter() - started
seconds = []
for some in keys:
    started = time.perf_counter()
    found, rows = store.get_many(fingerprint, some)
    seconds.append(time.perf_counter() - started)
    assert found.all() and len(rows) == asked
    del found, rows
    if len(seconds) == 1:
        grown = private_bytes() - before
print(opening, grown, seconds[0], statistics.median(seconds[1:]))
"""
COMPACT = """
import resource, sys, time
import featx
started = time.perf_counter()
featx.EmbeddingStore(sys.argv[1]).compact()
print(time.perf_counter() - started, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
BUILDS = ("before", "as written", "compacted")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    add("--dim", type=int, default=64)
    add("--before", type=Path, help="another checkout of featx")
    add("--folder", type=Path, help="where there is room for the largest store twice; default: temporary")
    add("--draws", type=int, default=21, help="look-ups of a process, each of fresh random keys")
    add("--processes", type=int, default=3)
    add("--paper", action="store_true", help="a billion images, by arithmetic")
    arguments = parser.parse_args()
    if arguments.paper:
        print_paper()
        return
    print(f"rows of {arguments.dim} numbers, segments of {SEGMENT:,} rows; medians of {arguments.processes} processes")
    print(f"look-up and gather of {ASKED:,} random keys: the first of a process, the median of the others")
    print("   rows, store               opening, ms  memory, MB  bytes a row  first, ms  others, ms")
    kept: dict[tuple[int, str], list[float]] = {}
    for n in sorted(arguments.rows):
        for build, figures in measure(n, arguments).items():
            kept[n, build] = figures
            opening, grown, first, others = figures
            print(
                f"  {n:11,}, {build:10}  {1e3 * opening:12.1f}  {grown / 1e6:10.2f}  {grown / n:11.2f}  "
                f"{1e3 * first:9.1f}  {1e3 * others:10.1f}",
                flush=True,
            )
    least, most = min(arguments.rows), max(arguments.rows)
    for build in BUILDS:
        if (most, build) in kept:
            times = kept[most, build][3] / kept[least, build][3]
            print(f"  {build}: look-up among {most:,} rows takes {times:.2f} times that among {least:,}")
    if (most, "before") in kept:
        print(f"  opening {most:,}, before / compacted: {kept[most, 'before'][0] / kept[most, 'compacted'][0]:.0f}")


def measure(n: int, arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Opening in seconds, private memory in bytes, look-ups in seconds, of each build, for a store of n rows."""
    this = Path(__file__).parents[2]
    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        location = Path(scratch, "store")
        write(location, n, arguments.dim)
        command = [PROGRAM, location, PRINT, ASKED, arguments.draws]
        figures = {}
        if arguments.before:
            figures["before"] = run(arguments.before, command, arguments.processes)
        figures["as written"] = run(this, command, arguments.processes)
        seconds, peak = run(this, [COMPACT, location], 1)
        print(f"  {n:11,}, compact()   {seconds:.1f} s, at most {peak / 1e6:,.0f} MB in memory, libraries included")
        return figures | {"compacted": run(this, command, arguments.processes)}


def write(location: Path, n: int, dim: int) -> None:
    """Write a store of n rows, and its keys beside it."""
    from featx import EmbeddingStore

    store, rng = EmbeddingStore(location), np.random.default_rng(0)
    location.mkdir()
    keys = np.lib.format.open_memmap(f"{location}.npy", "w+", np.uint8, (n, KEY_BYTES))
    for start in range(0, n, SEGMENT):
        part = rng.integers(0, 256, (min(SEGMENT, n - start), KEY_BYTES), np.uint8)
        keys[start : start + SEGMENT] = part
        store.put_many(PRINT, part, rng.random((len(part), dim), np.float32), {"encoder": {"name": "growth"}})
    keys.flush()


def run(checkout: Path, program: list[object], processes: int) -> list[float]:
    """Medians of the numbers that a program prints."""
    environment = {**os.environ, "PYTHONPATH": str(checkout.absolute())}
    command = [sys.executable, "-c", *map(str, program)]
    done = [
        subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
        for _ in range(processes)
    ]
    return [statistics.median(map(float, values)) for values in zip(*done, strict=True)]


def print_paper(n: int = 10**9, dim: int = 1280) -> None:
    """What n images would take, by the format's arithmetic and the rates above."""
    print(f"{n:,} images, {dim:,} numbers each")
    for name, width in (("float32", 4), ("float16", 2)):
        row = KEY_BYTES + 8 + width * dim
        objects = -(-n * row // SEGMENT_BYTES)
        met = objects * (1 - (1 - 1 / objects) ** ASKED)
        print(f"  {name}: {n * row / 1e12:.2f} TB, {objects:,} objects of {SEGMENT_BYTES / 1e6:.0f} MB")
        print(f"    a listing, 1,000 names an answer: {-(-objects // 1000)} requests")
        print(f"    names in the index's header: {objects * NAME_BYTES / 1e6:.1f} MB")
        print(f"    {ASKED:,} random rows: in {met:,.0f} objects, {met * SEGMENT_BYTES / 1e12:.2f} TB if read whole; ")
        print(f"      {ASKED:,} requests and {ASKED * width * dim / 1e6:.0f} MB if in ranges")
    memory = -(-n // BLOCK) * (KEY_BYTES + 4)
    print(f"  index: {n * (KEY_BYTES + 8 + 4 + 4) / 1e9:.0f} GB; first keys and sums in memory: {memory / 1e6:.0f} MB")
    for rate in RATES:
        print(f"  encoding at {rate:,} images a second: {n / rate / 3600:,.1f} hours")


if __name__ == "__main__":
    main()
