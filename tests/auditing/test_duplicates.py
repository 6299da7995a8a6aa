"""Duplicates share a number, chains do not, and copies on both sides of a fold are warned of."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from featx.auditing import crossing_groups, duplicate_groups, warn_of_copies
from featx.auditing._duplicates import group_alike, merge_groups
from featx.auditing._similarity import make_copies
from featx.exceptions import ImageWarning, InputError

ROWS = np.random.default_rng(0).normal(size=(80, 4))


def circle(*degrees):
    angles = np.deg2rad(degrees)
    return np.column_stack([np.cos(angles), np.sin(angles)])


def test_near_rows_share_a_number_and_others_do_not():
    assert duplicate_groups(circle(0, 90, 1, 91, 180), 0.999).tolist() == [0, 1, 0, 1, 2]


def test_equal_digests_are_duplicates_whatever_the_rows():
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


def test_any_similarity_is_called_with_blocks_and_never_with_all_pairs():
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


def halves(n):
    """The first half tests what is trained on the second, and the other way round."""
    first, second = np.arange(n // 2), np.arange(n // 2, n)
    return [(second, first), (first, second)]


@pytest.fixture(scope="module")
def thumbnails(crops):
    return np.array([np.asarray(Image.fromarray(crop).resize((32, 32))) for crop in crops])


@pytest.fixture(scope="module")
def copies(crops):
    made = [make_copies(Image.fromarray(crop))["saved as JPEG"] for crop in crops]
    return np.array([np.asarray(copy.resize((32, 32))) for copy in made])


def test_without_copies_there_is_no_warning(thumbnails):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert warn_of_copies(ROWS[:40], halves(40)) == ""
        assert warn_of_copies(ROWS[:40], halves(40), thumbnails) == ""


def test_one_pair_of_equal_rows_is_enough():
    rows = ROWS.copy()
    rows[70] = rows[3]
    with pytest.warns(ImageWarning, match=r"1 groups of copies \(1 of equal content\)") as caught:
        message = warn_of_copies(rows, halves(80))
    assert message == str(caught[0].message)
    assert caught[0].filename == __file__


def test_equal_rows_on_one_side_do_not_matter():
    rows = ROWS.copy()
    rows[5] = rows[3]
    assert warn_of_copies(rows, halves(80)) == ""


def test_near_copies_are_found_by_their_pixels(thumbnails, copies):
    both = np.concatenate([thumbnails, copies])
    assert warn_of_copies(ROWS, halves(80)) == ""
    with pytest.warns(ImageWarning, match=r"(39|40) groups of copies \(0 of equal content\)"):
        warn_of_copies(ROWS, halves(80), both)


def test_a_near_pair_among_many_may_be_chance(thumbnails, copies):
    turned = np.concatenate([np.rot90(thumbnails, k, (1, 2)) for k in range(4)] + [copies[:1]])
    rows = np.random.default_rng(0).normal(size=(161, 4))
    assert warn_of_copies(rows, halves(161), turned) == ""
