import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import ShuffleSplit

from featx.evaluation._folds import make_folds
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


def test_a_splitter_or_folds_of_ones_own_are_taken():
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
def test_too_few_of_a_kind_is_said(cv, groups, message):
    with pytest.raises(InputError, match=message):
        make_folds(LABELS, cv, groups)


def test_too_few_rows_of_numbers_is_said():
    with pytest.raises(InputError, match="2 rows for cv=5"):
        make_folds(np.array([0.5, 1.5]), 5, regression=True)


@pytest.mark.parametrize("cv", [1, 0, "five", True])
def test_what_gives_no_folds_is_refused(cv):
    with pytest.raises(ParameterError, match=f"Got cv={cv!r}"):
        make_folds(LABELS, cv)


@pytest.mark.parametrize("y", [[46.0, 47.0, 47.0], [46, 47, 47], ["46", "47", "47"]])
def test_too_few_of_a_number_names_the_way_out(y):
    with pytest.raises(InputError, match=r'of class \'46.*numbers to predict, pass task="regression"'):
        make_folds(np.array(y), 2)
    with pytest.raises(InputError, match=r"leave the class out\.$"):
        make_folds(np.array(["a", "b", "b"]), 2)
