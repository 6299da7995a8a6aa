"""A pipeline without its encoders answers to embeddings as the pipeline to images, and its columns are known."""

from __future__ import annotations

import operator
import pickle

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

import featx
from featx.deploy._bundle import head_input
from featx.deploy._columns import read_columns
from featx.deploy.export._agreement import ask
from featx.deploy.export._inputs import ImageInput, in_float32, join, tensor_name, unwrap, value_input, walk
from featx.deploy.export._split import IMAGE, split
from featx.exceptions import ExportError
from featx.text import TextEncoder
from tests.text.models import needs_model

PRICES = ["price", "weight"]
C = {"logisticregression__C": [0.1, 1]}


def logistic(first, **parameters):
    return make_pipeline(first, StandardScaler(), LogisticRegression(**parameters))


def answers_of_head(model, X):
    """Return what the head answers to the embeddings that the encoders give."""
    parts = split(model)
    inputs = [{"name": name, "kind": "image"} for name in dict.fromkeys(image.name for image in parts.images)]
    inputs += [{"name": v.name, "kind": v.kind, "missing": False, "known": v.categories} for v in parts.values]
    columns = read_columns(X, inputs)
    assert not columns.reasons
    rows = [image.encoder.transform(list(columns.images[image.name].sources)) for image in parts.images]
    assert [part.shape[1] for part in rows] == [image.dim for image in parts.images]
    return ask(parts.head, head_input(np.concatenate(rows, axis=1), columns.values))


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


EARLY = {"layers": ["conv1"]}
OF_TWO_ENCODERS = {
    "a union": lambda encoder: make_pipeline(make_union(encoder(), encoder(**EARLY)), LogisticRegression()),
    "a union of pipelines": lambda encoder: make_pipeline(
        make_union(
            make_pipeline(encoder(**EARLY), StandardScaler()), make_pipeline(encoder(), PCA(2)), encoder(**EARLY)
        ),
        LogisticRegression(),
    ),
    "an ensemble": lambda encoder: VotingClassifier([("a", logistic(encoder())), ("b", logistic(encoder(**EARLY)))]),
    "a search": lambda encoder: GridSearchCV(logistic(make_union(encoder(), encoder(**EARLY))), C, cv=2),
}


@pytest.mark.parametrize("make", OF_TWO_ENCODERS.values(), ids=OF_TWO_ENCODERS)
def test_of_two_encoders_each_step_gets_the_columns_of_its_own(make, encoder, crops, labels):
    check(make(encoder), crops, labels, last_digits=1e-6)


OF_TWO_IN_A_TABLE = {
    "a column twice": lambda encoder: [(encoder(), "photo"), (StandardScaler(), PRICES), (encoder(**EARLY), "photo")],
    "a union": lambda encoder: [(make_union(encoder(**EARLY), encoder()), "photo"), (encoder(), "back")],
    "a column for both, and one for each": lambda encoder: [
        (make_pipeline(encoder(**EARLY), StandardScaler()), "back"),
        (make_pipeline(make_union(encoder(), make_pipeline(encoder(**EARLY), PCA(2))), StandardScaler()), "photo"),
        (encoder(), "back"),
        (encoder(), "photo"),
    ],
}


@pytest.mark.filterwarnings("error:X .* feature names")
@pytest.mark.parametrize("make", OF_TWO_IN_A_TABLE.values(), ids=OF_TWO_IN_A_TABLE)
def test_of_two_encoders_of_a_tables_column_too(make, encoder, table, labels):
    columns = make_column_transformer(*make(encoder))
    check(make_pipeline(columns, LogisticRegression()), table, labels, last_digits=1e-6)


def test_what_only_puts_embeddings_side_by_side_is_no_head(encoder, crops, table):
    assert split(make_union(encoder(), encoder(**EARLY)).fit(crops)).head is None
    assert split(make_column_transformer((encoder(), "photo"), (encoder(), "back")).fit(table)).head is None
    assert split(make_column_transformer((make_pipeline(encoder(), PCA(2)), "photo")).fit(table)).head is not None


def test_two_encoders_take_one_tensor_where_they_want_the_same_pixels(encoder, table):
    inner = featx.Preprocess(size=24)
    columns = make_column_transformer(
        (encoder(), "photo"),
        (encoder(**EARLY), "photo"),
        (encoder(preprocess=inner), "photo"),
        (encoder(preprocess=inner), "photo_2"),
    )
    images = split(columns.fit(table.rename(columns={"back": "photo_2"}))).images
    assert [image.tensor for image in images] == ["photo", "photo", "photo_3", "photo_2"]


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
    assert [value.name for value in split(model).values] == ([] if remainder == "drop" else PRICES)


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
    parts = split(model)
    assert [part.name for part in (*parts.images, *parts.values)] == ["x0", "x1"]
    got = answers_of_head(model, {"x0": table["photo"], "x1": table["price"]})
    np.testing.assert_allclose(got["probabilities"], model.predict_proba(array), rtol=1e-6)


def test_kinds_and_categories_are_those_that_it_was_fitted_on(encoder, table, labels):
    columns = make_column_transformer(
        (encoder(), "photo"), (OneHotEncoder(), ["colour", "shelf", "new"]), ("passthrough", ["price"])
    )
    values = split(make_pipeline(columns, LogisticRegression()).fit(table, labels)).values
    assert [(value.name, value.kind, value.categories) for value in values] == [
        ("colour", "category", ["blue", "green", "red"]),
        ("shelf", "integer", [3, 5, 7, 9]),
        ("new", "integer", [0, 1]),
        ("price", "number", None),
    ]


def test_images_keep_the_name_of_their_column(encoder, table, labels):
    assert split(logistic(encoder()).fit(table["photo"], labels)).images[0].name == "photo"
    assert split(logistic(encoder()).fit(list(table["photo"]), labels)).images[0].name == IMAGE


