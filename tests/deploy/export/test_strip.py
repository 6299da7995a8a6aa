"""A pipeline without its encoders answers to embeddings as the pipeline to images."""

from __future__ import annotations

import operator
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from featx.deploy._columns import read_columns
from featx.deploy._engine import head_input
from featx.deploy.export._head import ask
from featx.deploy.export._strip import IMAGE, strip
from featx.exceptions import ExportError
from featx.text import TextEncoder
from tests.text.models import needs_model

PRICES = ["price", "weight"]
C = {"logisticregression__C": [0.1, 1]}


def logistic(first, **parameters):
    return make_pipeline(first, StandardScaler(), LogisticRegression(**parameters))


def answers_of_head(model, X):
    """What the stripped head says of the embeddings that the encoders give."""
    stripped = strip(model)
    inputs = [{"name": image.name, "kind": "image"} for image in stripped.images]
    inputs += [{"name": v.name, "kind": v.kind, "missing": False, "known": v.categories} for v in stripped.values]
    columns = read_columns(X, inputs)
    assert not columns.reasons
    rows = [image.encoder.transform(list(columns.images[image.name].sources)) for image in stripped.images]
    assert [part.shape[1] for part in rows] == [image.dim for image in stripped.images]
    return ask(stripped.head, head_input(np.concatenate(rows, axis=1), columns.values))


def check(model, X, y, *, last_digits=0):
    """Equal answers, and a model that is as it was."""
    model.fit(X, y)
    before = pickle.dumps(model)
    expected, got = ask(model, X), answers_of_head(model, X)
    assert expected.keys() == got.keys()
    for name in expected:
        if last_digits and name != "label":  # tables lie in memory column by column, and sums are taken in other turns
            np.testing.assert_allclose(got[name], expected[name], rtol=last_digits, atol=last_digits)
        else:
            np.testing.assert_array_equal(got[name], expected[name])
    assert pickle.dumps(model) == before


OF_IMAGES = {
    "a pipeline": logistic,
    "no scaler": lambda encoder: make_pipeline(encoder, LogisticRegression()),
    "nested": lambda encoder: make_pipeline(make_pipeline(encoder, StandardScaler()), LogisticRegression()),
    "nested twice": lambda encoder: make_pipeline(make_pipeline(make_pipeline(encoder)), PCA(3), LogisticRegression()),
    "passthrough": lambda encoder: Pipeline([("e", encoder), ("p", "passthrough"), ("h", LogisticRegression())]),
    "a tree": lambda encoder: make_pipeline(encoder, DecisionTreeClassifier(random_state=0)),
    "a search outside": lambda encoder: GridSearchCV(logistic(encoder), C, cv=3),
    "a search as a step": lambda encoder: make_pipeline(
        encoder, GridSearchCV(LogisticRegression(), {"C": [1, 2]}, cv=3)
    ),
    "a search in a search": lambda encoder: GridSearchCV(
        make_pipeline(encoder, GridSearchCV(LogisticRegression(), {"C": [1, 2]}, cv=3)),
        {"gridsearchcv__cv": [2, 3]},
        cv=2,
    ),
    "calibration outside": lambda encoder: CalibratedClassifierCV(make_pipeline(encoder, LinearSVC()), cv=3),
    "calibration of one": lambda encoder: CalibratedClassifierCV(logistic(encoder), ensemble=False, cv=3),
    "tuned outside": lambda encoder: TunedThresholdClassifierCV(logistic(encoder), cv=3),
    "tuned inside": lambda encoder: make_pipeline(encoder, TunedThresholdClassifierCV(LogisticRegression(), cv=3)),
    "fixed outside": lambda encoder: FixedThresholdClassifier(logistic(encoder), threshold=0.3),
    "frames": lambda encoder: logistic(encoder).set_output(transform="pandas"),
}


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("make", OF_IMAGES.values(), ids=OF_IMAGES)
def test_a_head_on_embeddings_is_the_pipeline_on_images(make, encoder, crops, labels):
    check(make(encoder()), crops, labels)


