"""Heads that featx writes in ONNX itself answer as the libraries that fitted them, on rows of every kind."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import special
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.linear_model import (
    GammaRegressor,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier

import featx
from featx.deploy._bundle import polish
from featx.deploy.export._agreement import answer_quietly, ask, compare
from featx.deploy.export._inputs import Parts
from featx.deploy.export.heads import convert_head, find_unproven
from featx.deploy.export.heads._convert import _open

lightgbm = pytest.importorskip("lightgbm", reason="needs pip install lightgbm")
xgboost = pytest.importorskip("xgboost", reason="needs pip install xgboost")
pytest.importorskip("skl2onnx", reason="needs pip install 'featx[export]'")
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # parameters that scikit-learn renames
    pytest.mark.filterwarnings("ignore:X does not have valid feature names"),  # LightGBM of its own wrapper
]

X, FIVE = make_classification(400, 12, n_informative=8, n_redundant=0, n_classes=5, flip_y=0.1, random_state=0)
X = X.astype(np.float32)
HOLES = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.float32(np.nan), X)
TRAIN, NEW = slice(0, 250), slice(250, None)
TEXT = np.array(["kiwi", "a b", "zoo", "b", "é"])
MANY, TWO = TEXT[FIVE], TEXT[(FIVE > 1).astype(int)]
NUMBERS = np.exp(X[:, 0] / 2) + FIVE
SEVERAL = np.c_[NUMBERS, X[:, 1], 30 * X[:, 2]]
LABELS = np.c_[MANY, TWO]
WHICH = np.c_[FIVE > 1, FIVE == 0, X[:, 0] > 0].astype(int)

FEW = {"n_estimators": 5, "random_state": 0}
QUIET = {**FEW, "verbose": -1, "n_jobs": 1}
HIST = HistGradientBoostingRegressor(max_iter=5)
HIST_CLASSIFIER = HistGradientBoostingClassifier(max_iter=5)
LINEAR = LogisticRegression()
MEMBERS = [("linear", LINEAR), ("trees", HIST_CLASSIFIER), ("scaled", make_pipeline(StandardScaler(), GaussianNB()))]
NUMBER_MEMBERS = [("linear", Ridge()), ("trees", HIST)]


def target(regressor, func=None, inverse_func=None, **parameters):
    return TransformedTargetRegressor(
        regressor, func=func, inverse_func=inverse_func, check_inverse=False, **parameters
    )


def by_loss(loss, **parameters):
    return HistGradientBoostingRegressor(loss=loss, **parameters)


HEADS = {
    # trees that learned where missing values go
    "hist. boosting": (HIST_CLASSIFIER, HOLES, MANY),
    "hist. boosting of two": (HIST_CLASSIFIER, HOLES, TWO),
    **{
        f"hist. boosting by {loss}": (
            HistGradientBoostingRegressor(loss=loss, quantile=0.3, max_iter=5),
            HOLES,
            NUMBERS,
        )
        for loss in ("squared_error", "absolute_error", "poisson", "gamma", "quantile")
    },
    "tree": (DecisionTreeClassifier(random_state=0), HOLES, MANY),
    "tree of numbers": (DecisionTreeRegressor(random_state=0), HOLES, NUMBERS),
    "random tree": (ExtraTreeClassifier(random_state=0), X, MANY),
    "stump that is a leaf": (DecisionTreeClassifier(min_samples_leaf=200), X, MANY),
    "forest": (RandomForestClassifier(**FEW), HOLES, MANY),
    "forest of numbers": (RandomForestRegressor(**FEW), HOLES, NUMBERS),
    "extra trees": (ExtraTreesClassifier(**FEW), X, TWO),
    "extra trees of numbers": (ExtraTreesRegressor(**FEW), X, NUMBERS),
    "boosting": (GradientBoostingClassifier(**FEW), X, MANY),
    "boosting of two": (GradientBoostingClassifier(**FEW), X, TWO),
    "boosting, exponential": (GradientBoostingClassifier(loss="exponential", **FEW), X, TWO),
    **{
        f"boosting by {loss}": (GradientBoostingRegressor(loss=loss, **FEW), X, NUMBERS)
        for loss in ("squared_error", "absolute_error", "huber", "quantile")
    },
    # LightGBM and XGBoost
    "LightGBM": (lightgbm.LGBMClassifier(**QUIET), HOLES, MANY),
    "LightGBM of two": (lightgbm.LGBMClassifier(**QUIET), X, TWO),
    **{
        f"LightGBM by {objective}": (lightgbm.LGBMRegressor(objective=objective, **QUIET), HOLES, NUMBERS)
        for objective in ("regression", "regression_l1", "poisson", "gamma", "tweedie", "quantile")
    },
    "LightGBM of roots": (lightgbm.LGBMRegressor(reg_sqrt=True, **QUIET), X, NUMBERS),
    "LightGBM, forest": (
        lightgbm.LGBMRegressor(boosting_type="rf", subsample=0.5, subsample_freq=1, **QUIET),
        X,
        NUMBERS,
    ),
    "XGBoost": (xgboost.XGBClassifier(n_jobs=1, **FEW), HOLES, FIVE),
    "XGBoost of two": (xgboost.XGBClassifier(n_jobs=1, **FEW), HOLES, (FIVE > 1).astype(int)),
    **{
        f"XGBoost by {objective}": (xgboost.XGBRegressor(objective=objective, n_jobs=1, **FEW), HOLES, NUMBERS)
        for objective in ("reg:squarederror", "reg:absoluteerror", "count:poisson", "reg:gamma", "reg:tweedie")
    },
    "XGBoost, forest": (xgboost.XGBRFRegressor(n_jobs=1, **FEW), X, NUMBERS),
    # targets
    "log target": (target(HIST, np.log1p, np.expm1), HOLES, NUMBERS),
    **{
        f"target by {inverse.__name__}": (target(Ridge(), func, inverse), X, NUMBERS)
        for func, inverse in [
            (np.log, np.exp),
            (np.sqrt, np.square),
            (np.square, np.sqrt),
            (np.log2, np.exp2),
            (np.log10, special.exp10),
            (np.arcsinh, np.sinh),
        ]
    },
    **{
        f"target by {transformer!r}": (target(Ridge(), transformer=transformer), X, NUMBERS)
        for transformer in [
            StandardScaler(),
            MinMaxScaler(),
            RobustScaler(),
            PowerTransformer(),
            PowerTransformer("box-cox"),
            QuantileTransformer(n_quantiles=50),
            QuantileTransformer(n_quantiles=50, output_distribution="normal"),
        ]
    },
    # calibration and thresholds
    **{
        f"{method}, {type(inner).__name__}, {len(set(y))}": (CalibratedClassifierCV(inner, method=method, cv=3), X, y)
        for method in ("sigmoid", "isotonic", "temperature")
        for inner in (LinearSVC(), SVC(), RandomForestClassifier(**FEW))
        for y in (TWO, MANY)
    },
    "tuned": (TunedThresholdClassifierCV(LINEAR, cv=3), X, TWO),
    "tuned trees": (TunedThresholdClassifierCV(HIST_CLASSIFIER, cv=3), HOLES, TWO),
    "fixed": (FixedThresholdClassifier(LINEAR, threshold=0.3), X, TWO == "kiwi"),
    "fixed, other class": (FixedThresholdClassifier(SVC(), threshold=0.3, pos_label="a b"), X, TWO),
    # ensembles
    "voting": (VotingClassifier(MEMBERS, voting="soft", weights=[1, 2, 1]), X, MANY),
    "votes": (VotingClassifier(MEMBERS, weights=[1, 2, 1.5]), X, MANY),
    "voting of numbers": (VotingRegressor(NUMBER_MEMBERS, weights=[1, 3]), X, NUMBERS),
    "stacking": (StackingClassifier(MEMBERS, cv=2), X, MANY),
    "stacking of two, passed through": (StackingClassifier(MEMBERS, passthrough=True, cv=2), X, TWO),
    "stacked labels": (StackingClassifier(MEMBERS, stack_method="predict", cv=2), X, FIVE),
    "stacking of numbers": (StackingRegressor(NUMBER_MEMBERS, cv=2), X, NUMBERS),
    "bagging": (BaggingClassifier(HIST_CLASSIFIER, **{**FEW, "n_estimators": 2}), X, MANY),
    "bagging of columns": (BaggingRegressor(max_features=0.5, **FEW), X, NUMBERS),
    "one against the rest": (OneVsRestClassifier(LINEAR), X, MANY),
    "one against the rest, SVM": (OneVsRestClassifier(SVC()), X, MANY),
    # neighbours
    **{
        f"{k} neighbours, {weights}, {metric}": (KNeighborsClassifier(k, weights=weights, metric=metric), X, MANY)
        for k in (1, 5)
        for weights in ("uniform", "distance")
        for metric in ("minkowski", "cosine")
    },
    "neighbours of numbers": (KNeighborsRegressor(weights="distance"), X, NUMBERS),
    # linear ones, and columns
    "SGD": (SGDClassifier("log_loss", random_state=0), X, MANY),
    "SGD, Huber": (SGDClassifier("modified_huber", random_state=0), X, MANY),
    "Poisson": (PoissonRegressor(), X, NUMBERS),
    "gamma": (GammaRegressor(), X, NUMBERS),
    "chosen columns": (make_pipeline(SelectKBest(k=5), VarianceThreshold(), LINEAR), X, MANY),
    "joined columns": (make_pipeline(make_union(StandardScaler(), FunctionTransformer(np.abs)), LINEAR), X, MANY),
    # several outputs
    "numbers": (Ridge(), X, SEVERAL),
    "numbers of a forest": (RandomForestRegressor(**FEW), X, SEVERAL),
    "numbers of several": (MultiOutputRegressor(HIST), HOLES, SEVERAL),
    "numbers of neighbours": (KNeighborsRegressor(), X, SEVERAL),
    "numbers by their spread": (target(Ridge(), transformer=StandardScaler()), X, SEVERAL),
    "labels of several": (MultiOutputClassifier(LINEAR), X, LABELS),
    "labels of a forest": (RandomForestClassifier(**FEW), X, LABELS),
    "labels of neighbours": (KNeighborsClassifier(weights="distance"), X, LABELS),
    "which labels": (OneVsRestClassifier(LINEAR), X, WHICH),
    "which labels, two": (OneVsRestClassifier(SVC()), X, WHICH[:, :2]),
    "which labels, ridge": (RidgeClassifier(), X, WHICH),
    "which labels, trees": (MultiOutputClassifier(HIST_CLASSIFIER), HOLES, WHICH),
}


def answers(head, rows, sample):
    """What the head answers, and its graph."""
    conversion = convert_head(Parts([], [], head), sample, {})
    assert conversion.problem is None
    (graph,) = conversion.graphs
    got = _open(graph.model, graph.outputs)({"embedding": rows})
    expected = answer_quietly(head, rows, {})
    label = expected["label"]
    width = label.shape[1] if label.ndim > 1 else None
    return expected, {name: polish(name, answer, label.dtype.str, width) for name, answer in got.items()}


@pytest.mark.parametrize("name", HEADS)
def test_a_head_is_written_whole(name):
    head, rows, y = HEADS[name]
    head = copy.deepcopy(head).fit(rows[TRAIN], y[TRAIN])
    assert find_unproven(head) is None
    expected, got = answers(head, rows[NEW], rows[TRAIN][:60])
    assert got.keys() == expected.keys()
    assert compare(expected, got).where == []


EXACT = {
    "tree": DecisionTreeRegressor(random_state=0),
    "hist. boosting": HistGradientBoostingRegressor(max_iter=20),
    "LightGBM": lightgbm.LGBMRegressor(n_estimators=20, verbose=-1, n_jobs=1),
    "XGBoost": xgboost.XGBRegressor(n_estimators=20, n_jobs=1),
}


@pytest.mark.parametrize("name", EXACT)
def test_a_number_beside_a_threshold_of_64_bits_falls_on_the_same_side(name):
    grid = np.random.default_rng(1).normal(size=(300, 1)).astype(np.float32)
    y = np.sin(3 * grid[:, 0]) + 2
    head = copy.deepcopy(EXACT[name]).fit(grid, y)
    middle = (np.sort(grid[:, 0].astype(np.float64))[:-1] + np.sort(grid[:, 0].astype(np.float64))[1:]) / 2
    near = middle.astype(np.float32)
    rows = np.concatenate([np.nextafter(near, np.float32(side)) for side in (-9, 9)] + [near])[:, None]
    expected, got = answers(head, rows, grid[:50])
    np.testing.assert_allclose(got["label"], expected["label"], rtol=1e-5)


@pytest.mark.parametrize("kind", [HistGradientBoostingClassifier, lightgbm.LGBMClassifier])
def test_categories_of_a_tree_are_sets(kind):
    random = np.random.default_rng(0)
    codes = random.integers(0, 12, (600, 2)).astype(np.float32)
    rows = np.concatenate([codes, random.normal(size=(600, 2)).astype(np.float32)], axis=1)
    y = (codes[:, 0] % 3 == 0) ^ (codes[:, 1] % 2 == 0)
    if kind is HistGradientBoostingClassifier:
        head = kind(categorical_features=[0, 1], max_iter=20).fit(rows, y)
    else:
        options = {"min_data_per_group": 5, "cat_smooth": 1.0, "n_estimators": 20, "verbose": -1, "n_jobs": 1}
        head = kind(**options).fit(rows, y, categorical_feature=[0, 1])
    odd = rows[:100].copy()
    odd[::7, 0], odd[::5, 1] = np.nan, 99  # missing, and one that nobody has seen
    expected, got = answers(head, odd, rows[:60])
    assert head.score(rows, y) > 0.9
    assert compare(expected, got).where == []


def test_two_rows_that_are_one_share_the_weight_that_scikit_learn_gives_them():
    rows, y = np.concatenate([X[:50], X[:50]]), np.r_[MANY[:50], MANY[50:100]]
    head = KNeighborsClassifier(4, weights="distance").fit(rows, y)
    expected, got = answers(head, X[:50], X[100:150])
    np.testing.assert_allclose(got["probabilities"], expected["probabilities"], atol=1e-5)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (xgboost.XGBClassifier(booster="dart", n_estimators=3), "XGBoost's booster 'dart'"),
        (lightgbm.LGBMRegressor(linear_tree=True, n_estimators=3, verbose=-1), "linear trees"),
        (KNeighborsClassifier(metric="manhattan"), "metric 'manhattan'"),
        (KNeighborsClassifier(weights=np.exp), "weights=<ufunc 'exp'>"),
        (target(Ridge(), np.cbrt, np.positive), "the function <ufunc 'positive'>"),
        (GradientBoostingRegressor(init=Ridge(), n_estimators=3), r"init=Ridge"),
    ],
    ids=lambda part: type(part).__name__,
)
def test_what_cannot_be_written_says_why(head, reason):
    head = copy.deepcopy(head).fit(X[TRAIN], FIVE[TRAIN])
    assert reason in convert_head(Parts([], [], head), X[NEW], {}).problem


# Through export_bundle and Predictor, with real images


def exported(model, images, y, folder, **parameters):
    model.fit(images, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bundle = featx.export_bundle(model, folder, **parameters)
    assert bundle.manifest["head"] == "onnx"
    assert "scikit-learn" not in (bundle.folder / "requirements.txt").read_text()
    return featx.Predictor(bundle)


@pytest.mark.filterwarnings("ignore::featx.exceptions.ImageWarning")
def test_prices_by_their_logarithm_leave_whole_and_a_missing_photo_goes_the_way_that_was_learned(tiny, crops, tmp_path):
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0, on_missing="nan")
    images = [*crops, None, None]
    prices = np.exp(np.linspace(0, 8, len(images)))
    head = target(HistGradientBoostingRegressor(max_iter=10, min_samples_leaf=2), np.log1p, np.expm1)
    predictor = exported(make_pipeline(encoder, head), images, prices, tmp_path / "bundle")
    model = make_pipeline(encoder, head).fit(images, prices)
    np.testing.assert_allclose(predictor.predict(images), model.predict(images), rtol=1e-4)
    assert predictor.predict([crops[0], None])[1] > 10 * predictor.predict([crops[0]])[0]


@pytest.mark.parametrize(
    "head",
    [
        lightgbm.LGBMClassifier(min_child_samples=2, **QUIET),
        TunedThresholdClassifierCV(LINEAR, cv=2),
        CalibratedClassifierCV(SVC(), method="isotonic", cv=2),
        StackingClassifier(MEMBERS, cv=2),
        KNeighborsClassifier(3, weights="distance"),
    ],
    ids=lambda head: type(head).__name__,
)
def test_a_classifier_of_photos_leaves_whole(head, tiny, crops, places, tmp_path):
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
    model = make_pipeline(encoder, StandardScaler(), copy.deepcopy(head))
    predictor = exported(model, crops, places, tmp_path / "bundle", sample=crops)
    np.testing.assert_array_equal(predictor.predict(crops), model.predict(crops))
    np.testing.assert_allclose(predictor.predict_proba(crops), model.predict_proba(crops), atol=1e-4)


@pytest.mark.parametrize("handle_unknown", ["ignore", "infrequent_if_exist"])
@pytest.mark.parametrize("drop", [None, "first"])
def test_rare_and_unknown_categories_are_what_they_were(handle_unknown, drop, tiny, crops, places, tmp_path):
    n = len(crops)
    table = pd.DataFrame({"photo": crops, "colour": (["red"] * 4 + ["blue"] * 3 + ["jade", None, "nan"]) * (n // 10)})
    table["shelf"] = [3, 3, 5, 5, 7, 9, 3, 5] * (n // 8)
    one_hot = OneHotEncoder(handle_unknown=handle_unknown, min_frequency=5, drop=drop)
    ordinal = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2, max_categories=3
    )
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
    columns = make_column_transformer(
        (encoder, "photo"), (one_hot, ["colour", "shelf"]), (ordinal, ["shelf", "colour"])
    )
    model = make_pipeline(columns, LINEAR)
    predictor = exported(model, table, places, tmp_path / "bundle", sample=table)
    changed = table.assign(colour=["green", *table["colour"][1:]], shelf=[11, *table["shelf"][1:]])
    for rows in (table, changed):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # on unknown categories
            expected = model.predict_proba(rows)
        np.testing.assert_allclose(predictor.predict_proba(rows), expected, atol=1e-5)


def test_several_outputs_leave_together(tiny, crops, places, tmp_path):
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
    y = np.c_[places, np.array(["left", "middle", "right"])[np.arange(len(crops)) % 3]]
    model = make_pipeline(encoder, StandardScaler(), MultiOutputClassifier(LINEAR))
    predictor = exported(model, crops, y, tmp_path / "labels")
    np.testing.assert_array_equal(predictor.predict(crops), model.predict(crops))
    for got, expected in zip(predictor.predict_proba(crops), model.predict_proba(crops), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-4)
    assert [part.tolist() for part in predictor.classes_] == [["china", "flower"], ["left", "middle", "right"]]
    row = predictor.predict_table(crops[:1])[0]
    assert row == {"image": 0, "label": model.predict(crops[:1])[0].tolist(), "probability": None, "error": ""}
    assert "# An image classifier with 2 outputs" in (tmp_path / "labels" / "README.md").read_text()
    numbers = make_pipeline(encoder, StandardScaler(), Ridge())
    predictor = exported(numbers, crops, np.arange(3 * len(crops)).reshape(-1, 3), tmp_path / "numbers")
    np.testing.assert_allclose(predictor.predict(crops), numbers.predict(crops), rtol=1e-4)
    assert "# A model that predicts 3 numbers from an image" in (tmp_path / "numbers" / "README.md").read_text()
    kept = featx.Predictor(featx.export_bundle(model, tmp_path / "kept", head="sklearn"))
    np.testing.assert_array_equal(kept.predict(crops), model.predict(crops))
    np.testing.assert_allclose(kept.predict_proba(crops)[1], model.predict_proba(crops)[1], atol=1e-5)


def test_what_was_fitted_on_a_column_of_labels_is_told_so():
    with pytest.raises(featx.exceptions.ExportError, match=r"Expected a row of them: y.ravel"):
        ask(KNeighborsRegressor().fit(X, NUMBERS[:, None]), X)
