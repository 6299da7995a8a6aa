"""What runs a network: the whole contract."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Runtime(Protocol):
    """Runs a network; alone owns eval mode, precision, memory layout, padding and folding.

    Attributes
    ----------
    name, device : str
        For the store's metadata.
    dims : tuple of int
        Length of the embedding of each layer.
    batch_size : int
        Images a call that it runs best.
    """

    name: str
    device: str
    dims: tuple[int, ...]
    batch_size: int

    def run(self, batch: np.ndarray, *, alone: bool = False) -> np.ndarray:
        """uint8 (n, size, size, 3) -> float32 (n, sum of dims), the layers side by side.

        Threads may call it at once; one that calls it `alone` gets all
        processors for its call, else each call gets one.
        """
        ...

    def close(self) -> None:
        """Give memory back."""
        ...
