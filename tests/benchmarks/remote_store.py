"""A store in S3, on loopback: 10,000 known images, with and without copies on this machine, beside a store in a folder.

Each figure is of the first `transform` of a new process. S3 is moto's server in a process of its own: its seconds are
no measure of a network, its requests are.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import numpy as np

from tests.benchmarks.warm import ROWS, write_known

SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
FIRST_CALL = """
import sys, time
from collections import Counter
import numpy, s3fs, sklearn.pipeline, featx
from featx.store import _bucket
asked, ask = Counter(), s3fs.S3FileSystem._call_s3
async def counting(self, method, *args, **options):
    asked[method] += 1
    return await ask(self, method, *args, **options)
s3fs.S3FileSystem._call_s3 = counting
listed, ask_for_names = [], _bucket._list
def timed(url):
    started = time.perf_counter()
    names = ask_for_names(url)
    listed.append(time.perf_counter() - started)
    return names
_bucket._list = timed
paths = open(sys.argv[2]).read().split("\\n")
encoder = featx.ImageEncoder(cache=sys.argv[1], verbose=0)
times = []
for _ in range(6):
    started = time.perf_counter()
    rows = encoder.transform(paths)
    times.append(time.perf_counter() - started)
assert rows.shape == (len(paths), 1280) and "torch" not in sys.modules
listing = sorted(listed)[len(listed) // 2] if listed else 0
print(times[0], sorted(times[1:])[2], listing, asked["list_objects_v2"] / len(times), asked["get_object"])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([sys.executable, "-c", SERVER], text=True, **pipes)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            compare(Path(scratch), int(server.stdout.readline()), arguments.images, arguments.runs)
    finally:
        server.stdin.close()
        server.wait()


def compare(scratch: Path, port: int, n: int, runs: int) -> None:
    endpoint = f"http://127.0.0.1:{port}"
    os.environ |= {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "XDG_CACHE_HOME": str(scratch / "cache"),
    }
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/bucket", method="PUT")).close()
    local, remote = str(scratch / "store"), "s3://bucket/store"
    listing, segments = scratch / "paths.txt", -(-n // ROWS)
    write_known(listing, n, (local, remote))
    run(local, listing)
    copies = scratch / "cache" / "featx" / "remote"
    figures: dict[str, list[list[float]]] = {"a folder": [], "S3, copies here": [], "S3, no copies": []}
    for _ in range(runs):
        figures["a folder"].append(run(local, listing))
        figures["S3, copies here"].append(run(remote, listing))
        shutil.rmtree(copies)
        figures["S3, no copies"].append(run(remote, listing))
    print(f"{n:,} known images in {segments} segments, seconds, medians of {runs} new processes")
    print("                     first   later   ratio  a listing  listings a call  objects fetched")
    folder = statistics.median(row[1] for row in figures["a folder"])
    for name, rows in figures.items():
        first, later, listing, listings, fetched = np.median(rows, axis=0)
        ratio = f"{later / folder:8.2f}{listing:11.3f}{listings:17.0f}{fetched:17.0f}"
        print(f"  {name:16} {first:8.3f}{later:8.3f}{ratio}")


def run(cache: str, listing: Path) -> list[float]:
    command = [sys.executable, "-c", FIRST_CALL, cache, str(listing)]
    return [float(value) for value in subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.split()]


if __name__ == "__main__":
    main()
