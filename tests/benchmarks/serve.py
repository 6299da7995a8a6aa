"""A bundle's service under 16 clients, beside its Predictor in batches; or minutes of it with bad requests and
50-megapixel photos mixed in, then an order to stop in the middle."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

import featx
from tests.benchmarks.photos import write_distinct

FORM = "multipart/form-data; boundary=photo"
BAD = [
    (FORM, b"--photo\r\n"),
    (FORM, b'--photo\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\nno image\r\n--photo--\r\n'),
    ("application/json", b'{"images": ["bm8gaW1hZ2U="]}'),
    ("application/json", b"{"),
    ("text/plain", b"hello"),
    (FORM, bytes(21_000_000)),
]


@dataclass
class Tally:
    """What clients saw."""

    seconds: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    retried: int = 0
    lost: int = 0
    bad: Counter[int] = field(default_factory=Counter)
    processor: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--minutes", type=float, help="of mixed load, and a stop under load")
    parser.add_argument("--images", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        paths = write_distinct(Path(scratch), arguments.images)
        model = featx.image_pipeline("logistic", cache=False, verbose=0).fit(paths[:40], np.arange(40) % 2)
        bundle = featx.export_bundle(model, Path(scratch, "bundle")).folder
        photos = [Path(path).read_bytes() for path in paths]
        if arguments.minutes:
            endure(bundle, photos, arguments)
        else:
            compare(bundle, photos, arguments)


def compare(bundle: Path, photos: list[bytes], arguments: argparse.Namespace) -> None:
    """Batches and requests in turns, the medians of three."""
    predictor = featx.Predictor(bundle)
    predictor.predict(photos)
    with Server(bundle) as server:
        drive(server.port, photos, arguments.clients, 2.0, mixed=False)
        before, rates, shares, tallies = server.resident(), [], [], []
        for _ in range(3):
            started = time.perf_counter()
            predictor.predict(photos)
            batches = len(photos) / (time.perf_counter() - started)
            tally = drive(server.port, photos, arguments.clients, arguments.seconds / 3, mixed=False)
            rates.append(3 * len(tally.seconds) / arguments.seconds)
            shares.append(rates[-1] / batches)
            tallies.append(tally)
        after = server.resident()
    seconds = np.concatenate([tally.seconds for tally in tallies])
    p50, p99 = np.percentile(seconds, [50, 99])
    processors = sum(tally.processor for tally in tallies) / arguments.seconds / len(os.sched_getaffinity(0))
    print(f"{arguments.clients} clients: {statistics.median(rates):.1f} requests/s", end=", ")
    print(f"{statistics.median(shares):.0%} of the Predictor's rate in batches; failed {failures(tallies)}")
    print(f"p50 {p50 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms; clients took {processors:.1%} of the processors")
    print(f"memory {before:.0f} MB before, {after:.0f} MB after")


def endure(bundle: Path, photos: list[bytes], arguments: argparse.Namespace) -> None:
    tallies = []
    with Server(bundle) as server:
        print(f"memory {server.resident():.0f} MB before")
        for minute in range(max(1, round(arguments.minutes))):
            part = min(arguments.minutes, 1) * 60
            tallies.append(drive(server.port, photos, arguments.clients, part, mixed=True))
            alive = server.process.poll() is None
            print(f"minute {minute + 1}: {server.resident() if alive else 0:.0f} MB", end=", ")
            print(
                f"peak {server.resident('VmHWM') if alive else 0:.0f} MB, {'alive' if alive else 'killed'}", flush=True
            )
        answered = sum(len(tally.seconds) for tally in tallies)
        bad = sum((tally.bad for tally in tallies), Counter())
        print(f"good requests: {answered} answered, {failures(tallies)} failed", end=", ")
        print(f"{sum(tally.retried for tally in tallies)} told to come back; bad ones: {dict(sorted(bad.items()))}")
        threading.Timer(3, server.process.send_signal, [signal.SIGTERM]).start()
        tally = drive(server.port, photos, arguments.clients, 30, mixed=False, until_gone=True)
        status = server.process.wait(30)
    print(f"stopped under load: exit status {status}, {len(tally.seconds)} answered, {tally.lost} lost")


def failures(tallies: list[Tally]) -> str:
    failed = sum((tally.failed for tally in tallies), Counter())
    return f"{failed.total()} {dict(failed) if failed else ''}".strip()


class Server:
    """serve.py in a process of its own, where featx is not on the path."""

    def __init__(self, bundle: Path):
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [sys.executable, "serve.py", "--port", "0"]
        self.log = open(bundle / "log.txt", "wb+")  # noqa: SIM115 - closed with the server
        self.process = subprocess.Popen(command, cwd=bundle, env=environment, stderr=self.log)

    def __enter__(self) -> Server:
        while (line := Path(self.log.name).read_text()).count("running on") == 0:
            assert self.process.poll() is None, line
            time.sleep(0.1)
        self.port = int(line.split("http://127.0.0.1:")[1].split()[0])
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.wait(60)
        self.log.close()

    def resident(self, entry: str = "VmRSS") -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split(f"{entry}:")[1].split()[0]) * 1024 / 1e6


def drive(port: int, photos: list[bytes], clients: int, seconds: float, *, mixed: bool, until_gone=False) -> Tally:
    """Load from a process of its own, whose processor time is told."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    arguments = (sender, port, photos, clients, seconds, mixed, until_gone)
    process = context.Process(target=_drive, args=arguments)
    process.start()
    tally = receiver.recv()
    process.join()
    return tally


