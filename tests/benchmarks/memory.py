"""Peak memory of a cold run over many images, beside that over few; the output array is not counted."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.photos import write_distinct

COLD = """
import resource, sys, featx
paths = open(sys.argv[1]).read().split("\\n")
rows = featx.ImageEncoder(cache=sys.argv[2], verbose=0).transform(paths)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(peak / 1e6, (peak - rows.nbytes) / 1e6)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--few", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        paths = write_distinct(Path(scratch), arguments.images)
        measure(paths[: arguments.few], Path(scratch, "warm-up"))  # converts the network
        few, many = (measure(paths[:n], Path(scratch, str(n))) for n in (arguments.few, arguments.images))
    print(f"{arguments.few:7,} images: peak {few[0]:6.0f} MB, {few[1]:6.0f} MB without the output")
    print(f"{arguments.images:7,} images: peak {many[0]:6.0f} MB, {many[1]:6.0f} MB without the output")
    print(f"more for more images: {many[1] - few[1]:.0f} MB")


def measure(paths: list[str], store: Path) -> list[float]:
    listing = store.with_suffix(".txt")
    listing.write_text("\n".join(paths))
    command = [sys.executable, "-c", COLD, str(listing), str(store)]
    return [
        float(value) for value in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    ]


if __name__ == "__main__":
    main()
