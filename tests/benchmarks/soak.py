"""A bundle's service for long: good and bad requests, a replaced bundle and a reload every minute, damaged ones among
them, SIGKILL and a new start in the middle. Nothing that was accepted may be answered wrongly or be lost, but for what
was under way at the kill, and memory is to stay flat."""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import numpy as np

import featx
from tests.benchmarks.photos import write_distinct
from tests.benchmarks.serve import BAD, FORM, form
from tests.deploy.service.serving import Running, as_base64, replace_bundle

_KEY = "the-key-of-the-soak-test"
_NEAR = 1e-4
# uvicorn closes a connection that was idle for 5 s, and a client's next request may cross that on its way.
_IDLE = 3.0


@dataclass
class Report:
    """What clients saw, and how much memory the service took."""

    good: int = 0
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    at_the_kill: int = 0
    while_down: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    reloads: Counter[int] = field(default_factory=Counter)
    memory: list[list[float]] = field(default_factory=lambda: [[]])
    log: list[str] = field(default_factory=list)

    def growth(self) -> float:
        """MB that the last quarter of the longest life of a process took more than the quarter after its first."""
        life = max(self.memory, key=len)
        quarter = max(1, len(life) // 4)
        return statistics.median(life[-quarter:]) - statistics.median(life[quarter : 2 * quarter] or life)


@dataclass
class Target:
    """Where the service is: a client counts what it lost as it finds it here."""

    port: int
    life: int = 0
    down: bool = False
    done: bool = False


def soak(
    bundles: Sequence[Path], photos: Sequence[bytes], scratch: Path, *, periods: int, seconds: float, clients: int
) -> Report:
    """Load a service.

    Parameters
    ----------
    bundles : sequence of Path
        Two or more, which take turns.
    photos : sequence of bytes
        Image files.
    scratch : Path
        An empty folder.
    periods : int
        Number of reloads; the kill comes after half of them.
    seconds : float
        Between two reloads, at least.
    clients : int

    Returns
    -------
    Report
    """
    expected = {}
    for bundle in bundles:
        predictor = featx.Predictor(bundle)
        labels, probabilities = predictor.predict(photos).tolist(), predictor.predict_proba(photos).max(axis=1)
        expected[predictor.manifest["sha256"]] = list(zip(labels, probabilities.tolist(), strict=True))
    folder = scratch / "served"
    replace_bundle(folder, bundles[0])
    report, running = Report(), Running(folder, scratch / "log-0", key=_KEY)
    target, lock = Target(running.port), threading.Lock()
    threads = [
        threading.Thread(target=_Client(seed, target, photos, expected, report, lock).run) for seed in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        for period in range(periods):
            if period == periods // 2:
                running = _kill(running, folder, scratch, target)
                report.memory.append([])
            _reload(running, folder, bundles[(period + 1) % len(bundles)], period % 5 == 4, report)
            ends, answered = time.monotonic() + seconds, report.good
            while time.monotonic() < ends or report.good < answered + clients:
                assert running.process.poll() is None, running.log
                report.memory[-1].append(running.memory("VmRSS"))
                time.sleep(min(1, seconds / 4))
    finally:
        target.done = True
        for thread in threads:
            thread.join()
        running.stop()
        report.log = [
            line
            for log in sorted(scratch.glob("log-*"))
            for line in log.read_text().splitlines()
            if not line.startswith("{") or json.loads(line)["level"] not in ("info",)
        ]
    return report


def _kill(running: Running, folder: Path, scratch: Path, target: Target) -> Running:
    target.down, target.life = True, target.life + 1
    running.process.kill()
    running.process.wait()
    again = Running(folder, scratch / f"log-{target.life}", "--port", str(target.port), key=_KEY)
    target.down = False
    return again


def _reload(running: Running, folder: Path, bundle: Path, damage: bool, report: Report) -> None:
    if damage:
        graph = folder / "model.onnx"
        graph.write_bytes(graph.read_bytes()[:-1])
        report.reloads[running.post("/reload").status_code] += 1
        assert "is damaged" in running.get("/ready").json()["reload"]["error"]
    replace_bundle(folder, bundle)
    report.reloads[running.post("/reload").status_code] += 1


class _Client:
    """Asks on one connection, and knows each answer."""

    def __init__(self, seed, target, photos, expected, report, lock):
        self._rng = random.Random(seed)
        self._target, self._photos, self._expected = target, photos, expected
        self._report, self._lock = report, lock
        self._number = 0

    def run(self) -> None:
        life, connection, last = -1, None, 0.0
        while not self._target.done:
            if self._target.down:
                time.sleep(0.05)
                continue
            if connection is None or life != self._target.life or time.monotonic() - last > _IDLE:
                if connection is not None:
                    connection.close()
                life, connection = self._target.life, HTTPConnection("127.0.0.1", self._target.port, timeout=120)
            (self._ask_badly if self._rng.random() < 0.15 else self._ask)(connection, life)
            last = time.monotonic()
        if connection is not None:
            connection.close()

    def _ask(self, connection: HTTPConnection, life: int) -> None:
        i = self._rng.randrange(len(self._photos))
        kind, body = self._rng.choice((_form, _json, _raw))(self._photos[i])
        self._number += 1
        identifier = f"{id(self)}-{self._number}"
        headers = {"Content-Type": kind, "X-API-Key": _KEY, "X-Request-ID": identifier}
        try:
            connection.request("POST", "/predict", body, headers)
            response = connection.getresponse()
            content = json.loads(response.read())
        except (OSError, HTTPException) as error:
            connection.close()
            self._fail(error, life)
            return
        digest = response.headers["X-Model"].rpartition("@")[2]
        label, probability = self._expected[digest][i]
        row = (content.get("predictions") or [{"label": None, "probability": 0.0}])[0]
        right = response.status == 200 and response.headers["X-Request-ID"] == identifier
        right = right and row["label"] == label and abs(row["probability"] - probability) < _NEAR
        with self._lock:
            self._report.good += 1
            self._report.models[digest] += 1
            if not right:
                self._report.wrong.append(f"{response.status} {content}, expected {label} {probability}")

    def _ask_badly(self, connection: HTTPConnection, life: int) -> None:
        kind, body = self._rng.choice(BAD)
        key = self._rng.choice([_KEY, _KEY, _KEY, "another key", ""])
        path = self._rng.choice(["/predict", "/predict", "/embed", f"/{self._rng.random()}"])
        headers = {"Content-Type": kind, "X-API-Key": key, "X-Request-ID": "{" * self._rng.randrange(300)}
        try:
            connection.request("POST", path, body, headers)
        except OSError:  # refused before all of it was sent
            pass
        except HTTPException as error:
            connection.close()
            self._fail(error, life)
            return
        try:
            response = connection.getresponse()
            response.read()
            told = str(response.status)
        except (OSError, HTTPException):  # the connection of who is refused may be reset before the answer is read
            connection.close()
            told = "reset"
        with self._lock:
            self._report.bad[told] += 1
            if told[0] in "25":
                self._report.wrong.append(f"{told} to a bad request of {kind}")

    def _fail(self, error: Exception, life: int) -> None:
        with self._lock:
            if life == self._target.life:
                self._report.lost.append(repr(error))
            elif isinstance(error, ConnectionRefusedError):
                self._report.while_down += 1
            else:
                self._report.at_the_kill += 1


def _form(photo: bytes) -> tuple[str, bytes]:
    return FORM, form(photo)


def _json(photo: bytes) -> tuple[str, bytes]:
    return "application/json", json.dumps({"image": as_base64(photo)}).encode()


def _raw(photo: bytes) -> tuple[str, bytes]:
    return "image/jpeg", photo


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--every", type=float, default=60, metavar="SECONDS", help="between two reloads")
    parser.add_argument("--clients", type=int, default=8)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        paths = write_distinct(Path(scratch), 200)
        bundles = []
        for i, labels in enumerate((np.arange(40) % 2, np.repeat([2, 3], 20))):
            model = featx.image_pipeline("logistic", cache=False, verbose=0).fit(paths[:40], labels)
            bundles.append(featx.export_bundle(model, Path(scratch, f"bundle-{i}")).folder)
        photos = [Path(path).read_bytes() for path in paths]
        (work := Path(scratch, "work")).mkdir()
        periods = max(2, round(60 * arguments.minutes / arguments.every))
        report = soak(bundles, photos, work, periods=periods, seconds=arguments.every, clients=arguments.clients)
    print(f"good requests: {report.good}, {len(report.wrong)} wrong, {len(report.lost)} lost", end="; ")
    print(f"{report.at_the_kill} under way at the kill, {report.while_down} refused while it was down")
    print(f"bad requests: {dict(sorted(report.bad.items()))}; reloads: {dict(report.reloads)}")
    print(f"answers by model: {list(report.models.values())}")
    for life, memory in enumerate(report.memory):
        shown = [memory[round(share * (len(memory) - 1))] for share in (0, 0.1, 0.25, 0.5, 0.75, 1)]
        print(f"memory of process {life}, MB at 0, 10, 25, 50, 75, 100 %:", *(f"{mb:.0f}" for mb in shown))
    print(f"growth {report.growth():+.1f} MB")
    print(f"the log beside info: {dict(Counter(line[:120].partition(', ')[2] for line in report.log))}")
    for what in (*report.wrong[:5], *report.lost[:5]):
        print(what, file=sys.stderr)
    return 1 if report.wrong or report.lost or report.at_the_kill > arguments.clients else 0


if __name__ == "__main__":
    sys.exit(main())
