"""A parallel grid search on 300 images, twice, each in a new process: rows in the store, images encoded."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_sample_images

import featx
from tests.counting import totals
from tests.test_pipeline import photo_folder, search

ROOT = Path(__file__).parent.parent.parent


def main() -> None:
    photos = load_sample_images().images
    corners = [(y, x) for y in range(0, 300, 75) for x in range(0, 480, 96)]
    crops = [np.ascontiguousarray(photo[y : y + 120, x : x + 160]) for photo in photos for y, x in corners]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        photo_folder(folder / "photos", crops, 300)
        for name in ("first", "second"):
            started = time.perf_counter()
            result = search(folder, ROOT, name)
            seconds = time.perf_counter() - started
            info = featx.EmbeddingStore(folder / "store").info()
            print(f"{name} run: {seconds:.1f} s, {totals(folder / name)}, native modules: {result['native']}")
            print(f"  store: rows={info['rows'].tolist()} unique_rows={info['unique_rows'].tolist()}")


if __name__ == "__main__":
    main()
