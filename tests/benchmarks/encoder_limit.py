"""The network alone, beside OpenVINO's own benchmark of the same graph, and beside the machine's matrix peak."""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openvino
import torch

import featx
from featx._machine import count_processors
from featx.encoders import resolve
from featx.runtimes import get_runtime, load_graph


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="efficientnet_lite0")
    parser.add_argument("--weights", default="default")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", help="only featx's runtime, with batches of so many images")
    arguments = parser.parse_args()
    specs = resolve(arguments.encoder, weights=arguments.weights)
    runtime = get_runtime(specs, "openvino")
    if arguments.batches:
        compare_batches(runtime, specs[0].preprocess.size, arguments)
        return
    rates: dict[str, list[float]] = {"featx": [], "benchmark_app": [], "matrix": []}
    with tempfile.TemporaryDirectory() as scratch:
        graph = Path(scratch, "graph.xml")
        openvino.save_model(load_graph(specs), graph, compress_to_fp16=False)
        for _ in range(arguments.runs):
            rates["featx"].append(ours(runtime, specs[0].preprocess.size, arguments.seconds))
            rates["benchmark_app"].append(
                theirs(graph, specs[0].preprocess.size, runtime.batch_size, arguments.seconds)
            )
            rates["matrix"].append(matrix_peak())
    report(arguments.encoder, {name: statistics.median(values) for name, values in rates.items()})


def compare_batches(runtime, size: int, arguments: argparse.Namespace) -> None:
    rates: dict[int, list[float]] = {n: [] for n in arguments.batches}
    for _ in range(1 + arguments.runs):
        for n, values in rates.items():
            values.append(ours(runtime, size, arguments.seconds, n))
    for n, values in rates.items():
        print(f"{arguments.encoder}, batches of {n:3}: {statistics.median(values[1:]):7.1f} images/s")


def ours(runtime, size: int, seconds: float, n_images: int | None = None) -> float:
    """Images/s, a thread a processor."""
    n_images = n_images or runtime.batch_size
    batch = np.random.default_rng(0).integers(0, 256, (n_images, size, size, 3), dtype=np.uint8)
    end = time.perf_counter() + seconds

    def work(_):
        n = 0
        while time.perf_counter() < end:
            n += len(runtime.run(batch))
        return n

    n_threads = count_processors()
    started = time.perf_counter()
    with ThreadPoolExecutor(n_threads) as pool:
        n = sum(pool.map(work, range(n_threads)))
    return n / (time.perf_counter() - started)


def theirs(graph: Path, size: int, batch: int, seconds: int) -> float:
    """Images/s that OpenVINO's benchmark_app reports for throughput, in float32."""
    program = shutil.which("benchmark_app", path=str(Path(sys.executable).parent)) or "benchmark_app"
    command = [program, "-m", str(graph), "-d", "CPU", "-infer_precision", "f32", "-hint", "throughput"]
    command += ["-t", str(seconds), "-shape", f"[{batch},{size},{size},3]"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(re.search(r"Throughput:\s+([\d.]+)", output).group(1))


def matrix_peak(n: int = 2048) -> float:
    """GFLOP/s of a float32 matrix product in torch."""
    a = torch.rand(n, n)
    a @ a
    started = time.perf_counter()
    for _ in range(5):
        a @ a
    return 5 * 2 * n**3 / (time.perf_counter() - started) / 1e9


def report(encoder: str, rates: dict[str, float]) -> None:
    table = featx.list_encoders()
    gmacs = float(table.loc[table["name"] == encoder, "gmacs"].iloc[0])
    print(f"{encoder}, float32, {count_processors()} processors, OpenVINO {openvino.__version__.split('-')[0]}")
    print(f"featx's runtime    {rates['featx']:7.1f} images/s, {2 * gmacs * rates['featx']:6.1f} GFLOP/s")
    print(f"benchmark_app      {rates['benchmark_app']:7.1f} images/s")
    print(f"matrix product     {'':7}           {rates['matrix']:6.1f} GFLOP/s")
    print(f"featx's runtime is at {rates['featx'] / rates['benchmark_app']:.0%} of benchmark_app, ", end="")
    print(f"{2 * gmacs * rates['featx'] / rates['matrix']:.0%} of the matrix product's rate")


if __name__ == "__main__":
    main()