def test_a_column_called_as_an_output_is_another_tensor(encoder, table, labels):
    (image,) = split(logistic(encoder()).fit(table["photo"].rename("label"), labels)).images
    assert (image.name, image.tensor) == ("label", "label_input")


def test_an_encoder_alone_has_no_head(encoder, crops):
    assert split(encoder().fit(crops)).head is None
    assert split(make_pipeline(encoder()).fit(crops)).head is None


def test_specs_are_in_float32_and_the_encoder_is_not_changed(encoder, crops, labels):
    reduced = encoder(precision="bfloat16")
    parts = split(make_pipeline(reduced).fit(crops, labels))
    assert parts.images[0].specs[0].precision == "float32"
    assert reduced.precision == "bfloat16"


def test_categories_that_are_no_text_in_a_column_of_objects_are_refused(encoder, table, labels):
    odd = pd.Series([True, None] * 20, dtype=object)
    columns = make_column_transformer((encoder(), "photo"), (OneHotEncoder(), ["odd"]))
    with pytest.raises(ExportError, match="Column 'odd' has the category True"):
        split(make_pipeline(columns, LogisticRegression()).fit(table.assign(odd=odd), labels))


def test_what_cannot_be_exported_has_a_reason(encoder, crops, table, labels, tmp_path):
    with pytest.raises(ExportError, match="not fitted"):
        split(logistic(encoder()))
    with pytest.raises(ExportError, match="without an ImageEncoder"):
        split(LogisticRegression().fit(np.eye(2), [0, 1]))
    for no_model in (3, None, "model", crops):
        with pytest.raises(ExportError, match="Expected a fitted scikit-learn Pipeline"):
            split(no_model)
    for i in range(2):
        Image.fromarray(crops[i]).save(tmp_path / f"{i}.png")
    named = table.assign(photo=[str(tmp_path / f"{i % 2}.png") for i in range(len(table))])
    otherwise = make_column_transformer((encoder(), "photo"), (OneHotEncoder(), ["photo"]))
    with pytest.raises(ExportError, match="'photo' is used as images and otherwise"):
        split(make_pipeline(otherwise, LogisticRegression()).fit(named, labels))


@pytest.mark.filterwarnings("error:X .* feature names")
@pytest.mark.parametrize("ensemble", [VotingClassifier, StackingClassifier])
def test_an_ensemble_of_a_photo_pipeline_and_a_table_pipeline(ensemble, encoder, table, labels):
    photos = make_pipeline(make_column_transformer((encoder(), "photo")), LogisticRegression())
    goods = make_column_transformer((StandardScaler(), PRICES), (OneHotEncoder(), ["colour"]))
    models = [("photos", photos), ("goods", make_pipeline(goods, LogisticRegression()))]
    parameters = {"voting": "soft"} if ensemble is VotingClassifier else {"cv": 2}
    check(ensemble(models, **parameters), table, labels, last_digits=1e-6)


def test_an_ensemble_of_two_encoders_on_one_column(encoder, table, labels):
    models = [
        (str(layer), make_pipeline(make_column_transformer((encoder(layers=layer), "photo")), LogisticRegression()))
        for layer in (None, ["conv1"])
    ]
    check(VotingClassifier(models, voting="soft"), table, labels, last_digits=1e-6)


@pytest.mark.parametrize("unit", ["datetime64[D]", "datetime64[ns]", "timedelta64[s]"])
def test_labels_of_dates_are_exported_as_integers_and_the_model_keeps_its_own(unit, encoder, crops):
    y = np.repeat(np.array([10**9, 2 * 10**9], np.int64).astype(unit), 20)
    model = logistic(encoder()).fit(crops, y)
    assert split(model).head.classes_.tolist() == [10**9, 2 * 10**9]
    assert model.classes_.dtype == unit


def test_a_step_before_the_encoder_is_refused(encoder, table, labels):
    chosen = make_pipeline(FunctionTransformer(operator.itemgetter("photo")), encoder(), LogisticRegression())
    with pytest.raises(ExportError, match=r"Step 'functiontransformer' .* comes before the ImageEncoder"):
        split(chosen.fit(table, labels))


def test_a_table_of_images_inside_a_table_is_refused(encoder, table, labels):
    inner = make_column_transformer((encoder(), "photo"), (StandardScaler(), ["price"]))
    outer = make_column_transformer((inner, ["photo", "price"]), ("passthrough", ["weight"]))
    with pytest.raises(ExportError, match="a ColumnTransformer of images inside another one"):
        split(make_pipeline(outer, LogisticRegression()).fit(table, labels))


class Vectorizer(OneHotEncoder):
    """A transformer of another library's, such as skrub's TableVectorizer."""

    __module__ = "skrub._table_vectorizer"


def test_another_librarys_transformer_of_a_table_is_refused_by_name(encoder, table, labels):
    columns = make_column_transformer((encoder(), "photo"), (make_pipeline(Vectorizer()), ["colour"]))
    with pytest.raises(ExportError, match=r"Got skrub's Vectorizer .* featx\.save"):
        split(make_pipeline(columns, LogisticRegression()).fit(table, labels))


@needs_model
def test_a_pipeline_with_texts_is_refused_with_what_can_be_done(encoder, table, labels):
    texts = TextEncoder(cache=False, verbose=0)
    both = make_column_transformer((encoder(), "photo"), (texts, "colour"))
    for model, X in ((logistic(both), table), (logistic(texts), table["colour"])):
        with pytest.raises(ExportError, match=r"with a TextEncoder\. .*featx\.save\(model, folder\)"):
            split(model.fit(X, labels))


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