def _drive(sender, port, photos, clients, seconds, mixed, until_gone) -> None:
    bodies = [form(photo) for photo in photos]
    large = [form(photo) for photo in large_photos(photos[0])] if mixed else []
    tally, processor = Tally(), time.process_time()
    ends = time.monotonic() + seconds
    threads = [
        threading.Thread(target=_client, args=(random.Random(i), port, bodies, large, ends, until_gone, tally))
        for i in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tally.processor = time.process_time() - processor
    sender.send(tally)


def _client(
    rng: random.Random, port: int, bodies: list[bytes], large: list[bytes], ends: float, until_gone: bool, tally: Tally
) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=120)
    while time.monotonic() < ends:
        if large and rng.random() < 0.1:
            kind, body = rng.choice(BAD)
            status = ask(connection, kind, body)
            tally.bad[status] += 1
            continue
        body = rng.choice(large) if large and rng.random() < 0.01 else rng.choice(bodies)
        started = time.perf_counter()
        status = ask(connection, FORM, body)
        if status == 200:
            tally.seconds.append(time.perf_counter() - started)
        elif status == 429:
            tally.retried += 1
            time.sleep(1)
        elif until_gone and status in ("refused", 503):
            return
        elif until_gone and status == "lost":
            tally.lost += 1
        else:
            tally.failed[str(status)] += 1
    connection.close()


def ask(connection: HTTPConnection, kind: str, body: bytes) -> int | str:
    """The status; "refused" where the service did not take the request, "lost" where it did not answer it."""
    try:
        connection.request("POST", "/predict", body, {"Content-Type": kind})
    except OSError as error:
        if isinstance(error, ConnectionRefusedError | ConnectionResetError) and len(body) < 20_000_000:
            connection.close()
            return "refused"
    try:
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (OSError, HTTPException):
        connection.close()
        return "lost"
    if response.status == 200 and answer["predictions"][0]["label"] not in (0, 1):
        return "wrong"
    return response.status


def form(photo: bytes) -> bytes:
    head = b'--photo\r\nContent-Disposition: form-data; name="image"; filename="photo.jpg"\r\n\r\n'
    return head + photo + b"\r\n--photo--\r\n"


def large_photos(photo: bytes) -> list[bytes]:
    """A photo of 50 megapixels, and one of 12."""
    image, files = Image.open(BytesIO(photo)), []
    for size in ((8660, 5774), (4000, 3000)):
        file = BytesIO()
        image.resize(size).save(file, "JPEG", quality=85)
        files.append(file.getvalue())
    return files


if __name__ == "__main__":
    main()
