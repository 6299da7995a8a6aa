"""Keys and rows that the tests of the store share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from featx.store._files import LocalFiles
from featx.store._segment import new_name, write_segment

PRINT = "a1" * 32
OTHER = "b2" * 32
META = {"encoder": {"name": "example"}, "runtime": "torch", "seconds": 0.5}


def make_keys(numbers) -> np.ndarray:
    """Keys that differ in one byte, and end in zeros."""
    keys = np.zeros((len(numbers), 16), np.uint8)
    keys[:, 1] = np.asarray(numbers, np.uint8)
    return keys


def make_rows(numbers, dim: int = 5) -> np.ndarray:
    return np.asarray(numbers, np.float32)[:, None] + np.arange(dim, dtype=np.float32) / 8


def some_keys(n: int, seed: int = 0) -> np.ndarray:
    """Keys as digests are: any bytes."""
    return np.random.default_rng(seed).integers(0, 256, (n, 16), dtype=np.uint8)


def some_rows(n: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)


def padded(parts: list[bytes]) -> np.ndarray:
    """Keys that begin with these bytes and end in zeros."""
    return np.frombuffer(b"".join(part.ljust(16, b"\0") for part in parts), np.uint8).reshape(-1, 16)


def publish_segment(folder: Path, keys, rows, metadata) -> Path:
    """Write a segment into a folder."""
    name = new_name()
    LocalFiles(folder).publish(name, lambda file: write_segment(file, keys, rows, metadata))
    return folder / name
