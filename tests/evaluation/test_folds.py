"""Folds hold every row once and divide no group; an interval counts how much their training sets overlap."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import ShuffleSplit

from featx.evaluation import fold_interval, hold_out, make_folds
from featx.exceptions import InputError, ParameterError

LABELS = np.array(["a"] * 12 + ["b"] * 8)


@given(st.lists(st.integers(0, 2), min_size=20, max_size=60).filter(lambda y: min(np.bincount(y, minlength=3)) >= 4))
def test_each_row_is_tested_once_and_each_fold_has_every_class(y):
    folds = make_folds(np.array(y), 4)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(y)))
    for train, test in folds:
        assert not set(train) & set(test)
        assert set(np.array(y)[test]) == {0, 1, 2}


@given(st.lists(st.integers(0, 9), min_size=40, max_size=60).filter(lambda g: len(set(g)) >= 4), st.booleans())
def test_no_group_is_on_both_sides(groups, regression):
    y = np.arange(len(groups)) % 2
    for train, test in make_folds(y, 4, groups, regression=regression):
        assert not set(np.array(groups)[train]) & set(np.array(groups)[test])


def test_the_same_rows_give_the_same_folds():
    first, second = make_folds(LABELS, 4), make_folds(LABELS, 4)
    assert all((a[1] == b[1]).all() for a, b in zip(first, second, strict=True))


def test_splitters_and_lists_of_folds_are_taken():
    assert len(make_folds(LABELS, ShuffleSplit(3, random_state=0))) == 3
    assert len(make_folds(LABELS, [(np.arange(10), np.arange(10, 20))])) == 1


@pytest.mark.parametrize(
    ("cv", "groups", "message"),
    [
        (9, None, "8 images of class 'b' for cv=9"),
        (3, [0] * 10 + [1] * 10, "2 groups for cv=3"),
        (3, [0], r"groups of shape \(1,\) for 20 rows"),
    ],
)
def test_too_few_rows_or_groups_are_named(cv, groups, message):
    with pytest.raises(InputError, match=message):
        make_folds(LABELS, cv, groups)


def test_too_few_rows_of_numbers_are_named():
    with pytest.raises(InputError, match="2 rows for cv=5"):
        make_folds(np.array([0.5, 1.5]), 5, regression=True)


@pytest.mark.parametrize("cv", [1, 0, "five", True])
def test_what_gives_no_folds_is_refused(cv):
    with pytest.raises(ParameterError, match=f"Got cv={cv!r}"):
        make_folds(LABELS, cv)


@pytest.mark.parametrize("y", [[46.0, 47.0, 47.0], [46, 47, 47], ["46", "47", "47"]])
def test_too_few_rows_of_a_number_suggest_regression(y):
    with pytest.raises(InputError, match=r'of class \'46.*numbers to predict, pass task="regression"'):
        make_folds(np.array(y), 2)
    with pytest.raises(InputError, match=r"leave the class out\.$"):
        make_folds(np.array(["a", "b", "b"]), 2)


def test_the_interval_is_students_with_the_correction_for_overlap():
    values = np.array([1.0, 2.0, 4.0])
    low, high = fold_interval(values, test_share=0.5)
    half = 4.302653 * values.std(ddof=1) * np.sqrt(1 / 3 + 0.5)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=1e-5)


def test_one_fold_has_no_interval():
    assert np.isnan(fold_interval([0.5], 0.25)).all()


def test_a_mean_over_folds_that_share_rows_is_beyond_its_interval_as_seldom_as_stated():
    """Scores of folds correlate by the share of a test set, which is what the correction is derived from."""
    rng, test_share, n = np.random.default_rng(0), 0.25, 5
    correlation = test_share / (1 + test_share)
    shared, own = rng.normal(size=(4000, 1)), rng.normal(size=(4000, n))
    values = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
    intervals = np.array([fold_interval(row, test_share) for row in values])
    beyond = np.mean((intervals[:, 0] > 0) | (intervals[:, 1] < 0))
    assert 0.04 < beyond < 0.06


def test_a_variance_with_its_degrees_of_freedom_replaces_that_of_the_folds():
    values = [0.90, 0.92, 0.91]
    known = fold_interval(values, 0.5, variance=np.var(values, ddof=1), degrees_of_freedom=2)
    assert known == pytest.approx(fold_interval(values, 0.5))
    low, high = fold_interval(values, 0.5, 0.9, variance=0.04, degrees_of_freedom=60)
    half = 1.670649 * 0.2 * np.sqrt(1 / 3 + 0.5)
    assert (low, high) == pytest.approx((0.91 - half, 0.91 + half), abs=1e-6)


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.floats(0.01, 0.99), st.integers(0, 9))
def test_each_class_keeps_a_row_and_loses_one_where_it_has_two(codes, fraction, seed):
    codes = np.unique(codes, return_inverse=True)[1]
    held_out = hold_out(codes, fraction, np.random.RandomState(seed))
    counts, lost = np.bincount(codes), np.bincount(codes[held_out], minlength=codes.max() + 1)
    assert (lost < counts).all()
    assert ((lost > 0) == (counts > 1)).all()


def test_the_fraction_of_each_class_is_held_out():
    codes = np.repeat([0, 1, 2, 3], [1, 2, 3, 50])
    held_out = hold_out(codes, 0.2, np.random.RandomState(0))
    assert np.bincount(codes[held_out], minlength=4).tolist() == [0, 1, 1, 10]
