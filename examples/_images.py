"""The labelled images that the examples run on: a folder of one's own, Fashion-MNIST where installed, else digits."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import featx

FASHION = Path("/usr/share/datasets/fashion-mnist")  # Debian: apt-get install dataset-fashion-mnist
NAMES = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]


def read_images(folder: Path | None, limit: int | None) -> tuple[list[Image.Image], np.ndarray, str]:
    """Images and labels, drawn at random up to the limit, and where they come from."""
    if folder:
        table = featx.read_image_folder(folder)
        images, labels, source = table["image"].tolist(), table["label"].to_numpy(), str(folder)
    elif FASHION.exists():
        images, labels, source = *read_fashion("t10k"), "Fashion-MNIST"
    else:
        images, labels, source = *read_digits(), "digits"
    chosen = np.random.default_rng(0).permutation(len(images))[:limit]
    return [open_image(images[i]) for i in chosen], np.asarray(labels)[chosen], source


def read_fashion(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 28, 28), uint8, and names of "train" (60,000) or "t10k" (10,000)."""
    with gzip.open(FASHION / f"{part}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(FASHION / f"{part}-labels-idx1-ubyte.gz") as file:
        return images, np.array(NAMES)[np.frombuffer(file.read(), np.uint8, offset=8)]


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's 1,797 scanned digits (n, 8, 8), uint8, and their names."""
    digits = load_digits()
    return (digits.images * 255 / 16).astype(np.uint8), digits.target.astype(str)


def open_image(image: str | np.ndarray) -> Image.Image:
    return Image.open(image).convert("RGB") if isinstance(image, str) else Image.fromarray(image)
