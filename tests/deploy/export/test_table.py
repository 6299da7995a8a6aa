"""A pipeline of tables becomes a bundle without skrub, which answers alike; what cannot leave is refused by name."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV

import featx
from featx.deploy.export._split import split
from featx.exceptions import ExportError, FallbackWarning, ImageWarning
from tests.table.goods import make_goods


@pytest.fixture(scope="module")
def build(tiny, tmp_path_factory):
    store = str(tmp_path_factory.mktemp("store"))

    def build(head, **parameters):
        return featx.tabular_pipeline(head, image="photo", encoder=tiny, cache=store, verbose=0, **parameters)

    return build


@pytest.fixture
def goods():
    return with_two_kinds()


def with_two_kinds():
    frame, brightness = make_goods()
    frame["two"] = np.where(frame["weight"] > 0, "yes", "no")
    return frame, brightness


def assert_same(bundle: featx.Predictor, model, frame: pd.DataFrame) -> None:
    expected, got = model.predict(frame), bundle.predict(frame)
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    else:
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("weight", ["auto", 0.0, 2.0])
def test_a_linear_head_leaves_as_one_graph(weight, goods, build, tmp_path):
    frame, brightness = goods
    model = build(Ridge(), weight=weight).fit(frame, brightness)
    bundle = featx.export_bundle(model, tmp_path / "bundle")
    assert bundle.manifest["head"] == "onnx"
    assert_same(featx.Predictor(bundle), model, frame)


def test_a_classifier_answers_alike(goods, build, tmp_path):
    frame, brightness = goods
    model = build(LogisticRegression(), weight=1.0).fit(frame, np.where(brightness > 0.5, "bright", "dark"))
    predictor = featx.Predictor(featx.export_bundle(model, tmp_path / "bundle"))
    assert_same(predictor, model, frame)
    np.testing.assert_allclose(predictor.predict_proba(frame), model.predict_proba(frame), atol=1e-4)


@pytest.mark.filterwarnings("ignore::featx.exceptions.ImageWarning")
@pytest.mark.parametrize("head", [Ridge(), HistGradientBoostingRegressor(max_iter=5)])
def test_what_was_missing_is_missing_there_too(head, goods, build, tmp_path):
    frame, brightness = goods
    frame.loc[3, "photo"] = None
    frame.loc[5, "weight"] = np.nan
    frame.loc[7, "kind"] = None
    frame.loc[8, "two"] = "N/A"
    model = build(head, target="log").fit(frame, brightness)
    bundle = featx.export_bundle(model, tmp_path / "bundle", sample=frame[:20])
    assert bundle.manifest["head"] == "onnx"
    assert_same(featx.Predictor(bundle), model, frame)


def test_columns_that_are_not_named_by_text_are_refused(goods, build, tmp_path):
    frame, brightness = goods
    frame = frame.rename(columns={"weight": 7})
    with pytest.raises(ExportError, match=r"columns named \[7\]"):
        featx.export_bundle(build(Ridge(), weight=1.0).fit(frame, brightness), tmp_path / "bundle")


def test_what_was_fitted_on_polars_leaves_too(build, tmp_path):
    import polars as pl

    draw = np.random.default_rng(0)
    photos = [png(pixels) for pixels in draw.integers(0, 255, (20, 8, 8, 3), np.uint8)]
    frame = pl.DataFrame({"photo": photos, "weight": draw.normal(size=20), "kind": ["jar", "box"] * 10})
    model = build(Ridge(), weight=1.0).fit(frame, draw.normal(size=20))
    bundle = featx.export_bundle(model, tmp_path / "bundle", sample=frame)
    np.testing.assert_allclose(featx.Predictor(bundle).predict(frame), model.predict(frame), rtol=1e-4, atol=1e-5)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def of_kinds(request, build, tmp_path_factory):
    """A model of kinds, its bundle, and the table: exporting takes longer than asking."""
    frame, brightness = with_two_kinds()
    if request.param != "all known":
        frame.loc[::7, "kind"] = None
    if request.param == "pandas categories":
        frame["kind"] = pd.Categorical(frame["kind"])
    model = build(Ridge(), weight=0.0).fit(frame, brightness)
    return model, featx.Predictor(featx.export_bundle(model, tmp_path_factory.mktemp("bundles") / "kinds")), frame


@pytest.mark.filterwarnings("ignore:Found unknown categories")  # of scikit-learn, where a binary column drops one
@pytest.mark.parametrize("value", ["jar", "new", "", "  ", "N/A", "nan", "None", None, np.nan, pd.NA])
@pytest.mark.parametrize("of_kinds", ["all known", "some missing"], indirect=True)
def test_every_category_is_read_as_the_pipeline_reads_it(value, of_kinds):
    model, predictor, frame = of_kinds
    row = frame[:3].assign(kind=pd.Series([value] * 3, dtype=object))
    if isinstance(value, str):
        row["two"] = ["no", "yes", "unheard of"]
    assert_same(predictor, model, row)


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize("value", ["jar", "new", "", " ", "N/A", None])
@pytest.mark.parametrize("of_kinds", ["pandas categories"], indirect=True)
def test_a_column_of_pandas_categories_knows_no_texts_that_mean_a_missing_value(value, of_kinds):
    model, predictor, frame = of_kinds
    assert_same(predictor, model, frame[:3].assign(kind=pd.Categorical([value] * 3)))


def test_a_number_for_a_category_is_refused_where_the_pipeline_would_make_text_of_it(goods, build, tmp_path):
    frame, brightness = goods
    predictor = featx.Predictor(featx.export_bundle(build(Ridge()).fit(frame, brightness), tmp_path / "bundle"))
    with pytest.raises(featx.FeatxError, match="expected text"):
        predictor.predict(frame[:2].assign(kind=pd.Series([1, 2], dtype=object)))


@pytest.mark.parametrize(
    ("column", "values", "holds"),
    [
        ("added", pd.date_range("2024-01-01", periods=60), "dates"),
        ("taken", pd.to_timedelta(range(60), unit="h"), "durations"),
        ("text", [f"number {i} of {i % 7} and {i * i}" for i in range(60)], "free text .more than 39 different ones."),
    ],
)
def test_what_cannot_leave_is_refused_by_name(column, values, holds, goods, build, tmp_path):
    frame, brightness = goods
    frame[column] = values
    model = build(Ridge()).fit(frame, brightness)
    with pytest.raises(ExportError, match=f"Column '{column}' holds {holds}"):
        featx.export_bundle(model, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_two_columns_of_photos_and_a_search_leave(goods, build, tmp_path):
    frame, brightness = goods
    frame = frame.assign(back=frame["photo"].to_numpy()[::-1], nothing=None)
    model = clone(build(Ridge())).set_params(features__image=["photo", "back"], features__reduce=2)
    search = GridSearchCV(model, {"head__alpha": [0.1, 1]}, cv=3).fit(frame, brightness)
    bundle = featx.export_bundle(search, tmp_path / "bundle")
    assert [entry["name"] for entry in bundle.manifest["inputs"]][:2] == ["photo", "back"]
    assert "nothing" not in [entry["name"] for entry in bundle.manifest["inputs"]]
    assert_same(featx.Predictor(bundle), search, frame)


def test_flags_and_integers_that_may_be_missing_leave(goods, build, tmp_path):
    frame, brightness = goods
    frame["flag"] = brightness > 0.4
    frame["stock"] = pd.array([None if i % 9 == 0 else i for i in range(60)], dtype="Int64")
    model = build(Ridge()).fit(frame, brightness)
    bundle = featx.export_bundle(model, tmp_path / "bundle", sample=frame[:20], head="sklearn")
    assert_same(featx.Predictor(bundle), model, frame)


def test_photos_alone_leave(goods, build, tmp_path):
    frame, brightness = goods
    model = build(Ridge()).fit(frame[["photo"]], brightness)
    assert_same(featx.Predictor(featx.export_bundle(model, tmp_path / "bundle")), model, frame[["photo"]])


def test_the_model_itself_is_not_changed(goods, build):
    frame, brightness = goods
    model = build(Ridge()).fit(frame, brightness)
    before = model.predict(frame)
    parts = split(model)
    assert [value.name for value in parts.values] == ["weight", "kind", "two"]
    assert not [step for step in parts.head.get_params().values() if "skrub" in type(step).__module__]
    np.testing.assert_array_equal(model.predict(frame), before)
    with pytest.warns(ImageWarning):
        model.predict(frame.assign(photo=None))


def test_numbers_by_their_logarithm_leave_as_one_graph(goods, build, tmp_path):
    frame, brightness = goods
    prices = np.exp(3 * brightness + 3)
    model = build(Ridge(), target="log", weight=1.0).fit(frame, prices)
    bundle = featx.export_bundle(model, tmp_path / "bundle")
    assert bundle.manifest["head"] == "onnx"
    np.testing.assert_allclose(featx.Predictor(bundle).predict(frame), model.predict(frame), rtol=1e-4)


def test_other_functions_of_the_target_stay_scikit_learns(goods, build, tmp_path):
    frame, brightness = goods
    target = TransformedTargetRegressor(Ridge(), func=np.cbrt, inverse_func=np.positive, check_inverse=False)
    model = build(target, weight=1.0)
    with pytest.warns(FallbackWarning, match="the function <ufunc 'positive'>"):
        bundle = featx.export_bundle(model.fit(frame, brightness), tmp_path / "bundle")
    assert_same(featx.Predictor(bundle), model, frame)
