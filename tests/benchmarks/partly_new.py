"""A folder of which 1 % is new since yesterday: featx's store beside joblib.Memory around the same network.

joblib.Memory is keyed by the whole input, so it encodes everything again; featx encodes the new images.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import joblib

import featx
from tests.benchmarks.photos import write_distinct


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--share", type=float, default=0.01, help="that is new; default: %(default)s")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        paths = write_distinct(Path(scratch), arguments.images)
        time.sleep(3)  # yesterday: files that are hashed within 2 s of their writing are hashed again
        known = paths[: round(len(paths) * (1 - arguments.share))]
        cached = featx.ImageEncoder(cache=f"{scratch}/store", verbose=0).transform
        memory = joblib.Memory(f"{scratch}/joblib", verbose=0)
        remembered = memory.cache(featx.ImageEncoder(cache=False, verbose=0).transform)
        cached(known)
        remembered(known[:64])  # the network is loaded
        seconds = {name: timed(function, paths) for name, function in (("featx", cached), ("joblib", remembered))}
    print(f"{len(paths):,} images, {len(paths) - len(known):,} of them new")
    for name, spent in seconds.items():
        print(f"{name:8} {spent:8.2f} s   {spent / seconds['featx']:6.1f}x")


def timed(function, paths) -> float:
    started = time.perf_counter()
    function(paths)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
