"""Embeddings, labels and weights are checked alike everywhere, and y decides between classes and numbers to predict."""

import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge

from featx.evaluation import (
    as_labels,
    check_classes,
    check_embeddings,
    check_groups,
    check_targets,
    check_weights,
    is_regression,
)
from featx.exceptions import FeatxWarning, InputError, ParameterError, UnknownNameError

WHOLE = st.lists(st.integers(-1000, 1000), min_size=1, max_size=40)
KINDS = {
    "list": list,
    "int64": lambda y: np.array(y, np.int64),
    "int16": lambda y: np.array(y, np.int16),
    "float64": lambda y: np.array(y, float),
    "float32": lambda y: np.array(y, np.float32),
    "object": lambda y: np.array(y, object),
    "column": lambda y: np.array(y)[:, None],
    "Series": pd.Series,
    "Int64": lambda y: pd.Series(y, dtype="Int64"),
    "Float64": lambda y: pd.Series(y, dtype="Float64"),
    "pyarrow": lambda y: pd.Series(y, dtype="int64[pyarrow]"),
    "frame": lambda y: pd.DataFrame({"y": y}),
    "polars": pl.Series,
    "decimals": lambda y: [Decimal(value) for value in y],
    "tensor": lambda y: __import__("torch").tensor(y),
}


def test_embeddings_of_half_precision_become_float64():
    assert check_embeddings(np.ones((2, 3), np.float16)).dtype == np.float64
    assert check_embeddings(pd.DataFrame(np.ones((2, 3), np.float32))).shape == (2, 3)


@pytest.mark.parametrize(
    ("embeddings", "message"),
    [
        (np.ones(3), r"shape \(3,\)"),
        (np.array([["a"]]), "dtype <U1"),
        (np.empty((0, 3)), "at least one row"),
        (np.array([[1.0], [np.nan], [np.inf]]), r"2 of 3 rows \(1, 2\)"),
    ],
)
def test_embeddings_that_cannot_be_used_are_refused(embeddings, message):
    with pytest.raises(InputError, match=message):
        check_embeddings(embeddings)


def dictionary(values: list) -> pa.ChunkedArray:
    """A column as Parquet has it of a categorical one."""
    return pa.chunked_array([pa.array(values).dictionary_encode()])


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
        dictionary(["b", "a", "b"]),
        dictionary(["b", "a", "b"]).combine_chunks(),
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
        ([0.5, 1.5, 2.0], r'continuous values .* task="regression"'),
        (np.array([0.5, 1.5, 2.0], object), "continuous values"),
        (["a", "b"], r"shape \(2,\) for 3 rows"),
        (["a", None, "b"], "no label in rows 1"),
        ([0.0, np.nan, 1.0], "no label in rows 1"),
        (np.array(["a", 1, "b"], object), "several types"),
        (pd.Series(["a", None, "b"], dtype="category"), "no label in rows 1"),
        (["a", np.nan, "b"], "no label in rows 1"),
        (pa.chunked_array([pa.array(["a", None, "b"])]), "no label in rows 1"),
        (dictionary(["a", None, "b"]), "no label in rows 1"),
        (dictionary([3, None, 7]), "no label in rows 1"),
    ],
)
def test_labels_that_cannot_be_classes_are_refused(y, message):
    with pytest.raises(InputError, match=message):
        check_classes(y, 3)


@pytest.mark.parametrize("y", [["a", np.nan, "b"], ("a", None, "b"), dictionary(["a", None, "b"])])
def test_a_missing_label_is_no_label_of_a_head(y):
    with pytest.raises(InputError, match="no label in rows 1"):
        as_labels(y)
    assert list(as_labels(["a", "b"])) == ["a", "b"]


def test_a_missing_number_of_a_dictionary_is_no_other_number():
    with pytest.raises(InputError, match="y with NaN or infinity in rows 1"):
        check_targets(dictionary([3.5, None, 7.5]), 3)


@pytest.mark.parametrize("groups", [["a", np.nan, "b", "a"], ["a", None, "b", "a"], dictionary(["a", None, "b", "a"])])
def test_a_missing_group_is_a_group_of_its_own(groups):
    a, none, b, again = check_groups(groups, 4).tolist()
    assert a == again
    assert len({a, none, b}) == 3


def test_targets_are_columns_of_numbers():
    assert check_targets([1, 2, 3], 3).shape == (3, 1)
    assert check_targets(np.ones((3, 2)) * np.arange(3)[:, None], 3).shape == (3, 2)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a", "b"], "not numeric"),
        (["1", "2"], "not numeric"),
        ([1.0, 1.0], "one value"),
        ([1.0, np.inf], "rows 1"),
        ([1.0], "for 2 rows"),
    ],
)
def test_targets_that_cannot_be_predicted_are_refused(y, message):
    with pytest.raises(InputError, match=message):
        check_targets(y, 2)


@pytest.mark.parametrize("weights", [[1.0], [1, -1], [np.nan, 1], [0, 0], ["a", "b"]], ids=str)
def test_weights_that_cannot_be_used_are_refused(weights):
    with pytest.raises(InputError, match="Got class_weight"):
        check_weights(weights, 2, "class_weight")