def test_a_regressor_of_transformed_targets_is_too(encoder, crops, table):
    regressor = TransformedTargetRegressor(make_pipeline(encoder(), Ridge()), func=np.log1p, inverse_func=np.expm1)
    check(regressor, crops, table["weight"].to_numpy(float))


OF_TABLES = {
    "by name": lambda e: make_column_transformer((e(), "photo"), (StandardScaler(), PRICES)),
    "by list": lambda e: make_column_transformer((e(), ["photo"]), (StandardScaler(), PRICES)),
    "by position": lambda e: make_column_transformer((e(), 0), (StandardScaler(), [2, 3])),
    "from the end": lambda e: make_column_transformer((e(), [-7]), (StandardScaler(), [-4, -5])),
    "by slice": lambda e: make_column_transformer((e(), slice("photo", "photo")), (StandardScaler(), slice(2, 4))),
    "by mask": lambda e: make_column_transformer(
        (e(), [True] + [False] * 6), (StandardScaler(), np.array([False, False, True, True, False, False, False]))
    ),
    "by selector": lambda e: make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include=np.number)), (e(), "photo")
    ),
    "images last": lambda e: make_column_transformer((StandardScaler(), ["weight", "price"]), (e(), "photo")),
    "one column twice": lambda e: make_column_transformer(
        (StandardScaler(), ["price"]), (MinMaxScaler(), ["price", "weight"]), (e(), "photo")
    ),
    "categories": lambda e: make_column_transformer((e(), "photo"), (OneHotEncoder(), ["shelf", "colour"])),
    "booleans": lambda e: make_column_transformer((e(), "photo"), (OneHotEncoder(), ["new"])),
    "codes": lambda e: make_column_transformer((e(), "photo"), (OrdinalEncoder(), ["colour"])),
    "an unused part": lambda e: make_column_transformer((e(), "photo"), ("drop", ["colour"]), (StandardScaler(), [])),
    "two of images": lambda e: make_column_transformer((e(), "photo"), (e(layers=["conv1"]), "back")),
    "a pipeline of images": lambda e: make_column_transformer(
        (make_pipeline(e(), PCA(3)), "photo"), ("passthrough", PRICES)
    ),
    "weights": lambda e: make_column_transformer((e(), "photo"), (StandardScaler(), PRICES)).set_params(
        transformer_weights={"imageencoder": 3.0, "standardscaler": 0.5}
    ),
    "frames": lambda e: make_column_transformer((e(), "photo"), (StandardScaler(), PRICES)).set_output(
        transform="pandas"
    ),
    "frames inside": lambda e: make_column_transformer(
        (make_pipeline(e(), StandardScaler(), PCA(3)).set_output(transform="pandas"), "photo"),
        (make_pipeline(SimpleImputer(), StandardScaler()).set_output(transform="pandas"), PRICES),
    ),
    "a table of other columns inside": lambda e: make_column_transformer(
        (e(), "photo"),
        (make_column_transformer((StandardScaler(), ["price"]), (OneHotEncoder(), ["colour"])), ["colour", "price"]),
    ),
    "a table of its frames behind it": lambda e: make_pipeline(
        make_column_transformer((e(), "photo"), ("passthrough", PRICES), verbose_feature_names_out=False).set_output(
            transform="pandas"
        ),
        make_column_transformer((StandardScaler(), PRICES), remainder="passthrough"),
    ),
    "a union of tables": lambda e: make_union(
        make_column_transformer((e(), "photo")), make_column_transformer((StandardScaler(), PRICES))
    ),
}


@pytest.mark.filterwarnings("error:X .* feature names")
@pytest.mark.parametrize("make", OF_TABLES.values(), ids=OF_TABLES)
def test_a_head_on_columns_is_the_pipeline_on_a_table_and_no_step_misses_its_names(make, encoder, table, labels):
    check(make_pipeline(make(encoder), LogisticRegression(max_iter=1000)), table, labels, last_digits=1e-6)


