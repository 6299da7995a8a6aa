"""decode="fast" beside the exact way: its speed on photos of three sizes, and what it changes in the embedding.

Needs scikit-image, for its photos: ``pip install 'featx[fast,report]'``.
"""

from __future__ import annotations

import argparse
import io
import time

import numpy as np
from PIL import Image, ImageOps
from skimage import data
from sklearn.datasets import load_sample_images

import featx
from featx.encoders import resolve
from featx.images import PixelPath

SIZES = ((500, 375), (1600, 1200), (4000, 3000))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quality", type=int, default=90, help="of the JPEGs")
    parser.add_argument("--noise", type=float, default=6, help="grey levels of it in photos that are enlarged")
    arguments = parser.parse_args()
    (spec,) = resolve("efficientnet_lite0")
    paths = {decode: PixelPath(spec.preprocess, decode) for decode in ("exact", "fast")}
    for size in SIZES:
        files = [
            jpeg(photo, size, arguments.quality, arguments.noise, seed) for seed, photo in enumerate(load_photos())
        ]
        seconds = dict.fromkeys(paths, np.full(len(files), np.inf))
        for _ in range(arguments.runs):
            for decode, path in paths.items():
                seconds[decode] = np.minimum(seconds[decode], [timed(path, file) for file in files])
        exact, fast = (1e3 * times.mean() for times in seconds.values())
        rows = [featx.ImageEncoder(decode=decode, cache=False, verbose=0).transform(files) for decode in paths]
        errors = np.linalg.norm(rows[1] - rows[0], axis=1) / np.linalg.norm(rows[0], axis=1)
        bits = 8 * np.mean([len(file) for file in files]) / (size[0] * size[1])
        print(f"{size[0]} x {size[1]}, {bits:.1f} bits a pixel: ", end="")
        print(f"exact {exact:.1f} ms, fast {fast:.1f} ms, {exact / fast:.1f}x; ", end="")
        print(f"relative L2 of the embeddings {np.median(errors):.3f}, at worst {errors.max():.3f}", flush=True)


def load_photos() -> list[np.ndarray]:
    """Load the photos that scikit-learn and scikit-image carry."""
    return [*load_sample_images().images, data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]


def jpeg(photo: np.ndarray, size: tuple[int, int], quality: int, noise: float, seed: int) -> bytes:
    """Encode a photo's middle at that size, with a camera's noise where it is enlarged."""
    pixels = np.asarray(ImageOps.fit(Image.fromarray(photo), size, Image.Resampling.BICUBIC), np.float32)
    if size[0] > photo.shape[1]:
        pixels = pixels + np.random.default_rng(seed).normal(0, noise, (*pixels.shape[:2], 1))
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
    return file.getvalue()


def timed(path: PixelPath, file: bytes) -> float:
    """Seconds of the processor for one image, on one thread."""
    started = time.process_time()
    path(file)
    return time.process_time() - started


if __name__ == "__main__":
    main()
