from __future__ import annotations

import numpy as np
import pytest

from featx.bench.peers._loading import BATCH, batched


@pytest.fixture
def embed():
    import torch

    seen = []

    def forward(batch):
        seen.append(len(batch))
        return batch.float().mean((1, 2))

    return batched(lambda image: torch.from_numpy(np.array(image)), forward, 0), seen


def test_rows_come_in_the_order_of_the_paths_in_full_batches(embed, files):
    embed, seen = embed
    rows = embed(files * 3)
    assert seen == [BATCH, 36 - BATCH]
    assert rows.shape == (36, 3)
    np.testing.assert_array_equal(rows[:12], rows[12:24])
    assert len(np.unique(rows, axis=0)) == 12


def test_another_call_may_have_other_paths(embed, files):
    embed, _ = embed
    np.testing.assert_array_equal(embed(files)[[3, 5]], embed([files[3], files[5]]))
