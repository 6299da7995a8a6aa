from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.decomposition import PCA, KernelPCA
from sklearn.ensemble import AdaBoostClassifier, HistGradientBoostingClassifier, VotingClassifier
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, RobustScaler, SplineTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

import featx
from featx.deploy.export import _export
from featx.exceptions import (
    ConversionError,
    ExportError,
    FallbackWarning,
    ImageReadError,
    MissingDependencyError,
    ParameterError,
    UnknownNameError,
)


@pytest.fixture
def encoder(tiny) -> featx.ImageEncoder:
    return featx.ImageEncoder(tiny, cache=False, verbose=0)


def assert_same_answers(bundle, model, X) -> None:
    predictor = featx.Predictor(bundle)
    expected = model.predict(X)
    got = predictor.predict(X)
    assert got.dtype == expected.dtype
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(got, expected, rtol=1e-4)
    else:
        np.testing.assert_array_equal(got, expected)
    for method in ("predict_proba", "decision_function"):
        if hasattr(model, method):
            np.testing.assert_allclose(getattr(predictor, method)(X), getattr(model, method)(X), atol=2e-4)


@pytest.mark.parametrize("classes", ["str", "int", "bool", "object", "date", "duration"])
@pytest.mark.parametrize("head", [LogisticRegression(), SVC(), LinearSVC()], ids=lambda head: type(head).__name__)
def test_labels_of_every_kind_come_back_as_they_were(head, classes, encoder, crops, tmp_path):
    y = {
        "str": np.repeat(["a", "b", "c", "d"], 10),
        "int": np.repeat([7, 3, 5, 1], 10),
        "bool": np.repeat([True, False], 20),
        "object": np.repeat(np.array(["one", "twenty"], object), 20),
        "date": np.repeat(np.array(["2024-01-01", "2024-06-01T12"], "datetime64[ns]"), 20),
        "duration": np.repeat(np.array([1, 36], "timedelta64[h]"), 20),
    }[classes]
    model = make_pipeline(encoder, StandardScaler(), head).fit(crops, y)
    bundle = featx.export_bundle(model, tmp_path / "bundle")
    assert bundle.manifest["head"] == "onnx"
    assert bundle.manifest["verified"]["labels_equal"] == 1
    assert_same_answers(bundle, model, crops)
    predictor = featx.Predictor(bundle)
    np.testing.assert_array_equal(predictor.classes_, model.classes_)
    shown = {"date": "2024-06-01T12:00", "duration": "36 hours"}.get(classes, model.predict(crops)[-1])
    assert predictor.predict_table(crops[-1:])[0]["label"] == shown


def test_a_search_leaves_as_what_it_found(encoder, crops, places, tmp_path):
    inner = GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=2)
    outer = GridSearchCV(make_pipeline(encoder, SVC()), {"svc__C": [0.1, 1]}, cv=2)
    for name, model in (("inner", make_pipeline(encoder, StandardScaler(), inner)), ("outer", outer)):
        bundle = featx.export_bundle(model.fit(crops, places), tmp_path / name)
        assert bundle.manifest["head"] == "onnx"
        assert_same_answers(bundle, model, crops)


@pytest.mark.parametrize(
    "name", ["boosting", "tuned inside", "tuned around", "calibrated around", "function", "target"]
)
def test_what_has_no_proven_form_in_onnx_stays_scikit_learns_and_one_warning_names_what_it_costs(
    name, encoder, crops, places, tmp_path
):
    head = make_pipeline(encoder, StandardScaler(), GaussianProcessClassifier())
    y = np.linspace(1, 9, len(crops)) if name == "target" else places
    model = {
        "boosting": make_pipeline(encoder, AdaBoostClassifier(n_estimators=3)),
        "tuned inside": make_pipeline(encoder, TunedThresholdClassifierCV(head[-1], cv=2)),
        "tuned around": TunedThresholdClassifierCV(head, cv=2),
        "calibrated around": CalibratedClassifierCV(head, method="isotonic", cv=2),
        "function": make_pipeline(encoder, FunctionTransformer(np.cbrt), LogisticRegression()),
        "target": make_pipeline(
            encoder, TransformedTargetRegressor(Ridge(), func=np.cbrt, inverse_func=np.positive, check_inverse=False)
        ),
    }[name].fit(crops, y)
    with pytest.warns(FallbackWarning, match=r"stays scikit-learn's.*200 MB more") as caught:
        bundle = featx.export_bundle(model, tmp_path / "bundle")
    assert len([w for w in caught if issubclass(w.category, featx.FeatxWarning)]) == 1
    assert Path(caught[0].filename).name == "test_export.py"
    assert bundle.manifest["head"] == "sklearn"
    assert "skops" in (bundle.folder / "requirements.txt").read_text()
    assert_same_answers(bundle, model, crops)


