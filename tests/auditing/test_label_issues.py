"""Flipped labels are found, and copies do not hide them."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from featx.auditing import find_label_issues
from featx.exceptions import InputError


@pytest.fixture(scope="module")
def digits():
    """Pixels, wrong labels in one of twenty rows, and which these are."""
    pixels, true = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    flipped = rng.choice(len(true), len(true) // 20, replace=False)
    given = true.copy()
    given[flipped] = (given[flipped] + rng.integers(1, 10, len(flipped))) % 10
    return pixels, given, true, flipped


@pytest.fixture(scope="module")
def found(digits):
    return find_label_issues(digits[0], digits[1])


def test_most_flipped_labels_are_found_and_little_else(digits, found):
    _, _, _, flipped = digits
    assert found.issue[flipped].mean() > 0.6  # 0.67
    assert np.isin(np.flatnonzero(found.issue), flipped).mean() > 0.9  # 0.94


def test_the_true_label_is_suggested(digits, found):
    _, _, true, flipped = digits
    rows = np.intersect1d(np.flatnonzero(found.issue), flipped)
    assert (found.suggested[rows] == true[rows]).mean() > 0.95
    assert set(found.suggested[~found.issue]) == {None}


def test_quality_is_low_where_labels_were_flipped(digits, found):
    flipped = np.isin(np.arange(len(found.quality)), digits[3])
    assert ((found.quality >= 0) & (found.quality <= 1)).all()
    assert np.quantile(found.quality[flipped], 0.9) < np.quantile(found.quality[~flipped], 0.1)


def test_a_copy_does_not_confirm_a_wrong_label(digits):
    pixels, given, _, flipped = digits
    rows = np.concatenate([np.arange(600), np.repeat(flipped[flipped < 600], 3)])
    quality = find_label_issues(pixels[rows], given[rows], groups=rows).quality
    alone = find_label_issues(pixels[rows], given[rows]).quality
    assert quality[600:].mean() < 0.6 * alone[600:].mean()


def test_a_class_of_one_image_is_not_judged_and_named(digits):
    pixels, _, true, _ = digits
    labels = true[:200].astype("<U5")
    labels[7] = "alone"
    found = find_label_issues(pixels[:200], labels)
    assert found.unjudged == ["alone"]
    assert np.flatnonzero(np.isnan(found.quality)).tolist() == [7]
    assert not found.issue[7]


def test_a_rare_class_means_fewer_folds(digits):
    pixels, _, true, _ = digits
    labels = np.where(np.arange(200) < 3, 99, true[:200])
    assert find_label_issues(pixels[:200], labels).n_folds == 3


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 0, 0, 0], "one class"),
        ([0, 1, 2, 2], "Got 1 classes with two images or more"),
        ([0, 1, 1], "for 4 rows"),
        ([0.5, 1, 1, 1], "continuous values"),
        ([0, None, 1, 1], "no label in rows 1"),
    ],
)
def test_labels_that_cannot_be_judged_are_refused(labels, message):
    with pytest.raises(InputError, match=message):
        find_label_issues(np.eye(4), labels)


def test_groups_of_another_length_are_refused():
    with pytest.raises(InputError, match="Got groups of shape"):
        find_label_issues(np.eye(4), [0, 1, 0, 1], groups=[0])
