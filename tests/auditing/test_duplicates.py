import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.auditing import crossing_groups, duplicate_groups
from featx.auditing._duplicates import group_alike, merge_groups
from featx.exceptions import InputError


def circle(*degrees):
    angles = np.deg2rad(degrees)
    return np.column_stack([np.cos(angles), np.sin(angles)])


def test_near_rows_share_a_number_and_others_do_not():
    assert duplicate_groups(circle(0, 90, 1, 91, 180), 0.999).tolist() == [0, 1, 0, 1, 2]


def test_equal_digests_are_duplicates_whatever_the_rows_say():
    assert duplicate_groups(circle(0, 90, 180), 2.0, [b"a", b"b", b"a"]).tolist() == [0, 1, 0]


def test_a_chain_does_not_become_one_group():
    groups = duplicate_groups(circle(*range(0, 90, 2)), np.cos(np.deg2rad(2.5)))
    assert np.bincount(groups).max() <= 3


def test_a_row_joins_the_nearest_representative():
    assert duplicate_groups(circle(0, 10, 6), np.cos(np.deg2rad(7))).tolist() == [0, 1, 1]


def test_all_the_same_is_one_group():
    assert set(duplicate_groups(np.ones((2000, 3)), 0.9)) == {0}


def test_rows_of_zeros_resemble_nothing():
    assert duplicate_groups([[0, 0], [1, 0]], 0.5).tolist() == [0, 1]


def test_blocks_do_not_change_the_answer():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2500, 16))
    copies = np.concatenate([rows, rows + rng.normal(scale=1e-3, size=rows.shape)])
    assert duplicate_groups(copies, 0.999).tolist() == [*range(2500), *range(2500)]


def test_a_similarity_of_ones_own_sees_blocks_and_never_all_pairs():
    sizes = []

    def near(some, others):
        sizes.append(len(some) * len(others))
        return 1 - np.abs(some[:, None] - others).astype(float)

    rows = np.repeat(np.arange(1500) * 3, 2)
    assert group_alike(rows, near, 0.9, None).tolist() == np.repeat(range(1500), 2).tolist()
    assert max(sizes) < len(rows) ** 2 / 10


def test_as_many_digests_as_rows_are_needed():
    with pytest.raises(InputError, match="Got 1 digests for 2 rows"):
        duplicate_groups(circle(0, 90), 0.9, ["a"])


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30))
def test_merged_groups_keep_together_what_either_keeps_together(pairs):
    a, b = np.array(pairs).T
    merged = merge_groups(a, b)
    for group in (a, b):
        assert all(len(set(merged[group == value])) == 1 for value in set(group))
    # No more than that: the merged groups of the merged ones are the same.
    assert merge_groups(merged, a, b).tolist() == merged.tolist()
    assert len(set(merged)) >= max(1, len(set(a)) + len(set(b)) - len(set(pairs)))


def test_groups_on_both_sides_of_a_fold_are_counted_once():
    folds = [([0, 1, 2], [3, 4]), ([3, 4], [0, 1, 2])]
    assert crossing_groups([0, 1, 2, 2, 3], folds) == 1
    assert crossing_groups([0, 0, 0, 1, 1], folds) == 0
    assert crossing_groups([0, 1], []) == 0
