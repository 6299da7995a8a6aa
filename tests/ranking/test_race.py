"""A budget makes rounds of growing size, and drops candidates that cannot win."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.exceptions import ParameterError
from featx.ranking._race import Budget, rounds, survivors


@pytest.mark.parametrize("budget", ["soon", 0, -1, "0s", []])
def test_anything_but_a_positive_time_is_refused(budget):
    with pytest.raises(ParameterError, match="Got budget="):
        Budget(budget)


@pytest.mark.parametrize(("budget", "seconds"), [("10min", 600), (90, 90), ("1h", 3600), (0.5, 0.5)])
def test_a_budget_is_seconds_or_words(budget, seconds):
    assert Budget(budget).left() == pytest.approx(seconds, abs=0.2)


def test_without_a_budget_there_is_one_round_of_all():
    (rows,) = rounds(np.arange(9) % 2, Budget(None), n_folds=5, regression=False)
    assert rows.tolist() == list(range(9))


@given(st.integers(2, 4), st.integers(200, 900))
def test_each_round_is_a_part_of_the_next_with_its_share_of_each_class(n_classes, n):
    y = np.arange(n) % n_classes
    parts = rounds(y, Budget(60), n_folds=5, regression=False)
    assert parts[-1].tolist() == list(range(n))
    for smaller, larger in pairwise(parts):
        assert set(smaller) < set(larger)
        counts = np.bincount(y[smaller])
        assert counts.max() - counts.min() <= 2


def test_a_rare_class_has_enough_rows_in_the_first_round():
    y = np.array([0] * 1000 + [1] * 50)
    first = rounds(y, Budget(60), n_folds=5, regression=False)[0]
    assert (y[first] == 1).sum() >= 20


def test_candidates_beyond_the_interval_of_the_best_are_dropped():
    best = np.array([0.90, 0.91, 0.92, 0.90, 0.91])
    near, far = best + np.array([0.01, -0.02, 0.01, -0.02, 0.01]), best - 0.3
    assert survivors([far, best, near], 0.25, halve=False) == [1, 2]


def test_if_time_is_short_the_better_half_goes_on():
    folds = [np.array([0.9, 0.8]) + np.array([0, 0.01 * i]) for i in range(5)]
    assert survivors(folds, 1.0, halve=False) == [4, 3, 2, 1, 0]
    assert survivors(folds, 1.0, halve=True) == [4, 3, 2]
