"""What a bundle must answer: what the pipeline answers, to made-up rows and to the odd values that it takes."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

import featx
from featx.deploy.export._expected import Reference, builtin_sample
from featx.deploy.export._split import split
from featx.exceptions import ExportError, ImageReadError

COLOURS = ["blue", "green", "red"]
SHELVES = [3, 5, 7, 9]
EACH = ["NaN", "None", "NA"]


def reference_of(model, folder, *, own_cache=False):
    return Reference(model, split(model), folder, own_cache=own_cache)


def probe(encoder, table, labels, folder, step, column):
    columns = make_column_transformer((encoder(), "photo"), (step, [column]))
    model = make_pipeline(columns, LogisticRegression()).fit(table, labels)
    rules, probes = reference_of(model, folder).probe(table)
    return rules[column], [row[column].tolist() for row in probes]


def test_answers_are_the_pipelines_own(encoder, crops, labels, tmp_path):
    model = make_pipeline(encoder(), LogisticRegression()).fit(crops, labels)
    answers = reference_of(model, tmp_path).answers(crops)
    np.testing.assert_array_equal(answers["label"], model.predict(crops))
    np.testing.assert_array_equal(answers["probabilities"], model.predict_proba(crops))
    np.testing.assert_array_equal(answers["embedding"], model[0].transform(crops))


def test_the_pipeline_and_its_store_are_left_as_they_are(tiny, crops, labels, store, tmp_path):
    encoder = featx.ImageEncoder(tiny, cache=store, verbose=1)
    model = make_pipeline(encoder, LogisticRegression()).fit(crops[:20], labels[:20])
    before, stored = pickle.dumps(model), store.info()["rows"].sum()
    reference_of(model, tmp_path / "scratch").answers(crops)
    assert pickle.dumps(model) == before
    assert (encoder.cache, encoder.verbose) == (store, 1)
    assert store.info()["rows"].sum() == stored
    assert featx.EmbeddingStore(tmp_path / "scratch").info()["rows"].sum() == len(crops)


def test_a_sample_of_the_users_own_is_looked_up_in_the_users_store(tiny, crops, labels, store, tmp_path):
    model = make_pipeline(featx.ImageEncoder(tiny, cache=store), LogisticRegression()).fit(crops, labels)
    reference_of(model, tmp_path / "scratch", own_cache=True).answers(crops)
    assert not (tmp_path / "scratch").exists()


@pytest.mark.parametrize(
    ("step", "missing"), [(StandardScaler(), True), (make_pipeline(SimpleImputer(), StandardScaler()), True)], ids=repr
)
def test_a_missing_number_is_taken_where_the_pipeline_takes_it(step, missing, encoder, table, labels, tmp_path):
    columns = make_column_transformer((encoder(), "photo"), (step, ["price"]))
    takes_nan = isinstance(step, StandardScaler)
    model = make_pipeline(columns, LogisticRegression()).fit(table, labels)
    rules, probes = reference_of(model, tmp_path).probe(table)
    assert rules["price"] == {
        "missing": not takes_nan,
        "known": None,
        "others": False,
    }  # the classifier refuses what the scaler passes on
    assert len(probes) == (0 if takes_nan else 1)


@pytest.mark.parametrize(
    ("step", "column", "rule"),
    [
        (OneHotEncoder(), "colour", {"missing": [], "known": COLOURS, "others": False}),
        (OneHotEncoder(), "shelf", {"missing": False, "known": SHELVES, "others": False}),
        (OneHotEncoder(), "new", {"missing": False, "known": [0, 1], "others": False}),
        (OneHotEncoder(handle_unknown="ignore"), "colour", {"missing": EACH, "known": COLOURS, "others": True}),
        (OneHotEncoder(handle_unknown="ignore"), "shelf", {"missing": True, "known": SHELVES, "others": True}),
        (
            OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
            "shelf",
            {"missing": True, "known": SHELVES, "others": True},
        ),
        (
            make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()),
            "colour",
            {"missing": ["NaN"], "known": COLOURS, "others": False},
        ),
    ],
    ids=lambda part: repr(part)[:70],
)
def test_categories_are_known_missing_or_new_as_the_pipeline_has_it(
    step, column, rule, encoder, table, labels, tmp_path
):
    found, probes = probe(encoder, table, labels, tmp_path, step, column)
    assert found == rule
    assert (
        len(probes) == (rule["missing"] if isinstance(rule["missing"], bool) else len(rule["missing"])) + rule["others"]
    )


def test_a_new_category_is_the_number_that_it_is_to_what_else_sees_the_column(encoder, table, labels, tmp_path):
    both = [(OneHotEncoder(handle_unknown="ignore"), ["shelf"]), (StandardScaler(), ["shelf"])]
    model = make_pipeline(make_column_transformer((encoder(), "photo"), *both), LogisticRegression())
    rules, probes = reference_of(model.fit(table, labels), tmp_path).probe(table)
    assert rules["shelf"] == {"missing": False, "known": None, "others": False}
    assert [probe["shelf"][0] for probe in probes] == [max(SHELVES) + 1]


def test_a_category_that_was_missing_when_it_was_fitted_may_be(encoder, table, labels, tmp_path):
    holes = table.assign(colour=table["colour"].astype(object).where(table["shelf"] > 3, np.nan))
    assert probe(encoder, holes, labels, tmp_path, OneHotEncoder(), "colour")[0]["missing"] == ["NaN"]


@pytest.mark.parametrize("on_error", ["raise", "nan"])
@pytest.mark.parametrize("on_missing", ["raise", "nan"])
@pytest.mark.parametrize("steps", [[LogisticRegression()], [DecisionTreeClassifier()]], ids=str)
def test_an_image_that_is_absent_is_tried_where_the_encoder_takes_it(
    steps, on_missing, on_error, encoder, crops, labels, tmp_path
):
    model = make_pipeline(encoder(on_missing=on_missing, on_error=on_error), *steps).fit(crops, labels)
    rules, probes = reference_of(model, tmp_path).probe(crops)
    takes_nan = "nan" in (on_missing, on_error) and isinstance(steps[-1], DecisionTreeClassifier)
    assert rules == {"image": {"missing": takes_nan}}
    assert probes == ([[None if on_missing == "nan" else b""]] if takes_nan else [])


def test_an_absent_image_of_a_table_is_a_row_of_it(encoder, table, labels, tmp_path):
    columns = make_column_transformer((encoder(on_missing="nan"), "photo"), ("passthrough", ["price"]))
    model = make_pipeline(columns, DecisionTreeClassifier()).fit(table, labels)
    rules, (first, second) = reference_of(model, tmp_path).probe(table)
    assert rules == {"photo": {"missing": True}, "price": {"missing": True, "known": None, "others": False}}
    assert first["photo"].tolist() == [None]
    assert first["price"].tolist() == [table["price"][0]]
    assert np.isnan(second["price"][0])


def test_a_bad_image_of_the_sample_and_a_pipeline_that_fails_are_distinguished(encoder, table, labels, tmp_path):
    columns = make_column_transformer((encoder(), "photo"), (OneHotEncoder(), ["colour"]))
    reference = reference_of(make_pipeline(columns, LogisticRegression()).fit(table, labels), tmp_path)
    with pytest.raises(ImageReadError):
        reference.answers(table.assign(photo=b"no image"))
    with pytest.raises(ExportError, match="The pipeline itself cannot predict the sample: Found unknown categories"):
        reference.answers(table.assign(colour="violet"))


@pytest.fixture(scope="module")
def of_table(encoder, table, labels):
    columns = make_column_transformer(
        (encoder(), "photo"), (encoder(), "back"), (StandardScaler(), ["price"]), (OneHotEncoder(), ["colour", "shelf"])
    )
    return split(make_pipeline(columns, LogisticRegression()).fit(table, labels))


def test_images_are_the_same_each_time_and_of_several_shapes(encoder, crops):
    parts = split(encoder().fit(crops))
    first, second = builtin_sample(parts), builtin_sample(parts)
    assert len(first) == 32
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    assert {image.dtype for image in first} == {np.dtype(np.uint8)}
    assert {image.ndim for image in first} == {2, 3}
    assert len({image.shape[:2] for image in first}) > 10
    assert len({image.tobytes() for image in first}) == 32


def test_a_table_has_each_column_and_every_category(of_table):
    sample = builtin_sample(of_table)
    assert list(sample.columns) == ["photo", "back", "price", "colour", "shelf"]
    assert set(sample["colour"]) == {"red", "green", "blue"}
    assert set(sample["shelf"]) == {3, 5, 7, 9}
    assert sample["price"].dtype == np.float64
    assert sample["price"].nunique() > 5


def test_the_columns_of_images_differ_row_by_row(of_table):
    sample = builtin_sample(of_table)
    assert not any(np.array_equal(a, b) for a, b in zip(sample["photo"], sample["back"], strict=True))
