"""A cold run against embetter, side by side: the same photos, the same network, interleaved.

embetter's TimmEncoder fetches weights from a hub in its constructor; here timm is told not to, so both run
EfficientNet-Lite0 with random weights, which takes the same time. pip install "embetter[vision]==0.9.1"
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

import featx


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        paths = write_photos(Path(scratch), arguments.images)
        candidates = {"featx, torch runtime": featx_transform(), "embetter 0.9.1": embetter_transform()}
        times: dict[str, list[float]] = {name: [] for name in candidates}
        for transform in candidates.values():
            transform(paths[:2])
        for _ in range(arguments.runs):
            for name, transform in candidates.items():
                started = time.perf_counter()
                transform(paths)
                times[name].append(len(paths) / (time.perf_counter() - started))
    rates = {name: statistics.median(values) for name, values in times.items()}
    for name, rate in rates.items():
        print(f"{name:24} {rate:7.1f} images/s   {rate / rates['embetter 0.9.1']:5.2f}x")


def featx_transform():
    return featx.ImageEncoder(cache=False, runtime="torch", verbose=0).transform


def embetter_transform():
    import timm

    timm.create_model = partial(create_without_hub, timm.create_model)
    from embetter.vision import ImageLoader, TimmEncoder

    loader, encoder = ImageLoader(), TimmEncoder("tf_efficientnet_lite0")
    return lambda paths: encoder.transform(loader.transform(paths))


def create_without_hub(create, name, *, pretrained, **options):
    return create(name, pretrained=False, **options)


def write_photos(folder: Path, n: int) -> list[str]:
    """Distinct JPEG files of 500 x 375 pixels and about 50 kB, from scikit-learn's photos."""
    photos = [Image.fromarray(photo) for photo in load_sample_images().images]
    rng = np.random.default_rng(0)
    paths = []
    for i in range(n):
        left, upper = rng.integers(0, 100), rng.integers(0, 40)
        crop = photos[i % 2].resize((500, 375), box=(left, upper, left + 540, upper + 387))
        path = folder / f"{i:04}.jpg"
        crop.save(path, quality=85)
        paths.append(str(path))
    return paths


if __name__ == "__main__":
    main()