def test_a_head_that_is_to_be_onnx_is_that_or_nothing(encoder, crops, places, tmp_path):
    clusters = make_pipeline(encoder, RBFSampler(random_state=0), LogisticRegression()).fit(crops, places)
    with pytest.raises(ExportError, match=r"does not give the .*RBFSampler"):
        featx.export_bundle(clusters, tmp_path / "bundle", head="onnx")
    assert not (tmp_path / "bundle").exists()
    assert not list(tmp_path.iterdir())


def test_a_head_may_stay_scikit_learns_by_choice(model, crops, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bundle = featx.export_bundle(model, tmp_path / "bundle", head="sklearn")
    assert_same_answers(bundle, model, crops)


def test_layers_and_other_preprocessing_go_along(tiny, crops, places, tmp_path):
    pytest.importorskip("cykooz_resizer", reason="needs pip install 'featx[fast]'")
    encoder = featx.ImageEncoder(
        tiny, layers=["conv1", "conv2"], preprocess="pad", decode="fast", cache=False, verbose=0
    )
    model = make_pipeline(encoder, StandardScaler(), SVC()).fit(crops, places)
    assert_same_answers(featx.export_bundle(model, tmp_path / "bundle"), model, crops)


def test_an_encoder_alone_makes_a_bundle_that_embeds(encoder, crops, tmp_path):
    bundle = featx.export_bundle(encoder, tmp_path / "bundle")
    assert (bundle.manifest["task"], bundle.manifest["outputs"]) == ("embedding", [])
    np.testing.assert_allclose(featx.Predictor(bundle).embed(crops), encoder.transform(crops), rtol=1e-4, atol=1e-5)


def test_a_table_of_two_images_a_number_and_a_category_is_exported(tiny, crops, places, tmp_path):
    n = len(crops)
    goods = pd.DataFrame({"front": crops, "back": crops[::-1], "price": np.linspace(0, 1, n), "label": ["x", "y"] * 20})
    goods.loc[3, "price"] = np.nan
    columns = make_column_transformer(
        (featx.ImageEncoder(tiny, cache=False, verbose=0), "front"),
        (make_pipeline(featx.ImageEncoder(tiny, layers=["conv1"], cache=False, verbose=0), PCA(2)), "back"),
        (SimpleImputer(), ["price"]),
        (OneHotEncoder(handle_unknown="ignore"), ["label"]),
    )
    model = make_pipeline(columns, LogisticRegression()).fit(goods, places)
    for sample in (None, goods):
        bundle = featx.export_bundle(model, tmp_path / "bundle", sample=sample)
        assert bundle.manifest["head"] == "onnx"
        assert [entry["kind"] for entry in bundle.manifest["inputs"]] == ["image", "image", "number", "category"]
        assert_same_answers(bundle, model, goods)
    odd = goods.assign(label="never seen")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, on unknown categories
        assert_same_answers(bundle, model, odd)


def test_the_model_is_left_as_it_was(model, tiny, crops, tmp_path):
    before = model.predict_proba(crops)
    parameters = {name: repr(value) for name, value in model.get_params().items()}
    featx.export_bundle(model, tmp_path / "bundle")
    np.testing.assert_array_equal(model.predict_proba(crops), before)
    assert {name: repr(value) for name, value in model.get_params().items()} == parameters


def test_the_users_cache_serves_his_sample_and_not_the_built_in_one(tiny, crops, places, store, tmp_path):
    model = featx.image_pipeline(encoder=tiny, cache=store, verbose=0).fit(crops[5:35], places[5:35])
    rows = store.info()["rows"].sum()
    featx.export_bundle(model, tmp_path / "built in")
    assert store.info()["rows"].sum() == rows
    featx.export_bundle(model, tmp_path / "own", sample=crops)
    assert store.info()["rows"].sum() == rows + 10


def test_a_bundle_that_disagrees_is_not_written(model, crops, tmp_path, monkeypatch):
    original = _export.Predictor.outputs

    def other(self, X, names):
        outputs = original(self, X, names)
        outputs["label"] = outputs["label"][::-1]
        return outputs

    monkeypatch.setattr(_export.Predictor, "outputs", other)
    with pytest.raises(
        ExportError, match=r"disagrees with the pipeline: labels differ in \d+ of 40 rows, first in row 0"
    ):
        featx.export_bundle(model, tmp_path / "bundle", sample=crops, head="onnx")
    assert not list(tmp_path.iterdir())


def on_its_threshold(encoder, crops):
    """A tree of one question whose threshold is just what it asks of the first photo; the others lie well off."""
    model = make_pipeline(encoder, DecisionTreeClassifier(max_depth=1)).fit(crops, np.repeat(["a", "b"], 20))
    feature, embedding = model[-1].tree_.feature[0], encoder.transform(crops)
    model[-1].tree_.threshold[0] = embedding[0, feature]
    return model


def rounds_otherwise(monkeypatch, head, moved=1e-6, swapped=()):
    """As on another processor: embeddings are larger by a hair. And as no processor does: some labels are swapped."""
    original = _export.Predictor.outputs

    def outputs(self, X, names):
        embedding = original(self, X, ["embedding"])["embedding"]
        rounded = embedding + np.float32(moved) * np.abs(embedding)
        answers = {"label": head.predict(rounded), "probabilities": head.predict_proba(rounded)}
        for row in swapped:
            answers["label"][row] = "b" if answers["label"][row] == "a" else "a"
        return {name: {**answers, "embedding": rounded}[name] for name in names}

    monkeypatch.setattr(_export.Predictor, "outputs", outputs)


@pytest.mark.parametrize("head", ["onnx", "sklearn"])
def test_rows_on_a_trees_threshold_are_counted_apart_and_reported(head, encoder, crops, tmp_path, monkeypatch):
    model = on_its_threshold(encoder, crops)
    rounds_otherwise(monkeypatch, model[-1])
    with pytest.warns(featx.FeatxWarning, match=r"^1 of the sample's 40 rows lie on a threshold of the head"):
        bundle = featx.export_bundle(model, tmp_path / "bundle", sample=crops, head=head)
    verified = json.loads((bundle.folder / "bundle.json").read_text())["verified"]
    assert (verified["threshold_flips"], verified["tolerance"]) == (1, 0)
    assert verified["labels_equal"] == 39 / 40
    assert verified["probabilities_error"] < 1e-6


def test_a_row_that_no_rounding_explains_is_no_flip(encoder, crops, tmp_path, monkeypatch):
    model = on_its_threshold(encoder, crops)
    rounds_otherwise(monkeypatch, model[-1], moved=0, swapped=[5])
    with pytest.raises(ExportError, match=r"labels differ in 1 of 40 rows, first in row 5.*tolerance=0\.025\."):
        featx.export_bundle(model, tmp_path / "bundle", sample=crops, head="sklearn")


def test_an_embedding_that_is_off_by_more_than_rounding_excuses_nothing(encoder, crops, tmp_path, monkeypatch):
    model = on_its_threshold(encoder, crops)
    rounds_otherwise(monkeypatch, model[-1], moved=5e-5)
    with pytest.raises(ExportError, match="labels differ"):
        featx.export_bundle(model, tmp_path / "bundle", sample=crops, head="sklearn")


def test_a_share_of_the_rows_may_differ_and_the_threshold_is_not_of_it(encoder, crops, tmp_path, monkeypatch):
    model = on_its_threshold(encoder, crops)
    rounds_otherwise(monkeypatch, model[-1], swapped=[5, 30])
    with pytest.raises(ExportError, match="labels differ in 2 of 40 rows"):
        featx.export_bundle(model, tmp_path / "bundle", sample=crops, tolerance=0.025)
    with pytest.warns(featx.FeatxWarning, match="threshold"):
        bundle = featx.export_bundle(model, tmp_path / "bundle", sample=crops, tolerance=0.05)
    assert bundle.manifest["verified"]["tolerance"] == 0.05
    assert bundle.manifest["verified"]["labels_equal"] == 37 / 40


@pytest.mark.parametrize("tolerance", [-0.1, 1, 1.5, True, "0.1", None, np.nan])
def test_a_tolerance_is_a_share(tolerance, model, tmp_path):
    with pytest.raises(ParameterError, match="Expected a share of rows"):
        featx.export_bundle(model, tmp_path / "bundle", tolerance=tolerance)


@pytest.mark.parametrize(
    "step",
    [
        make_pipeline(RBFSampler(random_state=0), LogisticRegression()),
        make_pipeline(Nystroem(n_components=8, random_state=0), LogisticRegression()),
        make_pipeline(KernelPCA(4, kernel="rbf"), LogisticRegression()),
        make_pipeline(KMeans(3, random_state=0), LogisticRegression()),
        make_pipeline(SplineTransformer(), LogisticRegression()),
        KMeans(3, random_state=0),
    ],
    ids=lambda step: repr(step).replace("\n", "")[:60],
)
def test_scikit_learns_own_steps_stay_what_they_are_and_no_step_is_called_the_users(
    step, encoder, crops, places, tmp_path
):
    model = make_pipeline(encoder, StandardScaler(), step).fit(crops, places)
    with pytest.warns(FallbackWarning, match="is not among the steps that are known to convert"):
        bundle = featx.export_bundle(model, tmp_path / "bundle", sample=crops)
    assert bundle.manifest["head"] == "sklearn"
    assert_same_answers(bundle, model, crops)


@pytest.mark.parametrize("kind", ["float16", "int8"])
def test_a_smaller_bundle_reports_how_far_it_agrees(kind, model, crops, tmp_path):
    bundle = featx.export_bundle(model, tmp_path / "bundle", sample=crops, quantize=kind)
    verified = bundle.manifest["verified"]
    assert verified["rows"] == 40
    assert verified["labels_equal"] > 0.8
    assert 0 < verified["embedding_error"] < 0.2
    assert bundle.manifest["quantize"] == kind


def test_shrinking_needs_a_sample(model, tmp_path):
    with pytest.raises(ExportError, match="without sample"):
        featx.export_bundle(model, tmp_path / "bundle", quantize="int8")


def test_a_bundle_is_replaced_and_nothing_else_is(model, tmp_path):
    featx.export_bundle(model, tmp_path / "bundle")
    (tmp_path / "bundle" / "left over").touch()
    featx.export_bundle(model, tmp_path / "bundle")
    assert not (tmp_path / "bundle" / "left over").exists()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    with pytest.raises(ExportError, match="something else"):
        featx.export_bundle(model, tmp_path / "photos")
    assert (tmp_path / "photos" / "a.jpg").exists()


def test_a_sample_that_cannot_be_read_or_predicted_is_reported(model, table_model, goods, crops, tmp_path):
    with pytest.raises(ImageReadError, match=r"nowhere\.jpg"):
        featx.export_bundle(model, tmp_path / "bundle", sample=[crops[0], "nowhere.jpg"])
    with pytest.raises(ExportError, match="cannot predict the sample"):
        featx.export_bundle(table_model, tmp_path / "bundle", sample=goods.assign(colour="violet"))


def own(x):
    return x


def test_what_cannot_be_exported_is_named(encoder, crops, places, tmp_path):
    cases = {
        "not fitted": make_pipeline(encoder, LogisticRegression()),
        "ends in a PCA": make_pipeline(encoder, PCA(2)).fit(crops),
        "without an ImageEncoder": LogisticRegression().fit([[0], [1]], [0, 1]),
        "<lambda>": make_pipeline(encoder, FunctionTransformer(lambda x: x), LogisticRegression()).fit(crops, places),
        r"test_export\.own": make_pipeline(encoder, FunctionTransformer(own), LogisticRegression()).fit(crops, places),
        "Expected a fitted scikit-learn Pipeline": object(),
    }
    for reason, model in cases.items():
        with pytest.raises(ExportError, match=reason):
            featx.export_bundle(model, tmp_path / "bundle")
    assert not list(tmp_path.iterdir())


def test_wrong_choices_are_named(model, tmp_path):
    with pytest.raises(UnknownNameError, match=r"head 'onxx'\. Did you mean 'onnx'"):
        featx.export_bundle(model, tmp_path / "bundle", head="onxx")
    with pytest.raises(UnknownNameError, match="quantize 'int4'"):
        featx.export_bundle(model, tmp_path / "bundle", quantize="int4")


def test_clusters_leave_too(encoder, crops, tmp_path):
    model = make_pipeline(encoder, KMeans(3, random_state=0)).fit(crops)
    with pytest.warns(FallbackWarning):
        assert_same_answers(featx.export_bundle(model, tmp_path / "bundle"), model, crops)


def test_a_quantized_encoder_names_what_to_export_instead(crops, places, tiny, tmp_path):
    small = featx.quantize_encoder(tiny, crops, path=tmp_path / "int8")
    model = featx.image_pipeline(encoder=small, cache=False, verbose=0).fit(crops, places)
    with pytest.raises(ConversionError, match='quantize="int8"'):
        featx.export_bundle(model, tmp_path / "bundle")


def test_the_default_encoder_answers_the_same_on_real_photos(files, tmp_path):
    y = np.arange(len(files)) % 2
    model = featx.image_pipeline(cache=False, verbose=0).fit(files, y)
    bundle = featx.export_bundle(model, tmp_path / "bundle", sample=files)
    assert_same_answers(bundle, model, files)
    assert json.dumps(bundle.manifest["inputs"][0]["fingerprints"]).count("babf8123") == 1


def test_without_the_extra_its_name_is_reported(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError, match=r"featx\[export\]"):
        featx.export_bundle(model, tmp_path / "bundle")


def test_naming_it_imports_nothing_heavy():
    code = "import sys, featx; featx.Predictor; print({'torch', 'sklearn', 'pandas', 'openvino'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_head_that_takes_no_nan_makes_a_strict_bundle_of_a_tolerant_encoder(tiny, crops, places, tmp_path):
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0, on_missing="nan")
    strict = make_pipeline(encoder, LogisticRegression()).fit(crops, places)
    with pytest.raises(ImageReadError, match="missing"):
        featx.Predictor(featx.export_bundle(strict, tmp_path / "strict")).predict([None])
    tolerant = make_pipeline(encoder, HistGradientBoostingClassifier(max_iter=3)).fit(crops, places)
    bundle = featx.export_bundle(tolerant, tmp_path / "tolerant")
    assert bundle.manifest["head"] == "onnx"
    with pytest.warns(featx.FeatxWarning):
        assert_same_answers(bundle, tolerant, [crops[0], None])


