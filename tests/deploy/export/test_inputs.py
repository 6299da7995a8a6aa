from __future__ import annotations

import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, RobustScaler, StandardScaler

import featx
from featx.deploy.export._inputs import ImageInput, in_float32, tensor_name, unwrap, value_input, walk
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


def test_categories_that_are_no_text_are_refused():
    encoder = OneHotEncoder().fit(np.array([["a"], [None]], object))
    with pytest.raises(ExportError, match="'shelf' has the category None"):
        value_input("shelf", encoder, 0)
