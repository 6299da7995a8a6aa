"""Training rows: inputs, targets, weights and tasks, and the batches that are made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Rows:
    """n images as a network gets them, a batch at a time: a map-style dataset for torch's DataLoader.

    Attributes
    ----------
    inputs : sequence of ndarray
        Of each task: uint8 pixels, or float32 activations.
    targets : sequence of ndarray
        Of each task.
    tasks, positions : ndarray of shape (n,), int64
        A row is an image at a position of a task.
    weights : ndarray of shape (n,), float32
    augment : callable, default=None
        uint8 tensor (n, 3, size, size) -> the same, changed.
    """

    inputs: Sequence[np.ndarray]
    targets: Sequence[np.ndarray]
    tasks: np.ndarray
    positions: np.ndarray
    weights: np.ndarray
    augment: Callable | None = None

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return self.__getitems__([i])

    def __getitems__(self, some: list[int]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """A batch: the DataLoader asks for it whole, and has nothing to collate."""
        import torch

        inputs = torch.from_numpy(self._gather(self.inputs, some))
        if inputs.dtype == torch.uint8:
            inputs = inputs.permute(0, 3, 1, 2)
            inputs = inputs if self.augment is None else self.augment(inputs)
        y = {"target": self._gather(self.targets, some), "weight": self.weights[some], "task": self.tasks[some]}
        return inputs, {name: torch.from_numpy(values) for name, values in y.items()}

    def _gather(self, arrays: Sequence[np.ndarray], some: list[int]) -> np.ndarray:
        tasks, positions = self.tasks[some], self.positions[some]
        gathered = np.empty((len(some), *arrays[0].shape[1:]), arrays[0].dtype)
        for task, array in enumerate(arrays):
            gathered[tasks == task] = array[positions[tasks == task]]
        return gathered