def test_numbers_that_float32_cannot_tell_apart_keep_the_head_in_scikit_learn(tiny, crops, places, tmp_path):
    times = 1.6e9 + np.arange(len(crops)) * 10.0
    table = pd.DataFrame({"photo": crops, "time": times})
    columns = make_column_transformer(
        (featx.ImageEncoder(tiny, cache=False, verbose=0), "photo"), (StandardScaler(), ["time"])
    )
    model = make_pipeline(columns, LogisticRegression()).fit(table, places)
    with pytest.warns(FallbackWarning, match="differs by up to"):
        bundle = featx.export_bundle(model, tmp_path / "bundle")
    assert_same_answers(bundle, model, table)


def test_a_tree_that_gets_missing_values_sends_them_the_way_that_it_learned(tiny, crops, places, tmp_path):
    random = np.random.default_rng(0)
    n = 300
    table = pd.DataFrame({"photo": [crops[i % 40] for i in range(n)], "price": random.normal(60, 20, n)})
    table["number"] = random.integers(0, 5, n)
    y = np.where(table["number"] < 2, "x", np.where(table["price"] > 65, "high", "low"))
    columns = make_column_transformer(
        (featx.ImageEncoder(tiny, cache=str(tmp_path / "cache"), verbose=0), "photo"),
        ("passthrough", ["price", "number"]),
    )
    model = make_pipeline(columns, DecisionTreeClassifier(random_state=0)).fit(table, y)
    bundle = featx.export_bundle(model, tmp_path / "bundle", sample=table)
    assert bundle.manifest["head"] == "onnx"
    gaps = table.assign(price=table["price"].where(random.random(n) > 0.3))
    assert_same_answers(bundle, model, gaps)


