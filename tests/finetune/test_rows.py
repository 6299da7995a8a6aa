"""A batch holds the rows that were asked for."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import DataLoader

from featx.finetune._rows import Rows


def rows(**changes) -> Rows:
    """Rows 0 and 1 of a first task, row 2 of a second one."""
    values = {
        "inputs": [np.arange(4.0, dtype=np.float32).reshape(2, 2), 10 + np.arange(6.0, dtype=np.float32).reshape(3, 2)],
        "targets": [np.array([0, 1]), np.array([2, 3, 4])],
        "tasks": np.array([0, 0, 1]),
        "positions": np.array([0, 1, 2]),
        "weights": np.array([1, 2, 3], np.float32),
    }
    return Rows(**{**values, **changes})


def test_a_batch_holds_rows_of_each_task():
    inputs, y = rows().__getitems__([2, 0])
    assert inputs.tolist() == [[14, 15], [0, 1]]
    assert {name: values.tolist() for name, values in y.items()} == {"target": [4, 0], "weight": [3, 1], "task": [1, 0]}


def test_a_loader_asks_for_whole_batches():
    batches = list(DataLoader(rows(), batch_size=2, collate_fn=lambda batch: batch))
    assert [len(inputs) for inputs, _ in batches] == [2, 1]


def test_pixels_come_with_their_channels_first_and_are_changed():
    pixels = np.arange(24, dtype=np.uint8).reshape(1, 2, 4, 3)
    one = {"tasks": np.zeros(1, int), "positions": np.zeros(1, int), "weights": np.ones(1, np.float32)}
    inputs, _ = rows(inputs=[pixels], targets=[np.array([0])], augment=lambda images: images + 1, **one)[0]
    assert torch.equal(inputs, torch.from_numpy(pixels + 1).permute(0, 3, 1, 2))
