"""Where a user waits: fine-tuning, an export, predictions from a shell, a diagnosis; this checkout beside another one.

The other one is a folder, such as ``git worktree add ../before 97c1164`` makes. Both run in the same environment, in
turns, each program in a process of its own, with a cache folder of their own that an untimed turn has filled.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.photos import write_distinct

PREDICTED = 600
START = """
import time, warnings
import numpy as np
import featx
from sklearn.datasets import load_digits, load_sample_images
warnings.simplefilter("ignore")
photos = open("photos.txt").read().split("\\n")
"""
END = "\nprint(time.perf_counter() - started)"
TRAIN = """
crops = [photo[i : i + 200, 2 * i : 2 * i + 200] for photo in load_sample_images().images for i in range(10)]
model = featx.image_pipeline("logistic", cache="store", verbose=0).fit(crops, ["china"] * 10 + ["flower"] * 10)
featx.save(model, "model")
started = time.perf_counter()
"""
FIT = """
from featx.finetune import FineTuneClassifier
digits = load_digits()
images = [np.kron(image * 15, np.ones((4, 4))).astype(np.uint8) for image in digits.images[:1000]]
started = time.perf_counter()
FineTuneClassifier(featx.ImageEncoder(cache=False, verbose=0), verbose=0).fit(images, digits.target[:1000])
"""
PREDICT = """
predictor = featx.Predictor("bundle")
predictor.predict(photos[:8])
started = time.perf_counter()
predictor.predict(photos)
"""
# A program, which prints its seconds, or arguments of featx's command, which is timed whole.
WAITS: dict[str, str | list[str]] = {
    "FineTuneClassifier(), 1,000 images at 224": START + FIT + END,
    "featx export model/ bundle/, again": ["export", "model", "bundle"],
    f"Predictor.predict, {PREDICTED} photos": START + PREDICT + END,
    f"featx predict bundle/, {PREDICTED} photos": ["predict", "bundle", "photos", "-o", "labels.csv"],
    "featx doctor": ["doctor"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="another checkout of featx")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--task", default="", help="only those whose name has this in it")
    arguments = parser.parse_args()
    print(f"seconds, medians of {arguments.runs} processes; {os.cpu_count()} processors")
    print(f"  {'':42} {'other':>7} {'this':>7}  times")
    with tempfile.TemporaryDirectory() as name:
        folders = {}
        for checkout in (arguments.other, Path(__file__).parents[2]):
            folder = folders[checkout.absolute()] = Path(name) / str(len(folders))
            (folder / "photos").mkdir(parents=True)
            (folder / "photos.txt").write_text("\n".join(write_distinct(folder / "photos", PREDICTED)))
            shutil.rmtree(folder / "photos" / "pictures")
            run(checkout, folder, START + TRAIN + END)
            run(checkout, folder, WAITS["featx export model/ bundle/, again"])
        for task, program in WAITS.items():
            if arguments.task not in task:
                continue
            turns = [
                [run(checkout, folder, program) for checkout, folder in folders.items()]
                for _ in range(1 + arguments.runs)
            ]
            other, this = (statistics.median(values) for values in zip(*turns[1:], strict=True))
            print(f"  {task:42} {other:7.2f} {this:7.2f}  {other / this:5.1f}", flush=True)


def run(checkout: Path, folder: Path, program: str | list[str]) -> float:
    """Seconds that a program prints last, or that featx's command takes."""
    environment = {**os.environ, "PYTHONPATH": str(checkout.absolute()), "XDG_CACHE_HOME": str(folder / "cache")}
    command = [sys.executable, *(["-c", program] if isinstance(program, str) else ["-m", "featx", *program])]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.perf_counter() - started
    return float(done.stdout.split()[-1]) if isinstance(program, str) else seconds


if __name__ == "__main__":
    main()
