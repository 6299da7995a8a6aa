import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from featx.transfer._interval import fold_interval


def test_the_interval_is_students_with_the_correction_for_overlap():
    values = np.array([1.0, 2.0, 4.0])
    low, high = fold_interval(values, test_share=0.5)
    half = 4.302653 * values.std(ddof=1) * np.sqrt(1 / 3 + 0.5)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=1e-5)


def test_one_fold_has_no_interval():
    assert np.isnan(fold_interval([0.5], 0.25)).all()


def test_the_difference_of_two_equal_feature_sets_is_seldom_beyond_it():
    rng, beyond = np.random.default_rng(0), 0
    for _ in range(40):
        y = rng.integers(0, 2, 100)
        a, b = (cross_val_score(LogisticRegression(), y[:, None] + rng.normal(0, 3, (100, 5)), y, cv=5) for _ in "ab")
        low, high = fold_interval(a - b, test_share=0.25)
        beyond += low > 0 or high < 0
    assert beyond <= 5
