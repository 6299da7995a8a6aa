"""Tables and containers of images, as users have them -> columns, or an error that says what to do."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.deploy._columns import NULL, read_columns
from featx.exceptions import InputError

IMAGE = {"name": "photo", "kind": "image"}
PATHS = ["a.jpg", "b.jpg"]


def an_input(kind, *, missing=False, known=None, others=False):
    if kind == "category":
        missing = (["NaN", "None", "NA"] if missing else []) if isinstance(missing, bool) else missing
    return {"name": "x", "kind": kind, "missing": missing, "known": known, "others": others}


def read(values, entry):
    """The values of one column, and the reasons of those that are none."""
    columns = read_columns({"photo": ["a.jpg"] * len(values), "x": values}, [IMAGE, entry])
    return columns.values["x"], columns.reasons


@pytest.mark.parametrize(
    "X",
    [
        PATHS,
        np.array(PATHS),
        pd.Series(PATHS),
        pl.Series(PATHS),
        pd.DataFrame({"photo": PATHS}),
        pd.DataFrame({"another": PATHS}),
        pd.DataFrame({"photo": PATHS, "price": [1, 2]}),
        pl.DataFrame({"photo": PATHS, "price": [1, 2]}),
        pa.table({"photo": PATHS}),
        pa.table({"photo": PATHS, "price": [1, 2]}),
        {"photo": PATHS},
        {"photo": pd.Series(PATHS), "price": 3},
    ],
    ids=lambda X: f"{type(X).__module__}.{type(X).__name__}",
)
def test_images_alone_come_in_any_container_also_beside_columns_that_are_not_asked_for(X):
    columns = read_columns(X, [IMAGE])
    assert list(columns.first.sources) == PATHS
    assert len(columns) == 2


TABLE = {"photo": PATHS, "x": [1.5, 2.5]}


@pytest.mark.parametrize(
    "X",
    [
        TABLE,
        {**TABLE, "x": (1.5, 2.5)},
        {**TABLE, "x": np.array([1.5, 2.5], np.float32)},
        {**TABLE, "x": np.array([1.5, 2.5], object)},
        {**TABLE, "x": pd.Series([1.5, 2.5], index=[7, 9])},
        {**TABLE, "x": pl.Series([1.5, 2.5])},
        {**TABLE, "x": pd.array([1.5, 2.5], dtype="Float64")},
        pd.DataFrame(TABLE, index=["r", "s"]),
        pd.DataFrame({"first": 0, **TABLE}),
        pl.DataFrame(TABLE),
        pa.table(TABLE),
    ],
    ids=lambda X: f"{type(X).__module__}.{type(getattr(X, 'get', X.__getitem__)('x')).__name__}",
)
def test_a_table_comes_in_any_container(X):
    columns = read_columns(X, [IMAGE, an_input("number")])
    assert list(columns.first.sources) == PATHS
    assert columns.values["x"].tolist() == [[1.5], [2.5]]
    assert columns.values["x"].dtype == np.float64
    assert columns.reasons == {}


@pytest.mark.parametrize(
    "X", [pd.DataFrame({"photo": PATHS}), pl.DataFrame({"photo": PATHS}), {"photo": PATHS}], ids=type
)
def test_a_column_that_is_not_there_is_named(X):
    with pytest.raises(InputError, match=r"Got columns 'photo'. Expected also 'x'"):
        read_columns(X, [IMAGE, an_input("number")])


def test_a_dict_without_the_images_names_what_it_lacks():
    with pytest.raises(InputError, match=r"Got columns 'image'. Expected also 'photo'"):
        read_columns({"image": PATHS}, [IMAGE])


@pytest.mark.parametrize("X", [PATHS, np.array(PATHS), pd.Series(PATHS), "a.jpg", None, 3], ids=type)
def test_no_table_is_refused_with_the_columns_that_it_should_have(X):
    with pytest.raises(InputError, match=r"Expected a frame or a dict with 'photo' \(image\), 'x' \(integer\)"):
        read_columns(X, [IMAGE, an_input("integer")])


def test_columns_of_different_lengths_are_refused_with_their_lengths():
    with pytest.raises(InputError, match=r"\{'photo': 2, 'x': 3\}"):
        read_columns({"photo": PATHS, "x": [1, 2, 3]}, [IMAGE, an_input("number")])
    with pytest.raises(InputError, match=r"\{'photo': 2, 'back': 1\}"):
        read_columns({"photo": PATHS, "back": ["c.jpg"]}, [IMAGE, {"name": "back", "kind": "image"}])


@pytest.mark.parametrize(
    "column",
    [
        *(3.0, "ab", b"ab", None, np.float64(3), {1: 1, 2: 2}, {1, 2}, iter([1, 2]), np.zeros((2, 1)), np.zeros(())),
        pd.DataFrame({"x": [1, 2]}),
        pl.DataFrame({"x": [1, 2]}),
    ],
    ids=lambda column: f"{type(column).__name__}{getattr(column, 'shape', '')}",
)
@pytest.mark.parametrize("kind", ["number", "category"])
def test_what_is_no_column_is_refused_by_its_name(column, kind):
    with pytest.raises(InputError, match=r"Got an? \w+ as column 'x'. Expected a list, an array or a Series"):
        read_columns({"photo": PATHS, "x": column}, [IMAGE, an_input(kind)])


def test_two_columns_of_one_name_are_refused():
    table = pd.DataFrame([["a.jpg", 1, 2]], columns=["photo", "x", "x"])
    with pytest.raises(InputError, match="Got a DataFrame as column 'x'"):
        read_columns(table, [IMAGE, an_input("number")])


@pytest.mark.parametrize(
    "value",
    [2, 2.0, True, "2", " 2 ", "2e0", np.int8(2), np.float32(2), np.bool_(True), Decimal(2), Fraction(2)],
    ids=repr,
)
def test_whatever_is_a_number_is_read_as_one(value):
    values, reasons = read([value], an_input("number"))
    assert values.tolist() == [[float(value)]]
    assert reasons == {}


@pytest.mark.parametrize(
    "value",
    [
        *("two", "2,5", [2], {}, object, 2j, np.complex128(2), pd.Timestamp(0), np.zeros(2), b"\xff"),
        *(
            float("inf"),
            -np.inf,
            "inf",
            "nan",
            "1e999",
            1e39,
            10**400,
            Decimal("Infinity"),
            Decimal("NaN"),
            Decimal("1e99"),
        ),
    ],
    ids=repr,
)
@pytest.mark.parametrize("missing", [True, False])
def test_what_is_no_number_that_a_graph_can_hold_is_a_reason_of_its_row(value, missing):
    values, reasons = read([1.5, value, "x"], an_input("number", missing=missing))
    assert values[0] == 1.5
    assert np.isfinite(values).all()
    assert reasons.keys() == {1, 2}
    assert reasons[1].startswith("x: got ")
    assert reasons[1].endswith("expected a finite number")


@pytest.mark.parametrize("value", [2, 2.0, np.int8(2), np.uint64(2), np.float32(2), Decimal(2), Fraction(2)], ids=repr)
def test_whatever_is_an_integer_is_read_as_one(value):
    values, reasons = read([value], an_input("integer"))
    assert (values.tolist(), values.dtype, reasons) == ([[2]], np.int64, {})


@pytest.mark.parametrize("value", [True, np.bool_(True)], ids=repr)
def test_a_bool_is_the_integer_that_it_is(value):
    assert read([value], an_input("integer", known=[0, 1]))[0].tolist() == [[1]]


@pytest.mark.parametrize(
    "value",
    [
        2.5,
        "2",
        "two",
        b"2",
        [2],
        2**63,
        10**400,
        1e300,
        float("inf"),
        Decimal("2.5"),
        Decimal("NaN"),
        np.zeros(2),
        object,
    ],
    ids=repr,
)
def test_what_is_no_integer_is_a_reason_of_its_row(value):
    values, reasons = read([7, value], an_input("integer"))
    assert values[0] == 7
    assert reasons.keys() == {1}
    assert reasons[1].startswith("x: got ")
    assert reasons[1].endswith("expected an integer")


MISSING = [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT]


@pytest.mark.parametrize("value", MISSING, ids=repr)
def test_a_missing_number_is_nan_where_the_pipeline_takes_one(value):
    values, reasons = read([value], an_input("number", missing=True))
    assert np.isnan(values[0, 0])
    assert reasons == {}


def test_a_missing_category_of_a_dictionary_is_missing():
    column = pa.chunked_array([pa.array(["b", None, "a"]).dictionary_encode()])
    values, reasons = read(column, an_input("category", missing=["None"], known=["a", "b"]))
    assert values[:, 0].tolist() == ["b", None, "a"]
    assert reasons == {}


@pytest.mark.parametrize("kinds", [["NaN"], ["None"], ["NaN", "None", "NA"]], ids=repr)
def test_a_missing_category_is_the_kind_that_it_is_or_a_reason(kinds):
    values, reasons = read([np.nan, None, pd.NA, pd.NaT], an_input("category", missing=kinds, known=["a"]))
    expected = [
        np.nan if "NaN" in kinds else "a",
        None if "None" in kinds else "a",
        *["\ufffd" if "NA" in kinds else "a"] * 2,
    ]
    assert repr(values[:, 0].tolist()) == repr(expected)
    assert reasons.keys() == {row for row, kind in enumerate(["NaN", "None", "NA", "NA"]) if kind not in kinds}
    for row, reason in reasons.items():
        taken = f"which this pipeline does not take (it takes {', '.join(kinds)})"
        assert reason == f"x: missing ({[np.nan, None, pd.NA, pd.NaT][row]!r}), {taken}"


@pytest.mark.parametrize(("kinds", "null"), [(["NaN", "None"], np.nan), (["None", "NaN"], None)], ids=repr)
def test_null_stands_for_the_first_kind_that_is_taken(kinds, null):
    assert repr(read([NULL], an_input("category", missing=kinds))[0][0, 0]) == repr(null)
    assert read([NULL], an_input("category"))[1] == {0: "x: missing (null), which this pipeline does not take"}


@pytest.mark.parametrize("value", [2.5, 4, None, np.nan, pd.NA], ids=repr)
def test_what_is_no_known_integer_is_an_unknown_one_where_the_pipeline_takes_others(value):
    values, reasons = read([3, value], an_input("integer", missing=True, known=[0, 3], others=True))
    assert (values[:, 0].tolist(), reasons) == ([3, 1], {})


def test_an_unknown_number_is_far_from_those_known_in_float32_too():
    near = np.nextafter(1.0, 2)
    values, reasons = read([1.0, near, 0.1, np.float32(0.1)], an_input("number", known=[0.1, 1.0], others=True))
    assert (values[:, 0].tolist(), reasons) == ([1.0, 0.0, 0.1, 0.0], {})


def test_digits_are_no_category_of_numbers():
    for kind in ("integer", "number"):
        assert "got '3'" in read(["3"], an_input(kind, known=[3], others=True))[1][0]


def test_none_among_objects_is_no_missing_number_to_an_encoder_of_categories():
    entry = an_input("number", missing=True, known=[0.5], others=True)
    assert np.isnan(read([0.5, None], entry)[0][1, 0])
    assert read(pd.Series([0.5, None], dtype=object), entry)[0][1, 0] == 0.0
    assert read(pl.Series([True, None]), entry)[0][1, 0] == 0.0  # numpy's form of it is of objects
    for column in (
        *(pd.Series([1, None], dtype="Int64"), pd.Series([1, None], dtype="double[pyarrow]"), pd.Series([1.0, None])),
        *(pl.Series([1, None]), pl.Series([None, None]), pd.Series([None, None], dtype="null[pyarrow]")),
    ):
        assert np.isnan(read(column, entry)[0][1, 0])


@pytest.mark.parametrize("value", [pd.NA, pd.NaT], ids=repr)
def test_na_among_objects_is_no_number_as_for_numpy(value):
    assert read(pd.Series([1, None], dtype=object), an_input("number", missing=True))[1] == {}
    column = pd.Series([1, value], dtype=object)
    assert read(column, an_input("number", missing=True))[1] == {
        1: f"x: missing ({value!r}), which this pipeline does not take"
    }


BIG = 2**53  # float64 does not tell BIG + 1 from it


@pytest.mark.parametrize(
    "column",
    [
        np.array([1, BIG + 1], np.uint64),
        pd.Series([1, BIG + 1], dtype="uint64"),
        pd.Series([1, BIG + 1], dtype="Int64"),
        pd.Series([1, BIG + 1], dtype="int64[pyarrow]"),
        pd.Series([1, BIG + 1, np.nan], dtype="category"),
        pl.Series([1, BIG + 1], dtype=pl.UInt64),
        pl.Series([1, BIG + 1, None], dtype=pl.Int64),
    ],
    ids=lambda column: f"{type(column).__module__}.{column.dtype}",
)
def test_an_integer_that_scikit_learn_rounds_to_another_one_is_refused(column):
    for known in ([1, BIG, BIG + 1], [1, BIG], None):
        reasons = read(column, an_input("integer", known=known, missing=True, others=known is not None))[1]
        assert reasons[1].startswith(f"x: got {BIG + 1}, which the pipeline takes for {BIG} in a column of this dtype")
        assert 0 not in reasons


@pytest.mark.parametrize(
    "column",
    [
        [1, BIG + 1],
        np.array([1, BIG + 1]),
        pd.Series([1, BIG + 1]),
        pd.Series([1, BIG + 1], dtype=object),
        pd.Series([1, BIG + 1], dtype="category"),
        pl.Series([1, BIG + 1]),
    ],
    ids=lambda column: f"{type(column).__module__}.{getattr(column, 'dtype', 'list')}",
)
def test_an_integer_beyond_float64_is_itself_where_scikit_learn_keeps_it(column):
    values, reasons = read(column, an_input("integer", known=[1, BIG, BIG + 1]))
    assert (values[:, 0].tolist(), reasons) == ([1, BIG + 1], {})


def test_an_integer_that_float64_holds_is_itself_in_any_dtype():
    for dtype in ("uint64", "Int64", "float64", "int64[pyarrow]"):
        values, reasons = read(pd.Series([2, BIG], dtype=dtype), an_input("integer", known=[1, BIG], others=True))
        assert (values[:, 0].tolist(), reasons) == ([0, BIG], {})


@pytest.mark.parametrize("value", MISSING, ids=repr)
@pytest.mark.parametrize("kind", ["number", "integer", "category"])
def test_a_missing_value_is_a_reason_where_it_takes_none(value, kind):
    assert read([value], an_input(kind))[1] == {0: f"x: missing ({value!r}), which this pipeline does not take"}


def test_an_empty_text_is_no_number_and_a_category_like_any_other():
    assert read([""], an_input("number", missing=True))[1] == {0: "x: got '', expected a finite number"}
    assert read([""], an_input("category"))[0].tolist() == [[""]]
    assert read(["nan", "None"], an_input("category", missing=True))[0].tolist() == [["nan"], ["None"]]


@pytest.mark.parametrize(
    ("kind", "known", "unknown"),
    [("category", ["red", "blue"], "green"), ("integer", [3, 5], 4), ("number", [0.5, 2.5], 1.5)],
)
def test_an_unknown_category_is_a_reason_and_the_row_holds_one_that_a_head_takes(kind, known, unknown):
    values, reasons = read([known[1], unknown], an_input(kind, known=known))
    assert values[:, 0].tolist() == [known[1], known[0]]
    assert reasons == {1: f"x: got {unknown!r}, expected one of {known[0]!r}, {known[1]!r}"}
    values, reasons = read([known[1], unknown], an_input(kind))
    assert (values[:, 0].tolist(), reasons) == ([known[1], unknown], {})


def test_of_many_known_categories_some_are_named():
    (reason,) = read(["other"], an_input("category", known=[f"c{i}" for i in range(1000)]))[1].values()
    assert "'c19'" in reason
    assert "'c20'" not in reason


def test_text_of_numpy_and_pandas_is_text():
    for values in (np.array(["red"]), pd.Series(["red"], dtype="category"), pd.array(["red"]), [np.str_("red")]):
        column, reasons = read(values, an_input("category", known=["red"]))
        assert (column.tolist(), reasons) == ([["red"]], {})
        assert type(column[0, 0]) is str


def test_of_several_bad_values_in_a_row_the_first_is_reported():
    table = {"photo": PATHS, "x": ["?", 1], "y": ["?", "?"]}
    columns = read_columns(table, [IMAGE, an_input("number"), {**an_input("number"), "name": "y"}])
    assert columns.reasons == {0: "x: got '?', expected a finite number", 1: "y: got '?', expected a finite number"}


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.decimals(), st.complex_numbers(),
    st.lists(st.integers()), st.dates(),
)  # fmt: skip


@given(st.lists(ANYTHING), st.sampled_from(["number", "integer", "category"]), st.booleans())
def test_no_value_whatever_costs_another_row(given_values, kind, missing):
    missing = missing and kind != "integer"
    values, reasons = read([*given_values, "1" if kind == "category" else 1], an_input(kind, missing=missing))
    assert values.shape == (len(given_values) + 1, 1)
    assert values[-1] == ("1" if kind == "category" else 1)
    assert len(given_values) not in reasons
    if kind == "number":
        assert not np.isinf(values.astype(np.float32)).any()


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_every_float32_arrives_as_it_is(numbers):
    values, reasons = read(numbers, an_input("number"))
    assert (values[:, 0].tolist(), reasons) == (numbers, {})
