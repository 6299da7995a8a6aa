"""The store beside LMDB, SQLite, zarr, Lance and a .npy file a row: the same rows put, opened, looked up and gathered.

Rows come in parts of 16,384, as an encoder writes them, each under a random key of 16 bytes; the store, LMDB and SQLite
wait for the disk after every part. Each store is written by one process and read by fresh ones, from the page cache:
what a disk would add is not measured. zarr and Lance know positions, no keys: theirs are read when they are opened,
sorted, and searched.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

PART = 16_384
ASKED = 10_000
PRINT = "a1" * 32


class Featx:
    """An EmbeddingStore."""

    needs = "featx.store"

    def __init__(self, folder: Path, n: int, dim: int):
        from featx import EmbeddingStore

        self.store = EmbeddingStore(folder)

    def put(self, start: int, keys: np.ndarray, rows: np.ndarray) -> None:
        self.store.put_many(PRINT, keys, rows, {"encoder": {"name": "peers"}})

    def finish(self) -> None:
        pass

    def get(self, keys: np.ndarray) -> np.ndarray:
        return self.store.get_many(PRINT, keys)[1]


class Compacted(Featx):
    """The same, compacted in the end."""

    def finish(self) -> None:
        self.store.compact()


class Lmdb:
    """A B-tree in a mapped file."""

    needs = "lmdb"

    def __init__(self, folder: Path, n: int, dim: int):
        import lmdb

        self.dim = dim
        # A page more than the row, or two: what is reserved takes no room on disk.
        self.env = lmdb.open(str(folder), map_size=n * (4 * dim + 16_384) + (1 << 30))

    def put(self, start: int, keys: np.ndarray, rows: np.ndarray) -> None:
        with self.env.begin(write=True) as transaction, transaction.cursor() as cursor:
            cursor.putmulti((key.tobytes(), row.tobytes()) for key, row in zip(keys, rows, strict=True))

    def finish(self) -> None:
        self.env.close()

    def get(self, keys: np.ndarray) -> np.ndarray:
        rows = np.empty((len(keys), self.dim), np.float32)
        with self.env.begin(buffers=True) as transaction:
            for i in np.argsort(keys.view("S16").ravel()).tolist():
                rows[i] = np.frombuffer(transaction.get(keys[i].tobytes()), np.float32)
        return rows


class Sqlite:
    """A table of blobs."""

    needs = "sqlite3"

    def __init__(self, folder: Path, n: int, dim: int):
        folder.mkdir(exist_ok=True)
        self.dim = dim
        self.connection = sqlite3.connect(folder / "rows.sqlite")
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("CREATE TABLE IF NOT EXISTS rows (key BLOB PRIMARY KEY, row BLOB)")

    def put(self, start: int, keys: np.ndarray, rows: np.ndarray) -> None:
        with self.connection:
            records = ((key.tobytes(), row.tobytes()) for key, row in zip(keys, rows, strict=True))
            self.connection.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?)", records)

    def finish(self) -> None:
        self.connection.close()

    def get(self, keys: np.ndarray) -> np.ndarray:
        rows = np.empty((len(keys), self.dim), np.float32)
        for i in np.argsort(keys.view("S16").ravel()).tolist():
            (row,) = self.connection.execute("SELECT row FROM rows WHERE key = ?", (keys[i].tobytes(),)).fetchone()
            rows[i] = np.frombuffer(row, np.float32)
        return rows


class _Positions:
    """Where keys are, for stores that know positions."""

    def __init__(self, keys: np.ndarray):
        texts = np.ascontiguousarray(keys).view("S16").ravel()
        self.order = np.argsort(texts)
        self.sorted = texts[self.order]

    def find(self, keys: np.ndarray) -> np.ndarray:
        return self.order[np.searchsorted(self.sorted, keys.view("S16").ravel())]


class Zarr:
    """Arrays of keys and rows, in shards of a part with chunks of 16 rows, not compressed."""

    needs = "zarr"

    def __init__(self, folder: Path, n: int, dim: int):
        import zarr

        self.positions: _Positions | None = None
        if folder.exists():
            group = zarr.open_group(folder, mode="r")
            self.keys, self.rows = group["keys"], group["rows"]
            return
        group = zarr.open_group(folder, mode="w")
        self.keys = group.create_array("keys", shape=(n, 16), chunks=(PART, 16), dtype="uint8", compressors=None)
        self.rows = group.create_array(
            "rows", shape=(n, dim), chunks=(16, dim), shards=(PART, dim), dtype="float32", compressors=None
        )

    def put(self, start: int, keys: np.ndarray, rows: np.ndarray) -> None:
        self.keys[start : start + len(keys)] = keys
        self.rows[start : start + len(rows)] = rows

    def finish(self) -> None:
        pass

    def get(self, keys: np.ndarray) -> np.ndarray:
        self.positions = self.positions or _Positions(self.keys[:])
        at = self.positions.find(keys)
        order = np.argsort(at)
        rows = np.empty((len(keys), self.rows.shape[1]), np.float32)
        rows[order] = self.rows.oindex[at[order]]
        return rows


class Lance:
    """A dataset of keys and vectors."""

    needs = "lance"

    def __init__(self, folder: Path, n: int, dim: int):
        self.folder, self.positions = folder, None
        self.dataset: Any = None

    def put(self, start: int, keys: np.ndarray, rows: np.ndarray) -> None:
        import lance
        import pyarrow as pa

        vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])
        named = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(keys), [None, pa.py_buffer(keys.tobytes())])
        table = pa.table({"key": named, "row": vectors})
        lance.write_dataset(table, str(self.folder), mode="append" if start else "create")

    def finish(self) -> None:
        pass

    def get(self, keys: np.ndarray) -> np.ndarray:
        import lance

        if self.positions is None:
            self.dataset = lance.dataset(str(self.folder))
            column = self.dataset.to_table(columns=["key"])["key"].combine_chunks()
            self.positions = _Positions(np.frombuffer(column.buffers()[1], np.uint8).reshape(-1, 16))
        taken = self.dataset.take(self.positions.find(keys), columns=["row"])["row"].combine_chunks()
        return taken.values.to_numpy().reshape(len(keys), -1)


class Files:
    """A .npy file a row, in 256 folders."""

    needs = "numpy"

    def __init__(self, folder: Path, n: int, dim: int):
        self.folder, self.dim = folder, dim
        if not folder.exists():
            for i in range(256):
                (folder / f"{i:02x}").mkdir(parents=True)

    def put(self, start: int, keys: np.ndarray, rows: np.ndarray) -> None:
        for key, row in zip(keys, rows, strict=True):
            np.save(self._file(key), row)

    def finish(self) -> None:
        pass

    def get(self, keys: np.ndarray) -> np.ndarray:
        rows = np.empty((len(keys), self.dim), np.float32)
        for i, key in enumerate(keys):
            rows[i] = np.load(self._file(key))
        return rows

    def _file(self, key: np.ndarray) -> Path:
        name = key.tobytes().hex()
        return self.folder / name[:2] / f"{name}.npy"


STORES: dict[str, type] = {
    "featx": Featx,
    "featx, compacted": Compacted,
    "LMDB": Lmdb,
    "SQLite": Sqlite,
    "Lance": Lance,
    "zarr": Zarr,
    "a file a row": Files,
}
COLUMNS = ("put, s", "opening, ms", "look-up, ms", "disk, of the rows", "memory, MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--rows", type=int, default=100_000)
    add("--dim", type=int, default=512)
    add("--stores", nargs="+", choices=STORES, default=list(STORES), metavar="NAME", help=", ".join(STORES))
    add("--processes", type=int, default=3)
    add("--draws", type=int, default=5, help="look-ups of a process, each of fresh random keys")
    add("--folder", type=Path, help="where there is room for the rows twice; default: temporary")
    add("--chart", type=Path, help="draw it, to this file")
    add("--step", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        step(*arguments.step, arguments)
        return
    print(f"{arguments.rows:,} rows of {arguments.dim} numbers; look-up and gather of {ASKED:,} random keys, medians")
    print(f"  {'':18}" + "".join(f"{column:>19}" for column in COLUMNS))
    table = {}
    for name in arguments.stores:
        if importlib.util.find_spec(STORES[name].needs) is None:
            print(f"  {name:18}  {STORES[name].needs} is not installed")
            continue
        table[name] = measure(name, arguments)
        print(f"  {name:18}" + "".join(f"{value:19,.1f}" for value in table[name]), flush=True)
    if arguments.chart:
        draw(table, arguments)


def measure(name: str, arguments: argparse.Namespace) -> list[float]:
    """The columns of a store's line."""
    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        (put,) = call(name, Path(scratch), arguments, "put")
        used = sum(file.stat().st_blocks for file in Path(scratch, "store").rglob("*") if file.is_file()) * 512
        done = [call(name, Path(scratch), arguments, "get") for _ in range(arguments.processes)]
        opening, asked, grown = (statistics.median(values) for values in zip(*done, strict=True))
    of_rows = used / (4 * arguments.rows * arguments.dim)
    return [put, 1e3 * opening, 1e3 * asked, of_rows, grown / 1e6]


