"""The warm path: 10,000 known paths in the first call of a new process, and where its time goes."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

# Of a segment.
ROWS = 256

FIRST_CALL = """
import sys, time
import numpy, sklearn.pipeline, featx
paths = open(sys.argv[2]).read().split("\\n")
encoder = featx.ImageEncoder(cache=sys.argv[1], verbose=0)
{spies}
started = time.perf_counter()
rows = encoder.transform(paths)
total = time.perf_counter() - started
assert rows.shape == (len(paths), 1280) and "torch" not in sys.modules
parts = [{parts}]
started = time.perf_counter()
encoder.transform(paths)
again = time.perf_counter() - started
print(*(1e6 * seconds / len(paths) for seconds in (total, again, *parts)))
"""
# Where the time goes: label, module, function.
PARTS = (
    ("stat", "featx.images._source", "stat_file"),
    ("memo look-up", "featx.images._memo", "DigestMemo.lookup"),
    ("digest (stat, memo in it)", "featx.extraction._extract", "digest_unread"),
    ("distinct keys", "featx.extraction._table", "Table.__init__"),
    ("store", "featx.extraction._table", "Table.look_up"),
    ("store (in it): open, index", "featx.store._folder", "Folder.refresh"),
    ("store (in it): gather, check", "featx.store._segment", "Segment.gather"),
)
SPY = """
import importlib, operator
spent = []
def spy(i, module, name):
    holder, _, name = name.rpartition(".")
    owner = importlib.import_module(module)
    owner = operator.attrgetter(holder)(owner) if holder else owner
    function = getattr(owner, name)
    spent.append(0.0)
    def timed(*args, **kwargs):
        t = time.perf_counter()
        result = function(*args, **kwargs)
        spent[i] += time.perf_counter() - t
        return result
    setattr(owner, name, timed)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        listing, store = prepare(Path(scratch), arguments.images)
        plain = FIRST_CALL.format(spies="", parts="")
        spies = SPY + "".join(f"spy({i}, {module!r}, {name!r})\n" for i, (_, module, name) in enumerate(PARTS))
        spied = FIRST_CALL.format(spies=spies, parts="*spent")
        totals = np.array([run(plain, store, listing) for _ in range(arguments.runs)])
        parts = np.array([run(spied, store, listing) for _ in range(arguments.runs)])
        loaded = [time_numpy_load(Path(scratch), arguments.images) for _ in range(arguments.runs)]
    print(f"{arguments.images:,} paths, microseconds an image, medians of {arguments.runs} new processes")
    print(f"  first call                          {np.median(totals[:, 0]):6.1f}")
    print(f"  second call                         {np.median(totals[:, 1]):6.1f}")
    for (label, *_), value in zip(PARTS, np.median(parts[:, 2:], axis=0), strict=True):
        print(f"    {label:32}  {value:6.1f}")
    print(f"  numpy.load of the same matrix       {statistics.median(loaded):6.1f}")


def prepare(scratch: Path, n: int) -> tuple[Path, Path]:
    """Write n distinct small files, a store that knows them, and its rows as an array."""
    listing, store = scratch / "paths.txt", scratch / "store"
    np.save(scratch / "rows.npy", write_known(listing, n, [str(store)]))
    run(FIRST_CALL.format(spies="", parts=""), store, listing)
    return listing, store


def write_known(listing: Path, n: int, locations: Sequence[str]) -> np.ndarray:
    """Write n distinct small files beside a listing of them, and stores that know them, as segments of 256 rows."""
    import featx
    from featx.encoders import resolve
    from featx.images import load

    folder = listing.with_name("images")
    folder.mkdir()
    rng = np.random.default_rng(0)
    paths = [folder / f"{i:06}.png" for i in range(n)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(path)
    listing.write_text("\n".join(map(str, paths)))
    keys = np.frombuffer(b"".join(load(path)[0] for path in paths), np.uint8).reshape(n, 16)
    rows = rng.normal(size=(n, 1280)).astype(np.float32)
    (spec,) = resolve("efficientnet_lite0")
    for store in map(featx.EmbeddingStore, locations):
        for start in range(0, n, ROWS):
            part = slice(start, start + ROWS)
            store.put_many(spec.fingerprint(), keys[part], rows[part], {"encoder": {"name": "efficientnet_lite0"}})
    time.sleep(2.5)  # files younger than two seconds are not trusted by the memo
    return rows


def run(program: str, store: Path, listing: Path) -> list[float]:
    command = [sys.executable, "-c", program, str(store), str(listing)]
    return [float(value) for value in subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.split()]


def time_numpy_load(scratch: Path, n: int) -> float:
    started = time.perf_counter()
    np.load(scratch / "rows.npy")
    return 1e6 * (time.perf_counter() - started) / n


if __name__ == "__main__":
    main()
