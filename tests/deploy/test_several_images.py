"""Two columns of images, two encoders of one, and several images a row leave whole, and are answered as before."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

import featx
from featx._manifest import read_manifest
from featx.deploy._bundle import KIND
from featx.exceptions import (
    BundleError,
    FallbackWarning,
    ImageReadError,
    ImageWarning,
    InputError,
    NonFiniteEmbeddingError,
)

pytest.importorskip("skl2onnx", reason="needs pip install 'featx[export]'")
pytestmark = pytest.mark.filterwarnings("ignore::featx.exceptions.ImageWarning")  # the pipelines' own
HOW = ["mean", "max", "first", "concat"]
NAN = {"on_missing": "nan", "on_error": "nan"}


@pytest.fixture(scope="module")
def encoder(tiny, tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    return lambda **parameters: featx.ImageEncoder(tiny, **{"cache": store, "verbose": 0, **parameters})


@pytest.fixture(scope="module")
def lists(crops) -> list[list[np.ndarray]]:
    """Rows of one, two and three images."""
    return [crops[i : i + 1 + i % 3] for i in range(len(crops))]


@pytest.fixture(scope="module")
def sides(crops) -> pd.DataFrame:
    n = len(crops)
    return pd.DataFrame({"front": crops, "back": crops[::-1], "price": np.linspace(1, 9, n)})


def answers(model, X) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)
        return model.predict_proba(X)


def export(model, folder, kind="onnx", **parameters) -> featx.Predictor:
    with warnings.catch_warnings():
        warnings.simplefilter("error" if kind == "onnx" else "ignore", FallbackWarning)
        bundle = featx.export_bundle(model, folder, **parameters)
    assert bundle.manifest["head"] == kind
    return featx.Predictor(bundle, n_jobs=2)


@pytest.mark.parametrize("kind", ["onnx", "sklearn"])
@pytest.mark.parametrize("how", HOW)
def test_several_images_become_one_row_as_in_the_pipeline(how, kind, encoder, lists, places, crops, tmp_path):
    steps = encoder(combine=how, **NAN), SimpleImputer(add_indicator=True), LogisticRegression()
    model = make_pipeline(*steps).fit(lists, places)
    predictor = export(model, tmp_path / "bundle", kind, head=kind)
    np.testing.assert_allclose(answers(predictor, lists), answers(model, lists), atol=1e-5)
    odd = [[], None, crops[3], [crops[3], None], [None, crops[2], crops[1]], (crops[5],), [None], [b"bad", crops[4]]]
    np.testing.assert_allclose(answers(predictor, odd), answers(model, odd), atol=1e-5)
    with pytest.warns(ImageWarning, match="row 0, image 1: None: missing"):
        predictor.predict(odd[3:4])
    rows = predictor.predict_table(odd)
    assert all(row["label"] in places for row in rows)
    assert [row["error"].partition(":")[0] for row in rows[:5]] == [
        *(["image 0"] * 2 if how == "concat" else ["missing (None)"] * 2),
        *(["image 1"] if how == "concat" else [""]),
        "image 1",
        "image 0",
    ]


@pytest.mark.parametrize("how", HOW)
def test_an_image_that_cannot_be_used_is_named_by_row_and_place(how, encoder, crops, places, tmp_path):
    pairs = [[one, two] for one, two in zip(crops, crops[::-1], strict=True)]
    model = make_pipeline(encoder(combine=how), LogisticRegression()).fit(pairs, places)
    predictor = export(model, tmp_path / "bundle")
    X = pd.Series([pairs[0], [crops[0], "no.jpg"], [], [crops[0], None]], index=list("abcd"))
    with pytest.raises(ImageReadError) as expected:
        model.predict(X)
    with pytest.raises(ImageReadError) as got:
        predictor.predict(X)
    pd.testing.assert_frame_equal(got.value.table, expected.value.table)
    assert [bool(row["error"]) for row in predictor.predict_table(X)] == [False, True, True, True]


@pytest.fixture(scope="module")
def made(encoder, lists, places, tmp_path_factory):
    """Pipelines for each way to combine, that take what is missing, in part or not at all; each with its bundle."""
    folder = tmp_path_factory.mktemp("made")
    rules = {"strict": {}, "without imputer": NAN, "tolerant": NAN}
    made = {}
    for how in HOW:
        for rule, policies in rules.items():
            imputer = SimpleImputer(add_indicator=True) if rule == "tolerant" else "passthrough"
            model = make_pipeline(encoder(combine=how, **policies), imputer, LogisticRegression())
            rows = lists if rule == "tolerant" or how != "concat" else [[row[0], row[-1]] for row in lists]
            made[how, rule] = model.fit(rows, places), export(model, folder / f"{how} {rule}")
    return made


IMAGES = st.sampled_from([0, 1, 2, None, np.nan, "", "no.png", b"bad"])
CELLS = st.one_of(IMAGES, st.lists(IMAGES, max_size=4), st.lists(IMAGES, max_size=3).map(tuple))


@settings(max_examples=60)
@given(cells=st.lists(CELLS, min_size=1, max_size=4))
def test_whatever_a_row_holds_both_answer_alike_or_both_refuse(cells, made, crops):
    def filled(cell):
        if isinstance(cell, list | tuple):
            return type(cell)(map(filled, cell))
        return crops[cell] if isinstance(cell, int) else cell

    X = [filled(cell) for cell in cells]
    for model, predictor in made.values():
        try:
            expected = answers(model, X)
        except ValueError:  # featx's own errors are among them, and scikit-learn's of NaN
            expected = None
        try:
            got = answers(predictor, X)
        except featx.FeatxError:
            got = None
        assert (got is None) == (expected is None)
        if got is not None:
            np.testing.assert_allclose(got, expected, atol=1e-5)


def test_a_row_of_some_images_is_answered_where_one_of_none_is_not(encoder, lists, crops, places, tmp_path):
    model = make_pipeline(encoder(combine="mean", on_missing="nan"), LogisticRegression()).fit(lists, places)
    predictor = export(model, tmp_path / "bundle")
    some = [[crops[0], None]]
    np.testing.assert_allclose(answers(predictor, some), answers(model, some), atol=1e-5)
    with pytest.raises(ValueError, match="contains NaN"):
        model.predict([[None]])
    with pytest.raises(ImageReadError, match="row 0, image 0: None: missing"):
        predictor.predict([[None]])


def test_more_images_than_the_fit_saw_are_refused_by_row(encoder, lists, crops, places, tmp_path):
    model = make_pipeline(encoder(combine="concat", on_missing="nan"), SimpleImputer(), LogisticRegression())
    predictor = export(model.fit(lists, places), tmp_path / "bundle")
    rows = predictor.predict_table([lists[0], crops[:4]])
    assert [row["error"] for row in rows] == [
        "image 1: missing (None)",
        "got 4 images, expected at most 3, the most that the fit saw in a row",
    ]
    with pytest.raises(ImageReadError, match=r"row 1: .*got 4 images"):
        predictor.predict([lists[0], crops[:4]])


class Overflowing(torch.nn.Module):
    """Minus infinity for white images: no maximum, and of no weight in a row that others come first in."""

    def forward(self, x):
        is_white = x.amin((1, 2, 3), keepdim=True)[:, :, 0, 0] > 254.5 / 255
        return torch.where(is_white, -torch.inf, x.mean(dim=(2, 3)))


@pytest.mark.parametrize("how", HOW)
def test_numbers_that_are_none_show_wherever_they_are_in_a_row(how, crops, places, tmp_path):
    pixels = featx.Preprocess(size=32, mean=(0, 0, 0), std=(1, 1, 1))
    network = featx.Encoder.from_module(Overflowing(), preprocess=pixels, name="overflowing")
    encoder = featx.ImageEncoder(network, cache=False, verbose=0, combine=how, **NAN)
    pairs = [[one, two] for one, two in zip(crops, crops[::-1], strict=True)]
    model = make_pipeline(encoder, SimpleImputer(), LogisticRegression()).fit(pairs, places)
    predictor = export(model, tmp_path / "bundle")
    white = np.full((32, 32, 3), 255, np.uint8)
    X = [pairs[0], [crops[0], white], [None, white], [None, crops[0]]]
    with pytest.raises(NonFiniteEmbeddingError):
        model.predict(X)
    with pytest.raises(NonFiniteEmbeddingError) as caught:
        predictor.predict(X)
    assert caught.value.table["position"].tolist() == [1, 2]
    np.testing.assert_allclose(answers(predictor, X[::3]), answers(model, X[::3]), atol=1e-5)


def test_an_encoder_of_two_columns_has_its_weights_once(sides, places, tmp_path):
    sizes, y = [], places
    for names in (["front"], ["front", "back"]):
        encoder = featx.ImageEncoder(cache=str(tmp_path / "store"), verbose=0)
        columns = make_column_transformer(*((make_pipeline(encoder, PCA(8)), name) for name in names))
        model = make_pipeline(columns, LogisticRegression()).fit(sides[:16], y[12:28])
        predictor = export(model, tmp_path / f"{len(names)}", sample=sides[:8])
        np.testing.assert_allclose(answers(predictor, sides[16:24]), answers(model, sides[16:24]), atol=1e-4)
        sizes.append((predictor.bundle.folder / "model.onnx").stat().st_size)
    assert sizes[1] < 1.02 * sizes[0]


def test_two_layers_of_a_network_share_what_they_share(crops, places, tmp_path):
    def encoder(**parameters):
        return featx.ImageEncoder("squeezenet1_1", weights="random", cache=str(tmp_path / "s"), verbose=0, **parameters)

    sizes = []
    for features in (encoder(), make_union(encoder(), encoder(layers="late"))):
        model = make_pipeline(features, LogisticRegression()).fit(crops, places)
        predictor = export(model, tmp_path / str(len(sizes)))
        np.testing.assert_allclose(answers(predictor, crops), answers(model, crops), atol=1e-4)
        sizes.append((predictor.bundle.folder / "model.onnx").stat().st_size)
    assert sizes[1] < 1.05 * sizes[0]


def test_two_encoders_of_one_column_beside_another_column(encoder, sides, places, tmp_path):
    columns = make_column_transformer(
        (make_union(encoder(), make_pipeline(encoder(preprocess=featx.Preprocess(size=16)), PCA(2))), "front"),
        (encoder(), "back"),
        (StandardScaler(), ["price"]),
    )
    model = make_pipeline(columns, LogisticRegression()).fit(sides, places)
    predictor = export(model, tmp_path / "bundle")
    assert predictor.manifest["format"] == 3
    np.testing.assert_allclose(answers(predictor, sides), answers(model, sides), atol=1e-5)
    records = sides.to_dict("records")
    np.testing.assert_array_equal(answers(predictor, records), answers(predictor, sides))
    with pytest.raises(InputError, match="Got no 'back' in row 1"):
        predictor.predict([records[0], {"front": crops_of(sides), "price": 1}])


def crops_of(sides) -> np.ndarray:
    return sides["front"][0]


def test_an_image_is_missing_by_the_rule_of_its_own_column(encoder, sides, places, tmp_path):
    columns = make_column_transformer(
        (make_pipeline(encoder(on_missing="nan"), SimpleImputer()), "front"), (encoder(), "back")
    )
    model = make_pipeline(columns, LogisticRegression()).fit(sides, places)
    predictor = export(model, tmp_path / "bundle")
    assert predictor.manifest["format"] == 2
    odd = pd.DataFrame({"front": pd.Series([None, sides["front"][0]], dtype=object), "back": list(sides["back"][:2])})
    np.testing.assert_allclose(answers(predictor, odd), answers(model, odd), atol=1e-5)
    with pytest.warns(ImageWarning, match="row 0: None: front: missing"):
        predictor.predict(odd)
    odd["back"] = pd.Series([odd["back"][0], None], dtype=object)
    with pytest.raises(ImageReadError, match=r"1 of 4 images unreadable.\n  row 1: None: back: missing \(None\)"):
        predictor.predict(odd)
    assert [row["error"] for row in predictor.predict_table(odd)] == [
        "front: missing (None)",
        "back: missing (None)",
    ]
    with pytest.raises(ImageReadError, match="front: missing"):
        featx.Predictor(predictor.bundle, on_missing="raise").predict(odd)


def test_a_column_of_which_nothing_can_be_read_is_a_wrong_root(encoder, sides, places, tmp_path):
    columns = make_column_transformer(
        *((make_pipeline(encoder(on_error="nan"), SimpleImputer()), name) for name in ("front", "back"))
    )
    model = make_pipeline(columns, LogisticRegression()).fit(sides, places)
    predictor = export(model, tmp_path / "bundle")
    wrong = sides.assign(back=[f"wrong/{i}.jpg" for i in range(len(sides))])
    for ask in (model.predict, predictor.predict):
        with pytest.raises(ImageReadError, match=r"40 of them are unreadable.*another root folder"):
            ask(wrong)


@pytest.mark.parametrize("parameters", [{}, {"combine": "max"}], ids=["one", "several"])
def test_a_table_encoder_of_two_columns_with_missing_photos_is_one_graph(parameters, tiny, sides, tmp_path):
    pytest.importorskip("skrub", reason="needs pip install 'featx[table]'")
    frame = sides.astype({"front": object, "back": object})
    frame.loc[::5, "back"] = None
    frame.loc[::7, "price"] = np.nan
    if parameters:
        frame["front"] = [[cell, frame["front"][0]] for cell in frame["front"]]
    given = {"encoder": tiny, "cache": str(tmp_path / "store"), "verbose": 0, "weight": 1.0, **parameters}
    model = featx.tabular_pipeline(Ridge(), image=["front", "back"], **given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)
        model.fit(frame, np.linspace(0, 1, len(frame)))
        predictor = export(model, tmp_path / "bundle", sample=frame)
        np.testing.assert_allclose(predictor.predict(frame), model.predict(frame), atol=1e-5)


def test_encoders_alone_make_a_bundle_that_embeds_side_by_side(encoder, sides, tmp_path):
    columns = make_column_transformer((encoder(), "front"), (encoder(), "back")).fit(sides)
    bundle = featx.export_bundle(columns, tmp_path / "bundle")
    assert bundle.manifest["task"] == "embedding"
    np.testing.assert_allclose(featx.Predictor(bundle).embed(sides), columns.transform(sides), atol=1e-5)


def test_an_older_reader_refuses_what_it_would_misread_by_name(encoder, lists, crops, places, tmp_path):
    formats = {}
    for name, X, combine in (("one", crops, None), ("several", lists, "mean")):
        model = make_pipeline(encoder(combine=combine), LogisticRegression()).fit(X, places)
        formats[name] = export(model, tmp_path / name).manifest["format"]
    assert formats == {"one": 2, "several": 3}
    older = type(KIND)(KIND.name, KIND.file, 2, KIND.writer, KIND.error)
    assert read_manifest(tmp_path / "one", older)["format"] == 2
    with pytest.raises(BundleError, match=r"has format 3, .*Expected format 2: upgrade featx"):
        read_manifest(tmp_path / "several", older)


def test_the_readme_of_a_bundle_shows_how_several_images_are_given(encoder, lists, sides, places, tmp_path):
    columns = make_column_transformer((encoder(combine="mean"), "front"), (encoder(), "back"))
    model = make_pipeline(columns, LogisticRegression()).fit(sides.assign(front=lists), places)
    export(model, tmp_path / "bundle")
    readme = Path(tmp_path, "bundle", "README.md").read_text()
    example = re.search(r"predict_table\((.*)\)\)'", readme)[1]
    assert json.loads(example) == {"front": [["new.jpg", "newer.jpg"]], "back": ["new.jpg"]}
    assert "`front_rows` (int64" in readme
