"""Numbers are brought to one scale, and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from featx.exceptions import InputError
from featx.finetune._numbers import Numbers


def test_targets_have_mean_0_and_variance_1():
    targets = Numbers([[10.0, 1.0], [20.0, 5.0], [60.0, 3.0]], 3).targets
    np.testing.assert_allclose(targets.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(targets.std(0), 1, atol=1e-6)


@pytest.mark.parametrize("columns", [0, 1, 2])
def test_a_head_speaks_in_the_units_of_y(columns):
    Z = np.random.default_rng(0).normal(size=(50, 3))
    y = 100 + 7 * Z[:, 0] if columns == 0 else 100 + 7 * Z[:, :columns]
    labels = Numbers(y, 50)
    exact = np.linalg.lstsq(np.column_stack([Z, np.ones(50)]), labels.targets, rcond=None)[0]
    head = labels.head(exact[:3].T, exact[3])
    np.testing.assert_allclose(head.predict(Z), y, atol=1e-3)


def test_the_measure_is_the_mean_absolute_error_in_the_units_of_y():
    labels = Numbers([0.0, 10.0], 2)
    assert labels.judge(torch.zeros(2, 1), torch.from_numpy(labels.targets)) == pytest.approx(5)


def test_one_value_is_refused():
    with pytest.raises(InputError, match="one value"):
        Numbers([1.0, 1.0], 2)


def test_padded_targets_lie_in_their_columns():
    padded = Numbers([0.0, 2.0], 2).at(1, 3)
    assert padded.tolist() == [[0, -1, 0], [0, 1, 0]]
