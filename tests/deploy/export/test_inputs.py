from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, RobustScaler, StandardScaler

import featx
from featx.deploy.export._inputs import ImageInput, in_float32, join, tensor_name, unwrap, value_input, walk
from featx.exceptions import ExportError


def test_a_column_called_like_an_output_has_another_name_in_the_graph():
    assert tensor_name("photo") == "photo"
    assert tensor_name("label") == "label_input"


def test_a_bundle_computes_in_float32_and_the_users_encoder_does_not_change(tiny):
    encoder = featx.ImageEncoder(tiny, precision="bfloat16")
    assert in_float32(encoder).precision == "float32"
    assert encoder.precision == "bfloat16"
    image = ImageInput("photo", encoder, 8)
    assert [spec.precision for spec in image.specs] == ["float32"]
    assert image.tensor == "photo"


def test_a_walk_meets_what_a_search_found_and_each_part_once():
    X = np.arange(20.0)[:, None]
    search = GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [1]}, cv=2)
    search.fit(X, X[:, 0] % 2)
    assert unwrap(search) is search.best_estimator_
    assert [type(part).__name__ for part in walk([search, search])] == [
        "Pipeline",
        "StandardScaler",
        "LogisticRegression",
    ]


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler(), RobustScaler()], ids=lambda s: type(s).__name__)
def test_typical_numbers_are_of_the_size_that_a_scaler_was_fitted_on(scaler):
    X = np.column_stack([np.linspace(0, 1, 50), np.linspace(1.6e9, 1.7e9, 50)])
    value = value_input("time", make_pipeline(SimpleImputer(), scaler).fit(X), 1)
    assert (value.kind, value.categories) == ("number", None)
    assert value.typical
    assert all(1.5e9 < number < 1.8e9 for number in value.typical)


def test_nothing_typical_is_known_of_a_column_that_passes_through():
    assert value_input("price", "passthrough", 0).typical == ()


@pytest.mark.parametrize(
    ("column", "kind", "categories"),
    [
        (["b", "a"], "category", ["a", "b"]),
        ([3, 1], "integer", [1, 3]),
        ([True, False], "integer", [0, 1]),
        ([0.5, 0.25], "number", [0.25, 0.5]),
    ],
)
def test_categories_are_what_an_encoder_was_fitted_on(column, kind, categories):
    value = value_input("shelf", OneHotEncoder().fit(np.array(column)[:, None]), 0)
    assert (value.kind, value.categories) == (kind, categories)


@pytest.mark.parametrize(
    ("column", "of"),
    [
        (np.array([True, None], object), "True, of dtype object"),
        (np.array(["2024-01-01"], "datetime64[D]"), r"date\(2024, 1, 1\), of dtype datetime64\[D\]"),
    ],
    ids=["bool and None", "dates"],
)
def test_categories_that_are_neither_text_nor_numbers_are_refused(column, of):
    encoder = OneHotEncoder().fit(column[:, None])
    with pytest.raises(ExportError, match=f"'shelf' has the category .*{of}"):
        value_input("shelf", encoder, 0)


def test_categories_beyond_64_bits_are_refused():
    with pytest.raises(ExportError, match="'shelf' has categories beyond 64 bits"):
        value_input("shelf", OneHotEncoder().fit(np.array([[2**63 + 5], [2]], np.uint64)), 0)


@pytest.mark.parametrize(
    ("missing", "null"), [([], "NaN"), ([np.nan], "NaN"), ([None], "None"), ([None, np.nan], "NaN")], ids=repr
)
def test_null_is_the_missing_value_that_a_column_was_fitted_with(missing, null):
    encoder = OneHotEncoder().fit(np.array([["a"], *([value] for value in missing)], object))
    value = value_input("colour", encoder, 0)
    assert (value.categories, value.null) == (["a"], null)


def test_what_an_imputer_takes_for_missing_is_known_too():
    steps = make_pipeline(SimpleImputer(missing_values="?", strategy="most_frequent"), OneHotEncoder())
    value = value_input("colour", steps.fit(np.array([["a"], ["b"], ["a"], ["?"]], object)), 0)
    assert (value.categories, value.only_categories) == (["a", "b", "?"], True)


def test_categories_behind_a_function_are_not_those_of_the_column():
    steps = make_pipeline(FunctionTransformer(np.rint), OneHotEncoder()).fit(np.array([[0.9], [2.2]]))
    value = value_input("size", steps, 0)
    assert (value.kind, value.categories, value.typical) == ("number", None, (1.0, 2.0))


def test_what_several_transformers_take_is_what_all_of_them_know():
    one, two = (value_input("x", OneHotEncoder().fit([[a], [b]]), 0) for a, b in ((1, 2), (2, 3)))
    assert (join([one, one]).categories, join([one, one]).only_categories) == ([1, 2], True)
    assert (join([one, two]).categories, join([one, two]).only_categories) == ([2], False)
    scaled = value_input("x", StandardScaler().fit([[1], [3]]), 0)
    assert (join([scaled, one]).kind, join([scaled, one]).categories) == ("integer", [1, 2])
    assert not join([scaled, one]).only_categories


def test_a_table_inside_a_table_is_asked_for_its_own_column():
    table = pd.DataFrame({"a": [1.0, 3.0], "b": ["x", "y"]})
    inner = make_column_transformer((OneHotEncoder(), ["b"]), (StandardScaler(), ["a"])).fit(table)
    assert value_input("b", inner, 1).categories == ["x", "y"]
    assert value_input("a", inner, 0).typical[4] == 2.0
