"""What featx adds to the import of scikit-learn: medians of interleaved runs in new processes."""

from __future__ import annotations

import statistics
import subprocess
import sys

RUNS = 9
CODES = {
    "import featx": "import featx",
    "import sklearn (with Pipeline)": "import sklearn.pipeline",
    "featx.ImageEncoder, after sklearn": "import featx; featx.ImageEncoder",
    "featx.ImageEncoder, from nothing": "import featx; featx.ImageEncoder",
}


def seconds(name: str, code: str) -> float:
    before = "import sklearn.pipeline; " if "after sklearn" in name else ""
    program = f"{before}import time; t = time.perf_counter(); {code}; print(time.perf_counter() - t)"
    return float(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)


def main() -> None:
    times = {name: [] for name in CODES}
    for _ in range(RUNS):
        for name, code in CODES.items():
            times[name].append(seconds(name, code))
    for name, values in times.items():
        print(f"{name:36} {statistics.median(values) * 1e3:7.1f} ms")


if __name__ == "__main__":
    main()