def call(name: str, scratch: Path, arguments: argparse.Namespace, what: str) -> list[float]:
    command = [sys.executable, "-m", "tests.benchmarks.store_peers", "--step", what, name]
    for option in ("rows", "dim", "draws"):
        command += [f"--{option}", str(getattr(arguments, option))]
    command += ["--folder", str(scratch)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [float(value) for value in done.stdout.split()]


def step(what: str, name: str, arguments: argparse.Namespace) -> None:
    """Put all rows, or open a store and look some up, in this process, and print what it took."""
    folder, n, dim = arguments.folder / "store", arguments.rows, arguments.dim
    if what == "put":
        seconds = 0.0
        np.save(arguments.folder / "keys.npy", np.random.default_rng(0).integers(0, 256, (n, 16), np.uint8))
        keys = np.load(arguments.folder / "keys.npy")
        store = STORES[name](folder, n, dim)
        for start, rows in parts(n, dim):
            started = time.perf_counter()
            store.put(start, keys[start : start + len(rows)], rows)
            seconds += time.perf_counter() - started
        started = time.perf_counter()
        store.finish()
        print(seconds + time.perf_counter() - started)
        return
    for file in folder.rglob("*"):
        if file.is_file():
            with open(file, "rb") as opened:
                while opened.read(1 << 24):
                    pass
    keys = np.load(arguments.folder / "keys.npy", mmap_mode="r")
    rng = np.random.default_rng()
    asked = [keys[rng.integers(0, n, ASKED)] for _ in range(arguments.draws)]
    importlib.import_module(STORES[name].needs)
    before = private_bytes()
    started = time.perf_counter()
    store = STORES[name](folder, n, dim)
    store.get(keys[:1])
    opening = time.perf_counter() - started
    _, expected = next(parts(n, dim))
    np.testing.assert_array_equal(store.get(np.ascontiguousarray(keys[:100][::-1])), expected[:100][::-1])
    del expected
    seconds_each = []
    for some in asked:
        started = time.perf_counter()
        rows = store.get(some)
        seconds_each.append(time.perf_counter() - started)
        assert rows.shape == (ASKED, dim)
        del rows
    print(opening, statistics.median(seconds_each), private_bytes() - before)


def parts(n: int, dim: int) -> Iterator[tuple[int, np.ndarray]]:
    rng = np.random.default_rng(1)
    for start in range(0, n, PART):
        yield start, rng.random((min(PART, n - start), dim), np.float32)


def private_bytes() -> int:
    ctypes.CDLL(None).malloc_trim(0)
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return 1024 * int(line.split()[1])


def draw(table: dict[str, list[float]], arguments: argparse.Namespace) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 3), layout="constrained")
    figure.suptitle(f"{arguments.rows:,} rows of {arguments.dim} float32; look-up of {ASKED:,} random keys")
    for i, (axes, column) in enumerate(zip(figure.subplots(1, len(COLUMNS), sharey=True), COLUMNS, strict=True)):
        bars = axes.barh(list(table), [values[i] for values in table.values()], color="#4c72b0")
        axes.bar_label(bars, fmt="{:,.1f}", padding=2, fontsize=8)
        axes.set_title(column, fontsize=10)
        axes.set_xscale("log" if column != "disk, of the rows" else "linear")
        axes.margins(x=0.45)
    figure.axes[0].invert_yaxis()
    figure.savefig(arguments.chart, dpi=150)


if __name__ == "__main__":
    main()
