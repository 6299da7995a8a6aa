"""Whole tables, as people have them: a bundle answers as its Pipeline does, or both refuse."""

from __future__ import annotations

import contextlib
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

import featx
from featx.deploy._columns import read_columns
from featx.exceptions import FeatxError
from tests.deploy.test_like_the_pipeline import CODES

BIG = 2**53  # float64 does not tell BIG + 1 from it
SERIALS = [1, 2, BIG, BIG + 1]
COLOURS = ["red", "green", "blue"]
GRADES = [0.5, 2.5]


def transformers(name: str) -> list[tuple[Any, list[str]]]:
    if name == "strict":  # no missing value, no new category
        return [
            (StandardScaler(), ["price", "weight"]),
            (OneHotEncoder(), ["colour"]),
            (OrdinalEncoder(), ["serial"]),
        ]
    return [
        (make_pipeline(SimpleImputer(), StandardScaler()), ["price", "weight"]),
        (OneHotEncoder(handle_unknown="ignore"), ["colour"]),
        (OrdinalEncoder(**CODES), ["serial"]),
        *([(OrdinalEncoder(**CODES), ["grade"])] if name == "graded" else []),
    ]


# Categories that are floats, some missing, do not convert to ONNX rightly.
HEADS = {"strict": ("onnx", "sklearn"), "lenient": ("onnx", "sklearn"), "graded": ("sklearn",)}


@pytest.fixture(scope="module")
def folder(crops, tmp_path_factory) -> Path:
    """The crops as 0.png, 1.png, ..."""
    folder = tmp_path_factory.mktemp("goods")
    for i, crop in enumerate(crops):
        Image.fromarray(crop).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def made(tiny, folder, places) -> dict[str, tuple[Pipeline, list[featx.Predictor]]]:
    """Pipelines, each with a bundle for either kind of head."""
    n = len(places)
    made = {}
    for name, heads in HEADS.items():
        colours = COLOURS if name == "strict" else [*COLOURS[:2], None, np.nan]
        goods = pd.DataFrame(
            {
                "photo": [str(folder / f"{i}.png") for i in range(n)],
                "price": np.linspace(1, 9, n),
                "weight": np.arange(n) % 7,
                "colour": pd.Series([colours[i % len(colours)] for i in range(n)], dtype=object),
                "serial": [SERIALS[i % 4] for i in range(n)],
                "grade": [[*GRADES, np.nan][i % 3] for i in range(n)],
            }
        )
        encoder = featx.ImageEncoder(tiny, cache=str(folder / "store"), verbose=0)
        if name != "strict":
            encoder = make_pipeline(encoder.set_params(on_missing="nan"), SimpleImputer())
        columns = make_column_transformer((encoder, "photo"), *transformers(name))
        model = make_pipeline(columns, LogisticRegression(max_iter=500)).fit(goods, places)
        bundles = [featx.export_bundle(model, folder / f"{name}-{head}", head=head) for head in heads]
        made[name] = model, [featx.Predictor(bundle, n_jobs=1) for bundle in bundles]
    return made


FLOATS = [0.5, 2.5, 0.0, -3.25, 7.0]
INTEGERS = [1, 2, 5, BIG, BIG + 1, -(2**62)]
BOOLEANS = [True, False]
TEXTS = ["red", "green", "blue", "new", "", "nan", "None", "1", "0.png", "1.png", "2.png"]
PHOTOS = TEXTS[-3:]
# dtype -> values that it can hold
PANDAS = {
    "float64": [*FLOATS, *INTEGERS, np.nan],
    "float32": [*FLOATS, np.nan],
    "int64": INTEGERS,
    "int8": [1, 2, 5],
    "uint64": [1, 2, BIG, BIG + 1],
    "bool": BOOLEANS,
    "Float64": [*FLOATS, *INTEGERS, pd.NA],
    "Int64": [*INTEGERS, pd.NA],
    "boolean": [*BOOLEANS, pd.NA],
    "double[pyarrow]": [*FLOATS, None],
    "int64[pyarrow]": [*INTEGERS, None],
    "bool[pyarrow]": [*BOOLEANS, None],
    "null[pyarrow]": [None],
    "object": [*FLOATS, *INTEGERS, 2**70, *BOOLEANS, *TEXTS, None, np.nan, pd.NA],
    "category": [*INTEGERS, *TEXTS, np.nan],
    "str": [*TEXTS, np.nan],
    "string": [*TEXTS, pd.NA],
    "large_string[pyarrow]": [*TEXTS, None],
}
POLARS = {
    pl.Float64: [*FLOATS, float("nan"), None],
    pl.Float32: [*FLOATS, None],
    pl.Int64: [*INTEGERS, None],
    pl.UInt64: [1, 2, BIG, BIG + 1, None],
    pl.Int8: [1, 2, 5, None],
    pl.Boolean: [*BOOLEANS, None],
    pl.Decimal(20, 2): [1, 2, 5, None],
    pl.Null: [None],
    pl.String: [*TEXTS, None],
    pl.Categorical: [*TEXTS, None],
    pl.Enum(TEXTS): [*TEXTS, None],
}
USUAL = {
    "photo": PHOTOS,
    "price": FLOATS + INTEGERS,
    "weight": FLOATS + INTEGERS,
    "colour": COLOURS[:2],
    "serial": SERIALS,
    "grade": GRADES,
    "extra": TEXTS,
}


