"""torch's DataLoader over image files, as a careful user would write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import torch

BATCH = 32


class _Files:
    """A data set whose index is the path."""

    def __init__(self, transform: Callable[[Image.Image], torch.Tensor]):
        self._transform = transform

    def __getitem__(self, path: str) -> torch.Tensor:
        with Image.open(path) as image:
            return self._transform(image.convert("RGB"))


def batched(
    transform: Callable[[Image.Image], torch.Tensor], forward: Callable[[torch.Tensor], torch.Tensor], n_workers: int
) -> Callable[[list[str]], np.ndarray]:
    """Make a function from paths to embeddings: workers decode, batches of 32 go through the network.

    Parameters
    ----------
    transform : callable
        Image -> tensor; runs in the workers, which stay between calls.
    forward : callable
        Batch -> embeddings (n, dim).
    n_workers : int
    """
    import torch

    batches: list[list[str]] = []
    loader = torch.utils.data.DataLoader(
        _Files(transform), batch_sampler=batches, num_workers=n_workers, persistent_workers=n_workers > 0
    )

    def embed(paths: list[str]) -> np.ndarray:
        batches[:] = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
        with torch.inference_mode():
            return torch.cat([forward(batch).flatten(1) for batch in loader]).cpu().numpy()

    return embed