@pytest.mark.parametrize("remainder", ["drop", "passthrough", StandardScaler()], ids=str)
def test_what_remains_is_dropped_passed_or_transformed(remainder, encoder, table, labels):
    columns = make_column_transformer((encoder(), "photo"), remainder=remainder)
    model = make_pipeline(columns, LogisticRegression(max_iter=1000))
    check(model, table[["photo", *PRICES]], labels, last_digits=1e-6)
    assert [value.name for value in strip(model).values] == ([] if remainder == "drop" else PRICES)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: GridSearchCV(model, C, cv=3),
        lambda model: CalibratedClassifierCV(model, cv=3),
        lambda model: TunedThresholdClassifierCV(model, cv=3),
    ],
    ids=["search", "calibration", "threshold"],
)
def test_a_table_inside_others_too(wrap, encoder, table, labels):
    columns = make_column_transformer((encoder(), "photo"), (StandardScaler(), PRICES))
    check(wrap(logistic(columns)), table, labels, last_digits=1e-6)


@pytest.mark.filterwarnings("ignore:X has feature names")
def test_columns_of_an_array_have_names_of_their_places(encoder, table, labels):
    array = np.empty((len(table), 2), object)
    array[:, 0], array[:, 1] = table["photo"], table["price"]
    columns = ColumnTransformer([("image", encoder(), 0), ("number", StandardScaler(), [1])])
    model = make_pipeline(columns, LogisticRegression()).fit(array, labels)
    stripped = strip(model)
    assert [part.name for part in (*stripped.images, *stripped.values)] == ["x0", "x1"]
    got = answers_of_head(model, {"x0": table["photo"], "x1": table["price"]})
    np.testing.assert_allclose(got["probabilities"], model.predict_proba(array), rtol=1e-6)


def test_kinds_and_categories_are_those_that_it_was_fitted_on(encoder, table, labels):
    columns = make_column_transformer(
        (encoder(), "photo"), (OneHotEncoder(), ["colour", "shelf", "new"]), ("passthrough", ["price"])
    )
    values = strip(make_pipeline(columns, LogisticRegression()).fit(table, labels)).values
    assert [(value.name, value.kind, value.categories) for value in values] == [
        ("colour", "category", ["blue", "green", "red"]),
        ("shelf", "integer", [3, 5, 7, 9]),
        ("new", "integer", [0, 1]),
        ("price", "number", None),
    ]


def test_images_keep_the_name_of_their_column(encoder, table, labels):
    assert strip(logistic(encoder()).fit(table["photo"], labels)).images[0].name == "photo"
    assert strip(logistic(encoder()).fit(list(table["photo"]), labels)).images[0].name == IMAGE


def test_a_column_called_as_an_output_is_another_tensor(encoder, table, labels):
    (image,) = strip(logistic(encoder()).fit(table["photo"].rename("label"), labels)).images
    assert (image.name, image.tensor) == ("label", "label_input")


def test_an_encoder_alone_has_no_head(encoder, crops):
    assert strip(encoder().fit(crops)).head is None
    assert strip(make_pipeline(encoder()).fit(crops)).head is None


def test_specs_are_in_float32_and_the_encoder_is_not_changed(encoder, crops, labels):
    reduced = encoder(precision="bfloat16")
    stripped = strip(make_pipeline(reduced).fit(crops, labels))
    assert stripped.images[0].specs[0].precision == "float32"
    assert reduced.precision == "bfloat16"


def test_categories_that_are_no_text_in_a_column_of_objects_are_refused(encoder, table, labels):
    odd = pd.Series([True, None] * 20, dtype=object)
    columns = make_column_transformer((encoder(), "photo"), (OneHotEncoder(), ["odd"]))
    with pytest.raises(ExportError, match="Column 'odd' has the category True"):
        strip(make_pipeline(columns, LogisticRegression()).fit(table.assign(odd=odd), labels))


