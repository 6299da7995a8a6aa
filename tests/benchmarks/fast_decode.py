"""decode="fast" beside the exact way: its speed on photos of three sizes, and what it changes in the embedding."""

from __future__ import annotations

import argparse
import io
import statistics
import time

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

import featx
from featx.encoders import resolve
from featx.images import PixelPath

SIZES = ((500, 375), (1600, 1200), (4000, 3000))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    (spec,) = resolve("efficientnet_lite0")
    for size in SIZES:
        files = [jpeg(photo, size, seed) for seed, photo in enumerate(load_sample_images().images)]
        spent: dict[str, list[float]] = {"exact": [], "fast": []}
        for _ in range(arguments.runs):
            for decode, values in spent.items():
                values.append(timed(PixelPath(spec.preprocess, decode), files))
        exact, fast = (1e3 * statistics.median(values) for values in spent.values())
        rows = [featx.ImageEncoder(decode=decode, cache=False, verbose=0).transform(files) for decode in spent]
        errors = np.linalg.norm(rows[1] - rows[0], axis=1) / np.linalg.norm(rows[0], axis=1)
        print(f"{size[0]} x {size[1]}: exact {exact:.1f} ms, fast {fast:.1f} ms, {exact / fast:.1f}x; ", end="")
        print(f"relative L2 of the embeddings {errors.max():.3f}")


def jpeg(photo: np.ndarray, size: tuple[int, int], seed: int) -> bytes:
    """A photo of that size, with a camera's noise where it is enlarged."""
    pixels = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC), np.float32)
    if size[0] > photo.shape[1]:
        pixels = pixels + np.random.default_rng(seed).normal(0, 6, (*pixels.shape[:2], 1))
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def timed(pixel_path: PixelPath, files: list[bytes]) -> float:
    """Seconds an image, on one thread."""
    started = time.perf_counter()
    for file in files:
        pixel_path(file)
    return (time.perf_counter() - started) / len(files)


if __name__ == "__main__":
    main()
