from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

from featx.adapt._table import align_columns, check_spread, is_table, read_table
from featx.exceptions import InputError

Z = np.random.default_rng(0).normal(size=(6, 3))
FRAME = pd.DataFrame(Z, columns=["a", "b", "c"])


@pytest.mark.parametrize("X", [Z, Z.astype("float16"), np.arange(6).reshape(2, 3), FRAME, pl.DataFrame(Z)], ids=type)
def test_numbers_in_rows_and_columns_are_embeddings(X):
    assert is_table(X)
    np.testing.assert_array_equal(read_table(X, "source"), np.asarray(X, np.float64))


@pytest.mark.parametrize("X", [["a.jpg"], np.zeros((4, 4), np.uint8), FRAME[["a"]], pl.DataFrame({"a": ["b.jpg"]}), []])
def test_everything_else_holds_images(X):
    assert not is_table(X)


@pytest.mark.parametrize("X", [Z.tolist(), list(Z), tuple(map(tuple, Z))], ids=["lists", "arrays", "tuples"])
def test_a_list_of_rows_is_refused_with_what_to_do(X):
    with pytest.raises(InputError, match=r"Expected images, or embeddings: np.array\(X\)"):
        is_table(X)


def test_missing_numbers_are_nan():
    holes = FRAME.astype("Float64").mask(FRAME > 1)
    np.testing.assert_array_equal(np.isnan(read_table(holes, "source")), Z > 1)
    assert (Z > 1).any()
    assert np.isnan(read_table(pl.DataFrame({"a": [1, None], "b": [1.0, 2.0]}), "source")[1, 0])


@pytest.mark.parametrize("frame", [FRAME.assign(file="a.jpg"), pl.DataFrame({"a": [1.0], "file": ["a.jpg"]})])
def test_a_column_of_text_is_said(frame):
    with pytest.raises(InputError, match=r"a column in the target that is no numbers .*'a.jpg'"):
        read_table(frame, "target")


@pytest.mark.parametrize("frame", [FRAME, pl.DataFrame(Z, schema=["a", "b", "c"])], ids=type)
def test_columns_are_brought_into_the_sources_order(frame):
    np.testing.assert_array_equal(np.asarray(align_columns(FRAME, frame[["c", "a", "b"]])), Z)


def test_other_names_are_refused_and_arrays_have_none():
    with pytest.raises(InputError, match=r"columns in Xt that Xs does not have, or names twice \(d\)"):
        align_columns(FRAME, FRAME.rename(columns={"c": "d"}))
    with pytest.raises(InputError, match="names twice"):
        align_columns(FRAME[["a", "b", "b"]], FRAME[["b", "a", "a"]])
    np.testing.assert_array_equal(align_columns(FRAME, Z), Z)


@pytest.mark.parametrize(("rows", "message"), [(np.ones((6, 3)), "the same embedding"), (Z * 1e200, "divide both")])
def test_rows_that_tell_nothing_are_refused(rows, message):
    with pytest.raises(InputError, match=message):
        check_spread(rows, "source")
    check_spread(Z, "source")
