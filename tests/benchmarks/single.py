"""One image through a fitted pipeline, the model warm, beside its parts: decoding, and one pass of the network."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

import featx
from featx._image_encoder import extraction_of
from featx.images import PixelPath
from featx.runtimes import get_runtime
from tests.benchmarks.photos import write_distinct


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        paths = write_distinct(Path(scratch), arguments.images)
        model = featx.image_pipeline("logistic", cache=False, verbose=0)
        model.fit(paths[:40], np.arange(40) % 2)
        encoder = model.named_steps["encoder"]
        (spec,) = extraction_of(encoder).specs
        pixel_path, runtime = PixelPath(spec.preprocess), get_runtime([spec])
        times: dict[str, list[float]] = {"predict": [], "decode": [], "encode": []}
        for path in paths:
            times["predict"].append(timed(lambda path=path: model.predict([path])))
            times["decode"].append(timed(lambda path=path: pixel_path(path)))
            pixels = pixel_path(path)[1][None]
            times["encode"].append(timed(lambda pixels=pixels: runtime.run(pixels, alone=True)))
    medians = {name: 1e3 * statistics.median(values[len(values) // 10 :]) for name, values in times.items()}
    parts = medians["decode"] + medians["encode"]
    print(*(f"{name} {value:.2f} ms" for name, value in medians.items()), sep=", ")
    print(f"predict of one image: {medians['predict'] / parts:.2f}x of decode + one encoder pass")


def timed(function) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
