import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import GroupShuffleSplit, RepeatedStratifiedKFold, ShuffleSplit, StratifiedKFold

from featx.compare import check_cv, fix_cv, keep_rows, nested_folds
from featx.compare._folds import choose_sizes
from featx.exceptions import InputError, ParameterError

Y = np.array(["a"] * 40 + ["b"] * 20)


def folds_of(y=Y, cv=4, groups=None, regression=False, seed=0):
    return nested_folds(y, cv, groups, regression, np.random.default_rng(seed))


@given(st.integers(0, 99), st.integers(3, 8))
def test_each_row_is_tested_once_and_never_by_a_head_that_saw_it(seed, n):
    folds = folds_of(cv=n, seed=seed)
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(60))
    for fold in folds:
        assert sorted([*fold.train, *fold.test]) == list(range(60))


@given(st.integers(0, 99), st.integers(2, 45))
def test_each_beginning_of_the_training_rows_is_stratified(seed, size):
    for fold in folds_of(seed=seed):
        beginning = Y[fold.train[:size]]
        assert (beginning == "b").sum() >= 1
        assert abs((beginning == "b").mean() - 1 / 3) <= 2 / size


def test_no_group_is_both_trained_on_and_tested():
    groups = np.arange(60) % 12
    for fold in folds_of(groups=groups):
        assert not set(groups[fold.train]) & set(groups[fold.test])


def test_another_seed_gives_other_folds():
    assert set(folds_of(seed=0)[0].test) != set(folds_of(seed=1)[0].test)
    assert (folds_of(seed=1)[0].train == folds_of(seed=1)[0].train).all()


def test_numbers_are_divided_too():
    assert len(folds_of(np.linspace(0, 1, 30), regression=True)) == 4


def test_a_class_with_too_few_images_names_itself():
    with pytest.raises(InputError, match="Got 1 images of class 'c' for cv=4"):
        folds_of(np.append(Y, "c"))


def test_too_few_groups_are_an_error():
    with pytest.raises(InputError, match="Got 2 groups for cv=4"):
        folds_of(groups=np.arange(60) % 2)


def test_a_class_within_one_group_is_an_error():
    groups = np.where(Y == "b", 99, np.arange(60) % 10)
    with pytest.raises(InputError, match="without training images of class 'b'"):
        folds_of(groups=groups)


@pytest.mark.parametrize("n", [2, 0, True, "five", 5.0, None, ShuffleSplit])
def test_too_few_folds_for_an_interval_are_refused(n):
    with pytest.raises(ParameterError, match=re.escape(f"Got cv={n!r}. Expected 3 or more")):
        check_cv(n)


def test_sizes_go_from_a_few_a_class_to_all_rows():
    assert choose_sizes(None, folds_of(), 2) == [9, 13, 20, 30, 45]
    assert choose_sizes([45, 2, 10], folds_of(), 2) == [2, 10, 45]


@pytest.mark.parametrize("sizes", [[46], [1], [2.5], []])
def test_sizes_beyond_the_training_part_are_refused(sizes):
    with pytest.raises(ParameterError, match=r"from 2 \(one a class\) to 45"):
        choose_sizes(sizes, folds_of(), 2)


def test_one_number_is_no_list_of_sizes():
    with pytest.raises(ParameterError, match="Got sizes=10"):
        choose_sizes(10, folds_of(), 2)


@pytest.mark.parametrize(
    "cv", [ShuffleSplit(4, random_state=3), StratifiedKFold(3), RepeatedStratifiedKFold(n_splits=2, random_state=0)]
)
def test_a_splitter_decides_which_rows_are_tested(cv):
    folds = folds_of(cv=cv)
    expected = list(cv.split(Y[:, None], Y))
    assert len(folds) == len(expected)
    for fold, (train, test) in zip(folds, expected, strict=True):
        np.testing.assert_array_equal(fold.test, test)
        np.testing.assert_array_equal(np.sort(fold.train), np.sort(train))
        assert (Y[fold.train[:2]] == Y[fold.train[0]]).mean() == 0.5  # one of each class comes first


def test_pairs_of_arrays_may_be_given_by_a_generator():
    pairs = list(ShuffleSplit(3, random_state=0).split(Y))
    cv = check_cv(pair for pair in pairs)
    for _ in range(2):  # what is read once stays
        assert all((a.test == b[1]).all() for a, b in zip(folds_of(cv=cv), pairs, strict=True))


def test_a_splitter_that_draws_anew_is_asked_once():
    splits = fix_cv(ShuffleSplit(3), Y)
    assert [list(test) for _, test in fix_cv(splits, Y)] == [list(test) for _, test in splits]


def test_rows_that_cannot_be_used_leave_their_folds():
    cv = fix_cv([([0, 1, 2], [3]), ([1, 2, 3], [0]), ([0, 3], [1, 2])], np.arange(4.0), regression=True)
    kept = keep_rows(cv, np.array([0, 2, 3]), 4)
    assert [(train.tolist(), test.tolist()) for train, test in kept] == [([0, 1], [2]), ([1, 2], [0]), ([0, 2], [1])]
    assert keep_rows(5, np.array([0]), 4) == 5


def test_groups_reach_the_splitter():
    groups = np.arange(60) % 12
    for fold in folds_of(cv=GroupShuffleSplit(3, random_state=0), groups=groups):
        assert not set(groups[fold.train]) & set(groups[fold.test])


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        ([([0, 1], [2])] * 2, "Got cv with 2 folds. Expected 3 or more"),
        (ShuffleSplit(2), "Got cv with 2 folds. Expected 3 or more"),
        ([([0, 1], [60])] * 3, "Expected positions from 0 to 59"),
        ([([0, -1], [2])] * 3, "Got cv with rows -1 to 0. Expected positions"),
        ([([0, 1], [1])] * 3, "Got cv with row 1 on both sides"),
        ([([0.5, 1], [2])] * 3, "Expected an array of positions"),
        ([0, 1, 2], "gives no folds"),
    ],
)
def test_what_is_not_cv_is_refused(cv, message):
    with pytest.raises(ParameterError, match=message):
        folds_of(cv=cv)


def test_folds_that_divide_a_group_are_refused():
    with pytest.raises(ParameterError, match=r"group '\d+' on both sides .* GroupShuffleSplit"):
        folds_of(cv=[(np.arange(30), np.arange(30, 60))] * 3, groups=np.arange(60) % 12)


@pytest.mark.parametrize("fold", [([0, 1, 41], []), (np.arange(40), [50])])
def test_a_fold_without_a_test_row_or_without_a_class_is_an_error(fold):
    with pytest.raises(InputError, match="without"):
        folds_of(cv=[fold] * 3)
