from __future__ import annotations

import numpy as np
import pytest

from featx.adapt._seed import check_seed
from featx.exceptions import ParameterError


def test_a_whole_number_is_taken_as_it_is():
    assert check_seed(np.int64(7)) == 7
    assert check_seed(2**32 - 1) == 2**32 - 1


def test_none_draws_another_each_time():
    assert len({check_seed(None) for _ in range(5)}) > 1


@pytest.mark.parametrize("random_state", [-1, "a", 2**40, 1.0, True, np.random.default_rng(0)])
def test_what_is_no_seed_is_said(random_state):
    with pytest.raises(ParameterError, match=r"Got random_state=.* Expected a whole number"):
        check_seed(random_state)
