"""Fashion-MNIST, as Debian's dataset-fashion-mnist has it."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

DATA = Path("/usr/share/datasets/fashion-mnist")


def read_fashion(folder: Path = DATA, part: str = "t10k") -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 (n, 28, 28), and labels of "train" (60,000) or "t10k" (10,000)."""
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return images, labels
