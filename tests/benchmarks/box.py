"""A bundle on a small box: a virtual environment with nothing but its requirements, beside the one that trained it."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from pathlib import Path

import numpy as np

import featx
from tests.benchmarks.photos import write_distinct

# Time from the start of the process, as its parent saw it; Linux tells the peak.
_REPORT = """
import json, sys, time
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"seconds": time.time() - float(sys.argv[1]), "peak": peak / 1024}))
"""
FIRST = "import sys\nfrom predictor import Predictor\nPredictor().predict([sys.argv[2]])" + _REPORT
BARE = (
    """
import io, sys
import numpy as np, onnxruntime
from PIL import Image
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
image = Image.open(sys.argv[2]).convert("RGB").resize((224, 224))
session.run(["embedding"], {"image": np.asarray(image)[None]})
"""
    + _REPORT
)
EACH = """
import json, statistics, sys, time
from predictor import Predictor
predictor = Predictor()
times = []
for path in sys.argv[2:]:
    started = time.perf_counter()
    predictor.predict([path])
    times.append(time.perf_counter() - started)
print(json.dumps(1e3 * statistics.median(times[len(times) // 10:])))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--head", default="auto", help="sklearn: what a head costs that stays scikit-learn's")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        paths = write_distinct(Path(scratch), arguments.images)
        model = featx.image_pipeline(cache=False, verbose=0).fit(paths[:20], np.arange(20) % 2)
        bundle = featx.export_bundle(model, Path(scratch) / "bundle", head=arguments.head).folder
        venv.create(Path(scratch) / "box", with_pip=True)
        python = Path(scratch) / "box" / "bin" / "python"
        install = [python, "-m", "pip", "install", "--quiet", "-r", bundle / "requirements.txt"]
        subprocess.run(install, check=True)
        here = Path(sysconfig.get_paths()["purelib"])
        print(
            f"environment of the bundle: {megabytes(python.parent.parent):,.0f} MB; of featx: {megabytes(here):,.0f} MB"
        )
        print(f"the bundle itself: {megabytes(bundle):.1f} MB")
        for name, code in (("bundle", FIRST), ("bare ONNX Runtime", BARE)):
            runs = [json.loads(run(python, bundle, code, paths[:1])) for _ in range(arguments.runs)]
            seconds, peak = (statistics.median(entry[key] for entry in runs) for key in ("seconds", "peak"))
            print(f"{name}: {seconds:.2f} s from the process's start to its first prediction, peak {peak:.0f} MB")
        pairs = [(float(run(python, bundle, EACH, paths)), one_by_one(model, paths)) for _ in range(3)]
        ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"one image at a time: bundle {ours:.1f} ms, pipeline with a warm encoder {theirs:.1f} ms")


def run(python: Path, folder: Path, code: str, paths: list[str]) -> str:
    # A folder of its own as the working folder, and nothing of this checkout on the path.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [python, "-c", code, str(time.time()), *paths]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def one_by_one(model, paths: list[str]) -> float:
    times = []
    for path in paths:
        started = time.perf_counter()
        model.predict([path])
        times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times[len(times) // 10 :])


def megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink()) / 1e6


if __name__ == "__main__":
    sys.exit(main())
