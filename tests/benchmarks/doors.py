"""Cells of other kinds beside paths: warm calls of each in a new process, and what a stream of them holds in memory."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks.photos import write_distinct

# Cells are made, or the table is read, before the clock starts: what is timed is the call.
CALL = """
import resource, sys, time
import featx
from featx._image_encoder import extraction_of
kind, folder, store, cold = sys.argv[1:]
paths = open(folder + "/paths.txt").read().split("\\n")
if kind == "paths":
    X = paths
elif kind == "bytes":
    X = [{"bytes": open(path, "rb").read(), "path": None} for path in paths]
elif kind == "arrow":
    import pyarrow.parquet as pq
    X = pq.read_table(folder + "/photos.parquet")["image"]
elif kind == "polars":
    import polars as pl
    X = pl.read_parquet(folder + "/photos.parquet")["image"]
else:
    X = featx.read_image_table(folder + "/photos." + kind)["image"]
network = "efficientnet_lite0"
if cold:
    from featx.finetune import small_encoder
    network = small_encoder(28)
encoder = featx.ImageEncoder(network, cache=store, verbose=0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
started = time.perf_counter()
rows = encoder.transform(X)
seconds = time.perf_counter() - started
more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 - rows.nbytes
print(seconds, more / 1e6, float(abs(rows.astype("f8")).sum()))
"""
KINDS = ("paths", "bytes", "arrow", "polars", "parquet", "tar")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--cold", action="store_true", help="encode them, by a small network; prints memory")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        paths = write_distinct(Path(scratch), arguments.images)
        Path(scratch, "paths.txt").write_text("\n".join(paths))
        write_others(Path(scratch), paths)
        bytes_an_image = sum(Path(path).stat().st_size for path in paths) / len(paths)
        print(f"{arguments.images:,} images of {bytes_an_image / 1000:.1f} kB")
        if arguments.cold:
            for kind in arguments.kinds:
                seconds, more, _ = call(kind, scratch, Path(scratch, f"store-{kind}"), "cold")
                rate = len(paths) / seconds
                print(f"{kind:8} cold {rate:6.0f} images/s, {more:6.0f} MB more, without the output", flush=True)
            return
        call("paths", scratch, Path(scratch, "store"))
        kinds = dict.fromkeys(["paths", *arguments.kinds])
        for kind in kinds:  # remembers what it can
            call(kind, scratch, Path(scratch, "store"))
        found = {kind: [call(kind, scratch, Path(scratch, "store")) for _ in range(arguments.runs)] for kind in kinds}
        base = statistics.median(seconds for seconds, _, _ in found["paths"])
        for kind, runs in found.items():
            seconds = statistics.median(seconds for seconds, _, _ in runs)
            assert len({total for _, _, total in runs + found["paths"]}) == 1
            print(f"{kind:8} warm {seconds:6.3f} s, {seconds / base:5.2f}x paths")


def write_others(folder: Path, paths: list[str]) -> None:
    import tarfile

    schema = pa.schema({"image": pa.struct({"bytes": pa.binary(), "path": pa.string()})})
    with pq.ParquetWriter(folder / "photos.parquet", schema) as writer:
        for start in range(0, len(paths), 5000):
            cells = [{"bytes": Path(path).read_bytes(), "path": None} for path in paths[start : start + 5000]]
            writer.write_table(pa.table({"image": cells}, schema), row_group_size=5000)
    with tarfile.open(folder / "photos.tar", "w") as archive:
        for i, path in enumerate(paths):
            archive.add(path, f"{i:06}.jpg")


def call(kind: str, folder: str, store: Path, cold: str = "") -> tuple[float, float, float]:
    command = [sys.executable, "-c", CALL, kind, folder, str(store), cold]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    seconds, more, total = map(float, output)
    return seconds, more, total


if __name__ == "__main__":
    main()
