"""Eight processes write, read, compact, prune, clear and repair one store at once; each row is compared with its key.

``python -m tests.store.race --seconds 60`` prints what they did, rows a second, and what went wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

from tests.store.workers import Acknowledged, Faults, Worker, check_after, make_small, start


def race(home: Path, seconds: float, processes: int, seed: int) -> dict[str, object]:
    make_small()
    location, acknowledged = home / "store", Acknowledged(home / "acknowledged")
    end = time.monotonic() + seconds

    def run(number: int) -> None:
        worker = Worker(location, acknowledged, number, seed)
        while time.monotonic() < end:
            worker.act(worker.draw())
        (home / f"done-{number}").write_bytes(pickle.dumps((worker.done, worker.faults)))

    children = [start(partial(run, number)) for number in range(processes)]
    faults, done = Faults(), Counter[str]()
    for number, child in enumerate(children):
        _, status = os.waitpid(child, 0)
        if status:
            faults["errors"] += 1  # which stderr says
        else:
            more, wrong = pickle.loads((home / f"done-{number}").read_bytes())
            done += more
            faults.update(wrong)
    rows = acknowledged.all()
    check_after(location, rows, faults)
    return {
        "processes": processes,
        "seconds": seconds,
        "done": dict(done.most_common()),
        "rows written a second": round(done["rows written"] / seconds),
        "rows read a second": round(done["rows read"] / seconds),
        "rows acknowledged": len(rows),
        "faults": dict(+faults),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        print(json.dumps(race(Path(home), parsed.seconds, parsed.processes, parsed.seed), indent=1))


if __name__ == "__main__":
    main()
