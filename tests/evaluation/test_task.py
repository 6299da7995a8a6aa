import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge

from featx.evaluation._task import is_regression
from featx.exceptions import FeatxWarning, ParameterError, UnknownNameError

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


def test_what_is_said_is_believed():
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