@pytest.mark.parametrize("step", ["passthrough", RobustScaler(), make_pipeline(SimpleImputer(), PCA(1))], ids=str)
def test_large_numbers_are_noticed_also_by_the_built_in_sample(step, tiny, crops, places, tmp_path):
    random = np.random.default_rng(0)
    table = pd.DataFrame({"photo": crops, "time": 1.7e9 + random.integers(0, 3000, len(crops))})
    columns = make_column_transformer((featx.ImageEncoder(tiny, cache=False, verbose=0), "photo"), (step, ["time"]))
    model = make_pipeline(columns, StandardScaler(), LogisticRegression()).fit(table, places)
    with pytest.warns(FallbackWarning):
        bundle = featx.export_bundle(model, tmp_path / "bundle")
    assert_same_answers(bundle, model, table)


def test_a_category_that_is_no_text_is_unknown_as_it_is_to_the_pipeline(tiny, crops, places, tmp_path):
    table = pd.DataFrame({"photo": crops, "shelf": ["1", "2"] * 20})
    columns = make_column_transformer(
        (featx.ImageEncoder(tiny, cache=False, verbose=0), "photo"), (OneHotEncoder(handle_unknown="ignore"), ["shelf"])
    )
    model = make_pipeline(columns, LogisticRegression()).fit(table, places)
    bundle = featx.export_bundle(model, tmp_path / "bundle")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, on unknown categories
        assert_same_answers(bundle, model, table.assign(shelf=pd.Series([1, 2] * 20, dtype=object)))


