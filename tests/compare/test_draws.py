import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.compare._draws import choose_sizes, make_draws
from featx.exceptions import InputError, ParameterError

Y = np.array(["a"] * 40 + ["b"] * 20)


def draws_of(y=Y, n=4, groups=None, regression=False, seed=0):
    return make_draws(y, n, groups, regression, np.random.default_rng(seed))


@given(st.integers(0, 99), st.integers(3, 8))
def test_each_row_is_tested_once_and_never_by_a_head_that_saw_it(seed, n):
    draws = draws_of(n=n, seed=seed)
    assert sorted(np.concatenate([draw.test for draw in draws])) == list(range(60))
    for draw in draws:
        assert sorted([*draw.train, *draw.test]) == list(range(60))


@given(st.integers(0, 99), st.integers(2, 45))
def test_each_beginning_of_the_training_rows_is_stratified(seed, size):
    for draw in draws_of(seed=seed):
        beginning = Y[draw.train[:size]]
        assert (beginning == "b").sum() >= 1
        assert abs((beginning == "b").mean() - 1 / 3) <= 2 / size


def test_no_group_is_both_trained_on_and_tested():
    groups = np.arange(60) % 12
    for draw in draws_of(groups=groups):
        assert not set(groups[draw.train]) & set(groups[draw.test])


def test_another_seed_gives_other_folds():
    assert set(draws_of(seed=0)[0].test) != set(draws_of(seed=1)[0].test)
    assert (draws_of(seed=1)[0].train == draws_of(seed=1)[0].train).all()


def test_numbers_are_drawn_too():
    assert len(draws_of(np.linspace(0, 1, 30), regression=True)) == 4


def test_a_class_with_too_few_images_names_itself():
    with pytest.raises(InputError, match="Got 1 images of class 'c' for draws=4"):
        draws_of(np.append(Y, "c"))


def test_too_few_groups_are_said():
    with pytest.raises(InputError, match="Got 2 groups for draws=4"):
        draws_of(groups=np.arange(60) % 2)


def test_a_class_within_one_group_is_said():
    groups = np.where(Y == "b", 99, np.arange(60) % 10)
    with pytest.raises(InputError, match="without training images of class 'b'"):
        draws_of(groups=groups)


@pytest.mark.parametrize("n", [2, 0, True, "five"])
def test_too_few_draws_for_an_interval_are_refused(n):
    with pytest.raises(ParameterError, match=f"Got draws={n!r}. Expected 3 or more"):
        draws_of(n=n)


def test_sizes_go_from_a_few_a_class_to_all_rows():
    assert choose_sizes(None, draws_of(), 2) == [9, 13, 20, 30, 45]
    assert choose_sizes([45, 2, 10], draws_of(), 2) == [2, 10, 45]


@pytest.mark.parametrize("sizes", [[46], [1], [2.5], []])
def test_sizes_beyond_the_training_part_are_refused(sizes):
    with pytest.raises(ParameterError, match=r"from 2 \(one a class\) to 45"):
        choose_sizes(sizes, draws_of(), 2)


def test_one_number_is_no_list_of_sizes():
    with pytest.raises(ParameterError, match="Got sizes=10"):
        choose_sizes(10, draws_of(), 2)
