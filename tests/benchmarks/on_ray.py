"""Workers of Ray beside one process: images a second, the driver's memory, and what a killed worker costs."""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import featx
from featx.images import DigestMemo, digest_many
from tests.benchmarks.photos import write_distinct

_WORKERS = 2
_SECONDS = 0.1
_BETWEEN = 0.5


class NotingStore(featx.EmbeddingStore):
    """A store that notes when which process looked rows up in vain, and wrote some."""

    def get_many(self, fingerprint, keys):
        found, rows = super().get_many(fingerprint, keys)
        self._note("missing", int((~found).sum()))
        return found, rows

    def put_many(self, fingerprint, keys, rows, meta) -> None:
        super().put_many(fingerprint, keys, rows, meta)
        self._note("put", len(keys))

    def _note(self, what: str, n: int) -> None:
        with open(f"{self.location}.notes", "a") as file:
            file.write(f"{what} {time.time()} {os.getpid()} {n}\n")

    def notes(self, what: str = "put") -> Iterator[tuple[float, int, int]]:
        """Time, process and rows, in order."""
        for line in Path(f"{self.location}.notes").read_text().splitlines():
            kind, when, process, n = line.split()
            if kind == what:
                yield float(when), int(process), int(n)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["rate", "memory", "killed"])
    parser.add_argument("--images", type=int, help="default: 4,000 for the rate, 20,000 for memory, 2,000 for killed")
    parser.add_argument("--runs", type=int, default=2, help="of the rate, in turns")
    parser.add_argument("--child", nargs=3, metavar=("ENGINE", "LIST", "STORE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        run(arguments.part, *arguments.child)
        return
    n = arguments.images or {"rate": 4_000, "memory": 20_000, "killed": 2_000}[arguments.part]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        listing = folder / "images.txt"
        listing.write_text("\n".join(write_distinct(folder, n)))
        if arguments.part == "rate":
            compare_rates(folder, listing, n, arguments.runs)
        elif arguments.part == "memory":
            print(f"{n:,} images, small network: the driver's own memory at the first rows and after each quarter, MB")
            print(", ".join(f"{size:.0f}" for size in start("memory", "ray", listing, folder / "store")["quarters"]))
        else:
            told = start("killed", "ray", listing, folder / "store")
            print(f"{n:,} images, a worker killed after a third: {told['ok']:,} ok, {told['stored']:,} in the store")
            print(f"{told['twice']} rows, of batches of 128, it had begun and not kept: at most these are done twice")


def compare_rates(folder: Path, listing: Path, n: int, runs: int) -> None:
    """EfficientNet-Lite0, from the first rows of all processes to the last row."""
    images = listing.read_text().split("\n")
    featx.ImageEncoder(cache=False, verbose=0).transform(images[:64])  # converts the network
    with ThreadPoolExecutor() as pool:
        digest_many(images, memo=DigestMemo(), pool=pool)  # each run finds the digests
    rates: dict[str, list[float]] = {"here": [], "ray": []}
    starts: dict[str, list[float]] = {"here": [], "ray": []}
    for i in range(runs):
        for engine in rates:
            told = start("rate", engine, listing, folder / f"{engine}{i}")
            rates[engine].append(told["rate"])
            starts[engine].append(told["start"])
    print(f"{n:,} images, {runs} runs in turns, {os.cpu_count()} processors")
    for engine, name in (("here", "one process"), ("ray", f"{_WORKERS} workers of Ray")):
        rate, started = statistics.median(rates[engine]), statistics.median(starts[engine])
        print(f"{name}: {rate:.1f} images/s, {started:.1f} s before the first rows")
    ratios = [theirs / ours for ours, theirs in zip(rates["here"], rates["ray"], strict=True)]
    print(f"ratio: {statistics.median(ratios):.2f} ({', '.join(f'{ratio:.2f}' for ratio in ratios)})")


def start(part: str, engine: str, listing: Path, store: Path) -> dict:
    command = [sys.executable, "-m", "tests.benchmarks.on_ray", part, "--child", engine, str(listing), str(store)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def run(part: str, engine: str, listing: str, location: str) -> None:
    from tests.benchmarks.on_ray import NotingStore  # by its name, which workers can import
    from tests.networks import tiny_encoder

    store = NotingStore(location)
    images = Path(listing).read_text().split("\n")
    began = time.time()
    if part == "rate":
        if engine == "here":
            featx.ImageEncoder(cache=store, verbose=0).transform(images)
        else:
            featx.precompute(images, cache=store, engine="ray", concurrency=_WORKERS, verbose=0)
        print(json.dumps(rate_of(list(store.notes()), began)))
    elif part == "memory":
        sizes: list[tuple[float, float]] = []
        threading.Thread(target=watch, args=(sizes,), daemon=True).start()
        featx.precompute(images, tiny_encoder(), cache=store, engine="ray", concurrency=_WORKERS, verbose=0)
        print(json.dumps({"quarters": quarters(sizes, list(store.notes()))}))
    else:
        killed: list[int] = []
        threading.Thread(target=kill_one, args=(store, len(images) // 3, killed), daemon=True).start()
        table = featx.precompute(images, cache=store, engine="ray", concurrency=_WORKERS, verbose=0)
        stored = int(store.info()["unique_rows"].sum())
        print(json.dumps({"ok": int(table["ok"].sum()), "stored": stored, "twice": lost_by(store, killed[0])}))


def rate_of(puts: list[tuple[float, int, int]], began: float) -> dict:
    """Count the rows that come after the first ones of each process; time counts from the first of all."""
    firsts: dict[int, int] = {}
    for _, process, n in puts:
        firsts.setdefault(process, n)
    rows = sum(n for _, _, n in puts) - sum(firsts.values())
    return {"rate": rows / max(puts[-1][0] - puts[0][0], 1e-9), "start": puts[0][0] - began}


def watch(sizes: list[tuple[float, float]]) -> None:
    """Note the memory of this process that is no file and not shared, in MB; Linux tells it."""
    while True:
        status = Path("/proc/self/status").read_text()
        size = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))
        sizes.append((time.time(), size / 1024))
        time.sleep(_SECONDS)


def quarters(sizes: list[tuple[float, float]], puts: list[tuple[float, int, int]]) -> list[float]:
    total, done, ends = sum(n for _, _, n in puts), 0, [puts[0][0]]
    for when, _, n in puts:
        done += n
        if 4 * done >= total * len(ends):
            ends.append(when)
    return [max(size for when, size in sizes if when <= end) for end in ends]


def kill_one(store: NotingStore, after: int, killed: list[int]) -> None:
    while True:
        time.sleep(_SECONDS)
        if Path(f"{store.location}.notes").exists() and sum(n for _, _, n in store.notes()) >= after:
            time.sleep(_BETWEEN)  # it is in the middle of the next ones
            *_, (_, process, _) = store.notes("missing")
            killed.append(process)
            os.kill(process, signal.SIGKILL)
            return


def lost_by(store: NotingStore, process: int) -> int:
    """Count the rows that a process had begun when it was killed: those that it looked up last, unless it kept them."""
    last = max(((when, n) for when, who, n in store.notes("missing") if who == process), default=(0.0, 0))
    kept = max((when for when, who, _ in store.notes() if who == process), default=0.0)
    return last[1] if last[0] > kept else 0


if __name__ == "__main__":
    main()