@pytest.mark.filterwarnings("ignore::featx.exceptions.ImageWarning")
@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical, pl.Enum(["red", "green"])], ids=str)
def test_none_in_a_polars_sample_is_what_it_is_to_the_pipeline(dtype, tiny, crops, places, tmp_path):
    table = pl.DataFrame(
        {
            "photo": pl.Series([*crops[:-1], None], dtype=pl.Object),
            "price": pl.Series([None, *range(39)], dtype=pl.Int64),
            "weight": pl.Series([None, *range(39)], dtype=pl.Float64),
            "sold": pl.Series([None, True, False, True] * 10),
            "colour": pl.Series(["red", None, "green", "red"] * 10, dtype=dtype),
        }
    )
    encoder = make_pipeline(featx.ImageEncoder(tiny, cache=False, verbose=0, on_missing="nan"), SimpleImputer())
    columns = make_column_transformer(
        (encoder, "photo"),
        (make_pipeline(SimpleImputer(), StandardScaler()), ["price", "weight"]),
        (SimpleImputer(), ["sold"]),
        (OneHotEncoder(), ["colour"]),
    )
    model = make_pipeline(columns, LogisticRegression()).fit(table, places)
    bundle = featx.export_bundle(model, tmp_path / "bundle", sample=table)
    assert {entry["name"]: entry.get("missing") for entry in bundle.manifest["inputs"]} == {
        "photo": None,
        "price": True,
        "weight": True,
        "sold": True,
        "colour": ["None"],  # NaN and NA are unknown to its encoder
    }
    assert_same_answers(bundle, model, table)


