"""A bundle's predict.py: its rate beside the Predictor's own, its memory for few and many rows, how soon it resumes."""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

import featx
from featx.deploy.batch import add_options, predict_with_bundle
from tests.benchmarks.photos import write_distinct
from tests.networks import tiny_encoder

# Linux tells the peak of a process that has ended.
RUN = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, *sys.argv[1:]], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000, help="of the comparison of rates")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--rows", type=int, default=20_000, help="of the runs whose memory is measured, by a tiny network"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        paths = write_distinct(Path(scratch), max(arguments.images, 200))
        model = featx.image_pipeline(cache=False, verbose=0).fit(paths[:20], np.arange(20) % 2)
        compare_rates(featx.export_bundle(model, "bundle").folder, paths[: arguments.images], arguments.runs)
        if not arguments.rows:
            return
        model = featx.image_pipeline(encoder=tiny_encoder(), cache=False, verbose=0)
        tiny = featx.export_bundle(model.fit(paths[:20], np.arange(20) % 2), "tiny").folder
        small = shrink(paths[:200])
        for output in ("labels.csv", "labels.parquet"):
            measure_memory(tiny, small, arguments.rows, output)
        measure_resume(tiny, small, arguments.rows)


def shrink(paths: list[str]) -> list[str]:
    """Write a fifth of each picture: rows matter here, not pixels."""
    small = [f"{path}.small.jpg" for path in paths]
    for path, target in zip(paths, small, strict=True):
        Image.open(path).resize((100, 75)).save(target)
    return small


def compare_rates(bundle: Path, paths: list[str], runs: int) -> None:
    predictor = featx.Predictor(bundle, on_error="raise")
    parser = argparse.ArgumentParser()
    parser.add_argument("paths", nargs="+")
    add_options(parser)
    ratios: dict[str, list[np.ndarray]] = {name: [] for name in ("labels.csv", "labels.parquet")}
    rates = []
    predictor.predict_table(paths[:100])
    for _ in range(runs):
        alone = seconds(lambda: predictor.predict_table(paths))
        rates.append(len(paths) / alone[0])
        for name, found in ratios.items():
            parsed = parser.parse_args([*paths, "-o", name, "--overwrite", "--quiet"])
            found.append(alone / seconds(lambda parsed=parsed: predict_with_bundle(predictor, parsed)))
    print(f"Predictor: {statistics.median(rates):.0f} images/s, {len(paths):,} at once, median of {runs}")
    for name, found in ratios.items():
        clock, processor = np.median(found, axis=0)
        print(
            f"{name}: {clock:.3f} of that rate by the clock, {processor:.3f} by processor time, on a busy machine too"
        )


def measure_memory(bundle: Path, paths: list[str], rows: int, output: str) -> None:
    peaks = {}
    for n in (rows // 50, rows):
        write_table(paths, n)
        command = [
            sys.executable,
            "-c",
            RUN,
            bundle / "predict.py",
            "table.csv",
            "-o",
            output,
            "--overwrite",
            "--quiet",
        ]
        started = time.perf_counter()
        peaks[n] = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        taken = time.perf_counter() - started
        print(f"{output}, {n:,} rows: peak {peaks[n]:.0f} MiB, {taken:.1f} s")
    print(f"{output}: {peaks[rows] - peaks[rows // 50]:+.0f} MiB for {rows - rows // 50:,} rows more")


def measure_resume(bundle: Path, paths: list[str], rows: int) -> None:
    """Kill a run in its last tenth, and see when the next one has answered a row more."""
    write_table(paths, rows)
    command = [sys.executable, str(bundle / "predict.py"), "table.csv", "-o", "resumed.csv", "--quiet"]
    process = subprocess.Popen(command)
    answered = Path("resumed.csv.partial", "rows")
    while not answered.exists() or (done := answered.read_bytes().count(b"\n")) < 0.9 * rows:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    size, started = answered.stat().st_size, time.perf_counter()
    process = subprocess.Popen([*command, "--resume"])
    while answered.exists() and answered.stat().st_size <= size:
        time.sleep(0.005)
    print(f"killed after {done:,} rows: {time.perf_counter() - started:.2f} s to the next ones, process start and all")
    process.wait()


def write_table(paths: list[str], n: int) -> None:
    lines = [f"{i},{paths[i % len(paths)]}\n" for i in range(n)]
    Path("table.csv").write_text("sku,image\n" + "".join(lines))


def seconds(work: Callable[[], object]) -> np.ndarray:
    """Time some work by the clock, and by the processors that it used."""
    started = np.array([time.perf_counter(), time.process_time()])
    work()
    return np.array([time.perf_counter(), time.process_time()]) - started


if __name__ == "__main__":
    main()