def quietly(y, task="auto", **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FeatxWarning)
        return is_regression(y, task, **options)


def test_digits_are_classes_and_cents_kilojoules_and_ages_are_numbers():
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not is_regression(rng.integers(0, 10, 200))
    for y in (rng.integers(99, 5000, 200), rng.normal(900, 200, 200).round(), rng.integers(18, 90, 200)):
        with pytest.warns(FeatxWarning, match=r'fewer than 5 rows: .* Pass task="regression"') as caught:
            assert is_regression(y)
        assert [w.filename for w in caught] == [__file__]


@pytest.mark.parametrize("kind", KINDS)
@given(WHOLE, st.integers(2, 10))
def test_the_type_of_whole_numbers_does_not_matter(kind, y, n_folds):
    if kind == "pyarrow":
        pytest.importorskip("pyarrow")
    assert quietly(KINDS[kind](y), n_folds=n_folds) == quietly(y, n_folds=n_folds)


@given(WHOLE, st.integers(2, 10), st.randoms())
def test_the_order_of_rows_does_not_matter(y, n_folds, random):
    shuffled = random.sample(y, len(y))
    assert quietly(shuffled, n_folds=n_folds) == quietly(y, n_folds=n_folds)


@given(WHOLE, st.integers(2, 10), st.integers(-9, 9).filter(bool), st.integers(-99, 99))
def test_names_of_whole_numbers_do_not_matter(y, n_folds, factor, shift):
    assert quietly([factor * value + shift for value in y], n_folds=n_folds) == quietly(y, n_folds=n_folds)


@given(WHOLE, st.integers(2, 10), st.integers(0, 5))
def test_missing_values_do_not_count(y, n_folds, n_missing):
    expected = quietly(y, n_folds=n_folds)
    assert quietly([*map(float, y)] + [np.nan] * n_missing, n_folds=n_folds) == expected
    assert quietly([*y] + [None] * n_missing, n_folds=n_folds) == expected
    assert quietly(pd.Series([*y] + [None] * n_missing, dtype="Int64"), n_folds=n_folds) == expected
    assert quietly(pl.Series([*y] + [None] * n_missing), n_folds=n_folds) == expected


@given(st.lists(st.integers(1, 12), min_size=3, max_size=12), st.integers(2, 10))
def test_whole_numbers_are_numbers_where_most_occur_in_fewer_rows_than_folds(counts, n_folds):
    y = np.repeat(np.arange(len(counts)), counts)
    rare = sum(count < n_folds for count in counts)
    assert quietly(y, n_folds=n_folds) == (rare > len(counts) - rare)


@given(st.integers(1, 4), st.integers(1, 4))
def test_two_values_are_classes_however_few_their_rows(n, m):
    assert not is_regression([0] * n + [1] * m)


@given(WHOLE, st.sampled_from(["list", "float64", "object", "Series", "Float64", "polars", "decimals"]))
def test_one_fraction_makes_them_numbers_without_a_warning(y, kind):
    make = {**KINDS, "object": lambda y: np.array(y, object)}[kind]
    assert is_regression(make([*map(float, y), 0.5]))


@pytest.mark.parametrize(
    "y",
    [
        [f"{i}" for i in range(20)],
        pd.Series(range(20)).astype("category"),
        pd.DataFrame({"y": pd.Series(range(20)).astype("category")}),
        pl.Series([f"{i}" for i in range(20)]).cast(pl.Categorical),
        [True, False] * 2,
        pd.Series([True, False, None], dtype="boolean"),
        np.array([True, None, False], object),
        pd.Series(["a", None]),
        [None, None],
        [],
        ["a", 1, 2, 3],
    ],
)
def test_text_bools_and_categories_are_classes(y):
    assert not is_regression(y)


def test_columns_of_fractions_are_numbers_and_of_whole_ones_nothing_is_guessed():
    assert is_regression([[1.5, 2.0], [1.0, 3.0]])
    assert not is_regression(np.arange(40).reshape(20, 2))


@pytest.mark.parametrize(("n_folds", "expected"), [(5, True), (4, False), ("a splitter", True), (True, True)])
def test_the_number_of_folds_is_the_bound(n_folds, expected):
    assert quietly(np.arange(40) % 10, n_folds=n_folds) is expected


def test_an_explicit_task_decides():
    assert is_regression(["a"], "regression")
    assert not is_regression([0.5, 1.5], "classification")


@pytest.mark.parametrize("y", [[0.5, 1.5], ["a", "b"], np.arange(20)])
def test_a_head_decides_without_a_warning(y):
    assert is_regression(y, head=Ridge())
    assert not is_regression(y, head=LogisticRegression())


@pytest.mark.parametrize(("task", "head"), [("classification", Ridge()), ("regression", LogisticRegression())])
def test_a_head_for_the_other_task_is_refused(task, head):
    with pytest.raises(ParameterError, match=f"Got task='{task}' with the head"):
        is_regression([0, 1], task, head=head)


def test_an_unknown_task_is_named():
    with pytest.raises(UnknownNameError, match="'regression'"):
        is_regression([0, 1], "regresion")
