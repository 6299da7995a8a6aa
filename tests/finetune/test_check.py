"""Parameters that cannot be are refused before anything is read."""

from __future__ import annotations

import numpy as np
import pytest

from featx.exceptions import ParameterError
from featx.finetune import FineTuneRegressor
from featx.finetune._check import check_parameters


@pytest.mark.parametrize(
    "parameter",
    [
        {"epochs": 0},
        {"batch_size": 1.5},
        {"learning_rate": -1},
        {"learning_rate": float("nan")},
        {"layer_decay": 1.5},
        {"weight_decay": -0.1},
        {"warmup": 1},
        {"validation": 1.0},
        {"patience": 0},
        {"train_norms": "yes"},
        {"source_weight": 0},
        {"start": "prob"},
        {"augment": "flips"},
        {"precision": "float16"},
    ],
    ids=str,
)
def test_a_value_that_is_not_accepted_is_named(parameter):
    (name,) = parameter
    with pytest.raises(ParameterError, match=name):
        check_parameters(FineTuneRegressor(**parameter).get_params(deep=False))


def test_the_defaults_are_accepted():
    check_parameters(FineTuneRegressor().get_params(deep=False))


def test_what_numpy_calls_numbers_and_bools_is_accepted():
    given = {"epochs": np.int64(2), "train_norms": np.bool_(True), "learning_rate": np.float32(0.1)}
    check_parameters(FineTuneRegressor(**given).get_params(deep=False))


def test_a_checkpoint_wants_a_seed():
    with pytest.raises(ParameterError, match="random_state=None"):
        check_parameters(FineTuneRegressor(checkpoint="here", random_state=None).get_params(deep=False))