def test_a_table_of_images_alone_is_exported(tiny, crops, places, tmp_path):
    table = pd.DataFrame({"photo": crops, "unused": 1})
    columns = make_column_transformer((featx.ImageEncoder(tiny, cache=False, verbose=0), "photo"))
    model = make_pipeline(columns, LogisticRegression()).fit(table, places)
    for sample in (None, table):
        assert_same_answers(featx.export_bundle(model, tmp_path / "bundle", sample=sample), model, table)


def test_columns_without_names_are_refused(tiny, crops, places, tmp_path):
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
    table = pd.DataFrame({"photo": crops, "a": 1.0, "b": 2.0})
    unnamed = table.set_axis([0, 1, 2], axis=1)
    model = make_pipeline(make_column_transformer((encoder, 0), (StandardScaler(), [1])), LogisticRegression())
    with pytest.raises(ExportError, match="no names"):
        featx.export_bundle(model.fit(unnamed, places), tmp_path / "bundle")


def test_tables_of_different_columns_leave_together(tiny, crops, places, tmp_path):
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
    table = pd.DataFrame({"photo": crops, "a": np.arange(40.0), "b": np.arange(40.0)[::-1]})
    halves = [
        (name, make_pipeline(make_column_transformer((encoder, "photo"), (StandardScaler(), [name])), SVC()))
        for name in ("a", "b")
    ]
    model = VotingClassifier(halves).fit(table, places)
    bundle = featx.export_bundle(model, tmp_path / "bundle")
    assert bundle.manifest["head"] == "onnx"
    assert [entry["name"] for entry in bundle.manifest["inputs"]] == ["photo", "a", "b"]
    assert_same_answers(bundle, model, table)


def test_a_sample_that_a_bundle_cannot_read_is_reported(tiny, crops, places, tmp_path):
    table = pd.DataFrame({"photo": crops, "colour": pd.Series(["red", "green"] * 20, dtype="category")})
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
    columns = make_column_transformer((encoder, "photo"), remainder="passthrough", verbose_feature_names_out=False)
    model = make_pipeline(columns.set_output(transform="pandas"), HistGradientBoostingClassifier(max_iter=2))
    with pytest.raises(ExportError, match="cannot read it: colour: got 'red', expected a finite number"):
        featx.export_bundle(model.fit(table, places), tmp_path / "bundle", sample=table)
    with pytest.raises(ExportError, match="give rows of your own as sample="):
        featx.export_bundle(model, tmp_path / "bundle")
