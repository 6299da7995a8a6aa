"""What was missing is told in ONNX too: imputers with an indicator, and indicators, answer as scikit-learn's do."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import AdaBoostClassifier, RandomForestClassifier
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import featx
from featx.deploy.export._inputs import Parts
from featx.deploy.export.heads import convert_head, find_unproven

pytest.importorskip("skl2onnx", reason="needs pip install 'featx[export]'")


@pytest.fixture
def rows() -> np.ndarray:
    """Six columns of numbers: the last two whole, the third empty."""
    X = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
    X[::7, 0] = X[::11, 1] = X[::5, 3] = np.nan
    X[:, 2] = np.nan
    return X


def assert_converts(steps, X, fitted=None):
    fitted = X if fitted is None else fitted
    y = np.where(np.arange(len(fitted)) % 7 == 0, 3.0, 0.0) + np.nan_to_num(fitted[:, 4])
    head = make_pipeline(steps, Ridge())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on columns without a value
        head.fit(fitted, y)
    assert find_unproven(head) is None
    conversion = convert_head(Parts([], [], head), X, {})
    assert conversion.problem is None
    assert {name for graph in conversion.graphs for name in graph.outputs} == {"label"}


IMPUTERS = [
    SimpleImputer(add_indicator=True),
    SimpleImputer(add_indicator=True, strategy="median", keep_empty_features=True),
    SimpleImputer(add_indicator=True, strategy="constant", fill_value=-7.5),
    SimpleImputer(),  # of a column without a value nothing comes out
    make_union(SimpleImputer(), MissingIndicator()),
    make_union(SimpleImputer(), MissingIndicator(features="all", sparse=True)),
    make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()),
]


@pytest.mark.parametrize("steps", IMPUTERS, ids=lambda step: repr(step).replace("\n", "")[:70])
def test_an_imputer_gives_in_onnx_what_it_gives_in_scikit_learn(steps, rows):
    assert_converts(steps, rows)


def test_an_indicator_of_rows_that_were_whole_in_the_fit_says_nothing_of_others(rows):
    whole = np.nan_to_num(rows, nan=1.0)
    assert_converts(SimpleImputer(add_indicator=True), rows, fitted=whole)


def test_other_marks_than_nan_stay_scikit_learns():
    head = SimpleImputer(missing_values=-1, add_indicator=True)
    X = np.where(np.arange(60).reshape(20, 3) % 7 == 0, -1, np.arange(60).reshape(20, 3)).astype(np.float32)
    fitted = make_pipeline(head, LogisticRegression()).fit(X, np.arange(20) % 2)
    assert "other things than NaN" in convert_head(Parts([], [], fitted), X, {}).problem


@pytest.mark.filterwarnings("ignore::featx.exceptions.ImageWarning")
def test_a_table_whose_photos_and_numbers_are_missing_leaves_as_one_graph(encoder, table, labels, tmp_path):
    table = table.assign(photo=[None if i % 9 == 0 else cell for i, cell in enumerate(table["photo"])])
    table.loc[::7, "price"] = np.nan
    columns = make_column_transformer(
        (make_pipeline(encoder(on_missing="nan"), SimpleImputer(add_indicator=True), StandardScaler()), "photo"),
        (make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), ["price"]),
        (MissingIndicator(features="all"), ["weight"]),
        (OneHotEncoder(), ["colour"]),
    )
    model = make_pipeline(columns, LogisticRegression()).fit(table, labels)
    bundle = featx.export_bundle(model, tmp_path / "bundle", sample=table)
    assert bundle.manifest["head"] == "onnx"
    assert "scikit-learn" not in (tmp_path / "bundle" / "requirements.txt").read_text()
    odd = pd.concat([table, table[:3].assign(photo=None, price=np.nan, weight=np.nan)])
    np.testing.assert_allclose(featx.Predictor(bundle).predict_proba(odd), model.predict_proba(odd), atol=1e-5)


@pytest.mark.filterwarnings("ignore::featx.exceptions.ImageWarning")
@pytest.mark.parametrize(
    ("imputer", "head", "asked"),
    [
        (SimpleImputer(add_indicator=True), RandomForestClassifier(5, random_state=0), "auto"),
        ("passthrough", RandomForestClassifier(5, random_state=0), "auto"),
        # Missing values would take another way in the trees of this one.
        (SimpleImputer(), AdaBoostClassifier(n_estimators=5, random_state=0), "onnx"),
    ],
    ids=["forest behind an imputer", "forest", "AdaBoost behind an imputer"],
)
def test_trees_of_a_table_with_missing_photos_become_part_of_the_graph(
    imputer, head, asked, encoder, table, labels, tmp_path
):
    table = table.assign(photo=[None if i % 9 == 0 else cell for i, cell in enumerate(table["photo"])])
    columns = make_column_transformer(
        (make_pipeline(encoder(on_missing="nan"), imputer), "photo"), (SimpleImputer(), ["price"])
    )
    model = make_pipeline(columns, clone(head)).fit(table, labels)
    bundle = featx.export_bundle(model, tmp_path / "bundle", sample=table, head=asked)
    assert bundle.manifest["head"] == "onnx"
    np.testing.assert_allclose(featx.Predictor(bundle).predict_proba(table), model.predict_proba(table), atol=1e-5)


@pytest.mark.filterwarnings("ignore::featx.exceptions.ImageWarning")
def test_a_number_that_is_missing_for_the_first_time_is_refused_there_too(encoder, table, labels, tmp_path):
    columns = make_column_transformer(
        (encoder(), "photo"), (make_union(SimpleImputer(), MissingIndicator()), ["price"])
    )
    model = make_pipeline(columns, LogisticRegression()).fit(table, labels)
    predictor = featx.Predictor(featx.export_bundle(model, tmp_path / "bundle", sample=table))
    odd = table[:2].assign(price=[1.0, np.nan])
    with pytest.raises(ValueError, match="missing values in transform but have no missing values in fit"):
        model.predict(odd)
    with pytest.raises(featx.ImageReadError, match=r"row 1: .*price: missing"):
        predictor.predict(odd)