@st.composite
def tables(draw) -> pd.DataFrame | pl.DataFrame:
    """A table as somebody may have it: in any order, index and dtypes, with anything at all in one of its columns."""
    dtypes = draw(st.sampled_from([PANDAS, POLARS]))
    n = draw(st.sampled_from([1, 1, 2, 3, 5, 0]))
    odd = draw(st.sampled_from([*USUAL, None]))  # were there more, nearly all would be refused
    columns = {}
    for name in draw(st.permutations(list(USUAL))):
        pools = {dtype: [v for v in values if name == odd or v in set(USUAL[name])] for dtype, values in dtypes.items()}
        dtype = draw(st.sampled_from([dtype for dtype, pool in pools.items() if pool]))
        columns[name] = draw(st.lists(st.sampled_from(pools[dtype]), min_size=n, max_size=n)), dtype
    if dtypes is POLARS:
        return pl.DataFrame({name: pl.Series(values, dtype=dtype) for name, (values, dtype) in columns.items()})
    index = draw(st.sampled_from([range(n), range(n, 0, -1), [7] * n, list("abcde")[:n]]))
    table = pd.DataFrame({name: pd.Series(values, index, dtype) for name, (values, dtype) in columns.items()}, index)
    if draw(st.integers(0, 9)) == 0:
        table = pd.concat([table, table[[draw(st.sampled_from(list(USUAL)))]]], axis=1)
    return table


def answer(model: Pipeline, table: pd.DataFrame | pl.DataFrame) -> np.ndarray | None:
    """Probabilities, or None where the pipeline refuses the table."""
    try:
        return model.predict_proba(table)
    except Exception:  # scikit-learn's, numpy's and narwhals' own
        return None


def as_objects(table: pd.DataFrame | pl.DataFrame) -> pd.DataFrame:
    """The same values in a dtype that any value has room in, of the columns that count."""
    names = [name for name in USUAL if name != "extra"]
    return pd.DataFrame({name: pd.Series(list(table[name]), dtype=object) for name in names})


# What a bundle refuses by name though scikit-learn takes it: text for a number, and an integer for another one.
REFUSED = re.compile(r"\w+: got ('.*', expected (an integer|a finite number)|\d+, which the pipeline takes for \d+ )")


def check(model: Pipeline, predictor: featx.Predictor, table: pd.DataFrame | pl.DataFrame) -> None:
    expected = answer(model, table)
    if expected is None and len(table) and sum(name != "extra" for name in table.columns) == len(USUAL) - 1:
        # scikit-learn fails on some dtypes, and on names of columns that it does not use.
        expected = answer(model, as_objects(table))
    try:
        got = predictor.predict_proba(table)
    except FeatxError:
        if expected is not None:
            reasons = read_columns(table, predictor.manifest["inputs"]).reasons.values()
            assert reasons
            assert all(REFUSED.match(reason) for reason in reasons), reasons
    else:
        assert expected is not None, "the pipeline refuses it"
        np.testing.assert_allclose(got, expected, atol=2e-4)


@settings(max_examples=100)
@given(table=tables())
def test_a_bundle_answers_a_whole_table_as_its_pipeline_does_or_both_refuse(table, made, folder):
    with contextlib.chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on unknown categories, on rows that become NaN
        for model, predictors in made.values():
            for predictor in predictors:
                check(model, predictor, table)
