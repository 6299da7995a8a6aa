"""Seconds of fits on known embeddings, of this checkout beside another one: grids, a probe, a report, a ranking.

The other one is a folder, such as ``git worktree add ../before 97c1164`` makes. Both run in the same environment, each
task in a process of its own, in turns. Embeddings are random, with a mean for each of nine classes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import ThreadpoolController

ENCODERS = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
START = """
import sys, time, warnings
import numpy as np
import featx
from sklearn.model_selection import GridSearchCV, StratifiedKFold
scratch, n = sys.argv[1], int(sys.argv[2])
paths = open(scratch + "/paths.txt").read().split("\\n")[:n]
y = np.load(scratch + "/y.npy")[:n]
rows = np.load(scratch + "/rows.npy")[:n]
folds = StratifiedKFold(5, shuffle=True, random_state=0)
cached = {"cache": scratch + "/store", "verbose": 0}
warnings.simplefilter("ignore")
featx.ImageEncoder(**cached).transform(paths)
started = time.perf_counter()
"""
END = "\nprint(time.perf_counter() - started)"
GRID = """
search = GridSearchCV(featx.image_pipeline({head!r}, **cached), {{"head__C": {Cs}}}, cv={cv}).fit(paths, y)
"""
# Task -> images, program.
TASKS = {
    "logistic, 4 C x 5 folds": (
        (300, 1900, 10_000),
        GRID.format(head="logistic", Cs=[0.001, 0.01, 0.1, 1], cv="folds"),
    ),
    "svm, 4 C x 5 folds": ((1500,), GRID.format(head="svm", Cs=[1, 10, 100, 1000], cv="folds")),
    "svm, 1 C x 2 folds, refit": ((8000,), GRID.format(head="svm", Cs=[10], cv=2)),
    "linear_probe": ((1900,), "\nfrom featx.heads import linear_probe\nlinear_probe().fit(rows, y)"),
    "transfer_report": ((2000,), "\nfeatx.transfer_report(paths, y, encoder=featx.ImageEncoder(**cached), verbose=0)"),
    "rank_encoders": (
        (2000,),
        f"\nfeatx.rank_encoders(paths, y, [featx.ImageEncoder(name, **cached) for name in {ENCODERS}])",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, nargs="?", help="another checkout of featx")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--task", help="only those whose name begins so")
    parser.add_argument("--threads", action="store_true", help="one fit, by threads of numpy's and SciPy's BLAS")
    arguments = parser.parse_args()
    if arguments.threads:
        compare_threads(arguments.runs)
        return
    here = Path(__file__).parents[2]
    print(f"seconds, medians of {arguments.runs} processes; {os.cpu_count()} processors")
    print(f"  {'task':28} {'images':>7} {'other':>8} {'this':>8}  times")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        prepare(scratch, 10_000)
        for task, (sizes, program) in TASKS.items():
            if arguments.task and not task.startswith(arguments.task):
                continue
            for n in sizes:
                if task == "transfer_report":  # its untrained network encodes the images the first time
                    run(here, START + program + END, scratch, n)
                pairs = [
                    [run(checkout, START + program + END, scratch, n) for checkout in (arguments.other, here)]
                    for _ in range(arguments.runs)
                ]
                other, this = (statistics.median(values) for values in zip(*pairs, strict=True))
                print(f"  {task:28} {n:7,} {other:8.2f} {this:8.2f}  {other / this:5.1f}", flush=True)


def compare_threads(runs: int) -> None:
    """Print milliseconds of scikit-learn's own fit, and of a rotation into the rows' space beside it."""
    random = np.random.default_rng(0)
    print(f"milliseconds, medians of {runs}: LogisticRegression(C=0.01), 1,280 float32 columns, 9 classes")
    print("  rows    1 and 1  all and 1  all and all  QR of fewer rows than columns")
    for n in (240, 1000, 1520, 8000, 30_000):
        y = random.integers(0, 9, n)
        X = StandardScaler().fit_transform(random.normal(size=(n, 1280)) + 0.15 * random.normal(size=(9, 1280))[y])
        X = X.astype(np.float32)
        fit = LogisticRegression(C=0.01, max_iter=1000).fit
        both = ThreadpoolController().select(user_api="blas")
        scipys = ThreadpoolController().select(
            filepath=[path for path in (info["filepath"] for info in both.info()) if "scipy.libs" in path]
        )
        seconds = []
        for limited in (both, scipys, None):
            with limited.limit(limits=1) if limited else nullcontext():
                seconds.append(median_seconds(partial(fit, X, y), runs))
        with both.limit(limits=1):
            rotation = median_seconds(partial(np.linalg.qr, X.T), runs) if n < 1280 else None
        told = "" if rotation is None else f"{1e3 * rotation:8.0f}"
        print(f"  {n:6,}" + "".join(f"{1e3 * value:10.0f}" for value in seconds) + told, flush=True)


def median_seconds(function: Callable[[], object], runs: int) -> float:
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def prepare(scratch: Path, n: int) -> None:
    """Write n small files, their classes and embeddings, and a store that knows them."""
    import featx
    from featx.encoders import resolve
    from featx.images import load

    random = np.random.default_rng(0)
    y = random.integers(0, 9, n)
    rows = (random.normal(size=(n, 1280)) + 0.15 * random.normal(size=(9, 1280))[y]).astype(np.float32)
    np.maximum(rows, 0, out=rows)
    (scratch / "images").mkdir()
    paths = [scratch / "images" / f"{i:06}.png" for i in range(n)]
    for path in paths:
        Image.fromarray(random.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(path)
    (scratch / "paths.txt").write_text("\n".join(map(str, paths)))
    np.save(scratch / "y.npy", y)
    np.save(scratch / "rows.npy", rows)
    keys = np.frombuffer(b"".join(load(path)[0] for path in paths), np.uint8).reshape(n, 16)
    store = featx.EmbeddingStore(scratch / "store")
    for encoder in ENCODERS:
        (spec,) = resolve(encoder)
        store.put_many(spec.fingerprint(), keys, rows, {"encoder": {"name": encoder}})
    time.sleep(2.5)  # files younger than two seconds are not trusted by the memo


def run(checkout: Path, program: str, scratch: Path, n: int) -> float:
    environment = {**os.environ, "PYTHONPATH": str(checkout.absolute())}
    command = [sys.executable, "-c", program, str(scratch), str(n)]
    done = subprocess.run(command, cwd=scratch, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.split()[-1])


if __name__ == "__main__":
    main()