def test_what_cannot_leave_says_why(encoder, crops, table, labels):
    with pytest.raises(ExportError, match="not fitted"):
        strip(logistic(encoder()))
    with pytest.raises(ExportError, match="without an ImageEncoder"):
        strip(LogisticRegression().fit(np.eye(2), [0, 1]))
    for no_model in (3, None, "model", crops):
        with pytest.raises(ExportError, match="Expected a fitted scikit-learn Pipeline"):
            strip(no_model)
    with pytest.raises(ExportError, match="several encoders on one column"):
        strip(make_pipeline(make_union(encoder(), encoder(layers=["conv1"])), LogisticRegression()).fit(crops, labels))
    twice = make_column_transformer((encoder(), "photo"), (encoder(layers=["conv1"]), "photo"))
    with pytest.raises(ExportError, match="shares its column of images"):
        strip(make_pipeline(twice, LogisticRegression()).fit(table, labels))


@pytest.mark.filterwarnings("error:X .* feature names")
@pytest.mark.parametrize("ensemble", [VotingClassifier, StackingClassifier])
def test_an_ensemble_of_a_photo_pipeline_and_a_table_pipeline(ensemble, encoder, table, labels):
    photos = make_pipeline(make_column_transformer((encoder(), "photo")), LogisticRegression())
    goods = make_column_transformer((StandardScaler(), PRICES), (OneHotEncoder(), ["colour"]))
    models = [("photos", photos), ("goods", make_pipeline(goods, LogisticRegression()))]
    parameters = {"voting": "soft"} if ensemble is VotingClassifier else {"cv": 2}
    check(ensemble(models, **parameters), table, labels, last_digits=1e-6)


def test_an_ensemble_of_two_encoders_on_one_column_is_refused(encoder, table, labels):
    models = [
        (str(layer), make_pipeline(make_column_transformer((encoder(layers=layer), "photo")), LogisticRegression()))
        for layer in (None, ["conv1"])
    ]
    with pytest.raises(ExportError, match="Column 'photo' has several encoders"):
        strip(VotingClassifier(models).fit(table, labels))


@pytest.mark.parametrize("unit", ["datetime64[D]", "datetime64[ns]", "timedelta64[s]"])
def test_labels_of_dates_leave_as_integers_and_the_model_keeps_its_own(unit, encoder, crops):
    y = np.repeat(np.array([10**9, 2 * 10**9], np.int64).astype(unit), 20)
    model = logistic(encoder()).fit(crops, y)
    assert strip(model).head.classes_.tolist() == [10**9, 2 * 10**9]
    assert model.classes_.dtype == unit


def test_a_step_before_the_encoder_is_refused(encoder, table, labels):
    chosen = make_pipeline(FunctionTransformer(operator.itemgetter("photo")), encoder(), LogisticRegression())
    with pytest.raises(ExportError, match=r"Step 'functiontransformer' .* comes before the ImageEncoder"):
        strip(chosen.fit(table, labels))


def test_a_table_of_images_inside_a_table_is_refused(encoder, table, labels):
    inner = make_column_transformer((encoder(), "photo"), (StandardScaler(), ["price"]))
    outer = make_column_transformer((inner, ["photo", "price"]), ("passthrough", ["weight"]))
    with pytest.raises(ExportError, match="a ColumnTransformer of images inside another one"):
        strip(make_pipeline(outer, LogisticRegression()).fit(table, labels))


class Vectorizer(OneHotEncoder):
    """A transformer of another library's, such as skrub's TableVectorizer."""

    __module__ = "skrub._table_vectorizer"


def test_another_librarys_transformer_of_a_table_is_refused_by_name(encoder, table, labels):
    columns = make_column_transformer((encoder(), "photo"), (make_pipeline(Vectorizer()), ["colour"]))
    with pytest.raises(ExportError, match=r"Got skrub's Vectorizer .* featx\.save"):
        strip(make_pipeline(columns, LogisticRegression()).fit(table, labels))


@needs_model
def test_a_pipeline_with_texts_is_refused_with_what_can_be_done(encoder, table, labels):
    texts = TextEncoder(cache=False, verbose=0)
    both = make_column_transformer((encoder(), "photo"), (texts, "colour"))
    for model, X in ((logistic(both), table), (logistic(texts), table["colour"])):
        with pytest.raises(ExportError, match=r"with a TextEncoder\. .*featx\.save\(model, folder\)"):
            strip(model.fit(X, labels))
