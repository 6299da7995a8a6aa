import numpy as np
import pandas as pd
import pytest

from featx.evaluation._check import check_classes, check_embeddings, check_targets
from featx.exceptions import InputError


def test_embeddings_of_half_precision_become_float64():
    assert check_embeddings(np.ones((2, 3), np.float16)).dtype == np.float64
    assert check_embeddings(pd.DataFrame(np.ones((2, 3), np.float32))).shape == (2, 3)


@pytest.mark.parametrize(
    ("Z", "message"),
    [
        (np.ones(3), r"shape \(3,\)"),
        (np.array([["a"]]), "dtype <U1"),
        (np.empty((0, 3)), "at least one row"),
        (np.array([[1.0], [np.nan], [np.inf]]), r"2 of 3 rows \(1, 2\)"),
    ],
)
def test_embeddings_that_cannot_be_used_are_refused(Z, message):
    with pytest.raises(InputError, match=message):
        check_embeddings(Z)


@pytest.mark.parametrize(
    "y",
    [
        ["b", "a", "b"],
        pd.Series(["b", "a", "b"], dtype="category"),
        pd.Series(["b", "a", "b"], index=[7, 8, 9]),
        np.array(["b", "a", "b"], object),
        [1, 0, 1],
        [1.0, 0.0, 1.0],
        [True, False, True],
        np.array([[1], [0], [1]]),
    ],
)
def test_labels_of_many_kinds_are_classes(y):
    codes, classes = check_classes(y, 3)
    assert codes.tolist() == [1, 0, 1]
    assert len(classes) == 2


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a", "a", "a"], "one class, 'a'"),
        ([0.5, 1.5, 2.0], r'numbers that are no classes .* task="regression"'),
        (np.array([0.5, 1.5, 2.0], object), "numbers that are no classes"),
        (["a", "b"], r"shape \(2,\) for 3 rows"),
        (["a", None, "b"], "no label in rows 1"),
        ([0.0, np.nan, 1.0], "no label in rows 1"),
        (np.array(["a", 1, "b"], object), "several types"),
        (pd.Series(["a", None, "b"], dtype="category"), "no label in rows 1"),
    ],
)
def test_labels_that_are_no_classes_are_refused(y, message):
    with pytest.raises(InputError, match=message):
        check_classes(y, 3)


def test_targets_are_columns_of_numbers():
    assert check_targets([1, 2, 3], 3).shape == (3, 1)
    assert check_targets(np.ones((3, 2)) * np.arange(3)[:, None], 3).shape == (3, 2)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a", "b"], "no numbers"),
        (["1", "2"], "no numbers"),
        ([1.0, 1.0], "one value"),
        ([1.0, np.inf], "rows 1"),
        ([1.0], "for 2 rows"),
    ],
)
def test_targets_that_cannot_be_predicted_are_refused(y, message):
    with pytest.raises(InputError, match=message):
        check_targets(y, 2)
