"""A Predictor answers as its pipeline does, reads images as featx does, and needs nothing else where it runs."""

from __future__ import annotations

import copy
import io
import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from joblib import Parallel, delayed
from PIL import Image
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline

import featx
from featx.exceptions import (
    BundleError,
    FallbackWarning,
    ImageReadError,
    ImageWarning,
    InputError,
    NonFiniteEmbeddingError,
    ParameterError,
)
from tests.networks import Overflowing, wrap


@pytest.fixture(scope="module")
def predictor(bundle) -> featx.Predictor:
    return featx.Predictor(bundle)


def test_it_answers_as_the_pipeline_does(predictor, model, crops):
    np.testing.assert_array_equal(predictor.predict(crops), model.predict(crops))
    assert predictor.predict(crops).dtype == model.predict(crops).dtype
    np.testing.assert_allclose(predictor.predict_proba(crops), model.predict_proba(crops), atol=1e-5)
    np.testing.assert_allclose(predictor.decision_function(crops), model.decision_function(crops), atol=1e-4)
    np.testing.assert_allclose(predictor.embed(crops), model[0].transform(crops), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(predictor.classes_, model.classes_)


def test_it_takes_what_the_pipeline_takes(predictor, model, files, crops, tmp_path):
    expected = model.predict_proba(files)
    paths = [Path(file) for file in files]
    series = pd.Series(files, index=[f"row {i}" for i in range(len(files))])
    data = [path.read_bytes() for path in paths]
    images = [Image.open(path) for path in paths]
    for X in (files, paths, data, images, np.array(files), series, series.to_frame(), pl.Series(files)):
        np.testing.assert_allclose(predictor.predict_proba(X), expected, atol=1e-5)
    same_size = np.stack(crops[:5])
    np.testing.assert_allclose(predictor.predict_proba(same_size), model.predict_proba(same_size), atol=1e-5)


def test_the_order_of_rows_is_kept_whatever_the_threads_do(bundle, crops):
    expected = featx.Predictor(bundle, n_jobs=1).embed(crops)
    many = crops * 5
    np.testing.assert_allclose(
        featx.Predictor(bundle, n_jobs=3).embed(many), np.tile(expected, (5, 1)), rtol=1e-5, atol=1e-6
    )


def test_threads_may_share_one(predictor, crops):
    expected = predictor.predict_proba(crops)
    barrier = threading.Barrier(6)

    def ask(i: int) -> np.ndarray:
        barrier.wait()
        return predictor.predict_proba(crops[i : i + 9])

    with ThreadPoolExecutor(6) as pool:
        for i, answer in enumerate(pool.map(ask, range(6))):
            np.testing.assert_allclose(answer, expected[i : i + 9], atol=1e-6)


def test_a_table_of_answers_has_a_row_each_also_for_what_is_bad(predictor, files, tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    rows = predictor.predict_table([files[0], str(tmp_path / "notes.txt"), None, "nowhere.jpg"])
    assert list(rows[0]) == ["image", "label", "probability", "error"]
    assert rows[0]["image"] == files[0]
    assert rows[0]["label"] == predictor.predict(files[:1])[0]
    assert rows[0]["probability"] == pytest.approx(predictor.predict_proba(files[:1]).max())
    assert [row["label"] for row in rows[1:]] == [None] * 3
    assert [row["probability"] for row in rows[1:]] == [None] * 3
    assert "not an image" in rows[1]["error"]
    assert rows[2]["error"] == "missing (None)"
    assert rows[3]["error"] == "no such file"
    json.dumps(rows)


def test_a_table_of_labels_of_a_bundle_that_only_embeds_is_refused(encoder_bundle, crops):
    with pytest.raises(ParameterError, match=r"gives no label\. It gives embedding"):
        featx.Predictor(encoder_bundle).predict_table(crops[:1])


def test_a_table_of_nothing_is_empty_and_predictions_of_nothing_are_refused(predictor):
    assert predictor.predict_table([]) == []
    with pytest.raises(InputError, match="no rows"):
        predictor.predict([])


def test_bad_images_raise_one_error_that_names_all(predictor, files):
    series = pd.Series([files[0], "nowhere.jpg", None], index=["a", "b", "c"], dtype=object)
    with pytest.raises(ImageReadError) as caught:
        predictor.predict(series)
    assert caught.value.table["index"].tolist() == ["b", "c"]
    assert caught.value.table["reason"].tolist() == ["no such file", "missing (None)"]


def test_a_single_image_is_refused_as_everywhere(predictor, files, crops):
    for one in (files[0], crops[0], Path(files[0]).read_bytes()):
        with pytest.raises(InputError, match="Pass it in a list"):
            predictor.predict(one)


def test_a_tolerant_pipeline_stays_tolerant(tiny, crops, places, tmp_path):
    steps = (SimpleImputer(), LogisticRegression())
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0, on_error="nan", on_missing="nan")
    model = make_pipeline(encoder, *steps).fit(crops, places)
    predictor = featx.Predictor(featx.export_bundle(model, tmp_path / "bundle"))
    X = [crops[0], None, b"no image"]
    with pytest.warns(ImageWarning, match="row 2"):
        got = predictor.predict_proba(X)
    with pytest.warns(ImageWarning):
        np.testing.assert_allclose(got, model.predict_proba(X), atol=1e-5)
    rows = predictor.predict_table(X)
    assert all(row["label"] in places for row in rows)
    assert [bool(row["error"]) for row in rows] == [False, True, True]
    with pytest.raises(ImageReadError):
        featx.Predictor(tmp_path / "bundle", on_error="raise", on_missing="raise").predict(X)


@pytest.fixture(scope="module", params=["onnx", "sklearn"])
def overflowing(request, crops, places, tmp_path_factory) -> featx.Predictor:
    """Of an encoder whose numbers are infinite for white images, with a head in the graph and one that is not."""
    encoder = featx.ImageEncoder(wrap(Overflowing()), cache=False, verbose=0, on_error="nan", on_missing="nan")
    head = LogisticRegression() if request.param == "onnx" else HistGradientBoostingClassifier(max_iter=5)
    model = make_pipeline(encoder, SimpleImputer(), head).fit(crops, places)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)  # of a head that stays scikit-learn's
        return featx.Predictor(featx.export_bundle(model, tmp_path_factory.mktemp("overflow") / "bundle"))


def test_numbers_that_are_none_are_an_error_and_no_prediction(overflowing, crops):
    white = np.full((32, 32, 3), 255, np.uint8)
    X = pd.Series([crops[0], white, None, *crops[1:5], white], index=list("abcdefgh"))
    for ask in (overflowing.predict, overflowing.predict_proba, overflowing.embed):
        with pytest.raises(NonFiniteEmbeddingError, match="'Overflowing' gives NaN or infinite") as caught:
            ask(X)
        assert caught.value.table["index"].tolist() == ["b", "h"]
    rows = overflowing.predict_table(X)
    assert [row["label"] is None for row in rows] == [False, True, False, False, False, False, False, True]
    assert "infinite" in rows[1]["error"]
    expected = overflowing.predict_proba(crops[1:5]).max(axis=1)
    np.testing.assert_allclose([row["probability"] for row in rows[3:7]], expected, atol=1e-6)


def test_a_wrong_root_is_no_prediction_of_the_mean_image(overflowing, crops):
    with pytest.raises(ImageReadError, match=r"40 of them are unreadable.*another root folder"):
        overflowing.predict([*(f"wrong/{i}.jpg" for i in range(40)), *crops[:9]])
    with pytest.warns(ImageWarning):
        assert len(overflowing.predict(["wrong.jpg", *[None] * 30])) == 31


def test_a_strict_pipeline_has_no_rule_for_nan(bundle):
    with pytest.raises(ParameterError, match="exported with 'raise'"):
        featx.Predictor(bundle, on_error="nan")


@pytest.mark.parametrize("wrong", [{"n_jobs": 0}, {"max_pixels": True}, {"on_missing": "drop"}])
def test_wrong_parameters_are_named(bundle, wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        featx.Predictor(bundle, **wrong)


def test_an_image_above_the_limit_is_refused_before_it_is_decoded(bundle, crops):
    with pytest.raises(ImageReadError, match="more than max_pixels=100"):
        featx.Predictor(bundle, max_pixels=100).predict(crops[:1])


def test_several_columns_come_as_a_frame_or_a_dict(table_bundle, table_model, goods):
    predictor = featx.Predictor(table_bundle)
    expected = table_model.predict_proba(goods)
    for X in (goods, goods.to_dict("list"), goods.iloc[:, ::-1], goods.assign(unused=1)):
        np.testing.assert_allclose(predictor.predict_proba(X), expected, atol=1e-5)
    shown = goods.drop(columns="photo").assign(photo=[f"{i}.jpg" for i in range(len(goods))])
    assert "no such file" in predictor.predict_table(shown)[0]["error"]


def test_a_value_that_the_pipeline_does_not_know_is_its_rows_error(table_bundle, table_model, goods):
    predictor = featx.Predictor(table_bundle)
    odd = goods.iloc[:4].copy()
    odd["colour"] = ["red", "violet", "green", "red"]
    odd["price"] = [1.0, 2.0, np.nan, 4.0]
    rows = predictor.predict_table(odd)
    assert [row["label"] is None for row in rows] == [False, True, True, False]
    assert "expected one of 'green', 'red'" in rows[1]["error"]
    assert "price: missing" in rows[2]["error"]
    assert rows[3]["label"] == table_model.predict(odd.iloc[3:])[0]
    with pytest.raises(ImageReadError, match="violet"):
        predictor.predict(odd)
    with pytest.raises(InputError, match="Expected also 'price'"):
        predictor.predict(goods.drop(columns="price"))


def test_regression_gives_numbers_and_no_probabilities(tiny, crops, tmp_path):
    y = np.linspace(0, 10, len(crops))
    model = make_pipeline(featx.ImageEncoder(tiny, cache=False, verbose=0), Ridge()).fit(crops, y)
    predictor = featx.Predictor(featx.export_bundle(model, tmp_path / "bundle"))
    np.testing.assert_allclose(predictor.predict(crops), model.predict(crops), rtol=1e-4)
    assert predictor.classes_ is None
    row = predictor.predict_table(crops[:1])[0]
    assert row["probability"] is None
    assert row["label"] == pytest.approx(model.predict(crops[:1])[0], rel=1e-4)
    with pytest.raises(ParameterError, match=r"gives no probabilities\. It gives embedding, label"):
        predictor.predict_proba(crops)


def test_a_damaged_bundle_is_refused(bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "copy")
    graph = tmp_path / "copy" / "model.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    with pytest.raises(BundleError, match=r"model\.onnx is damaged"):
        featx.Predictor(tmp_path / "copy")


ALONE = """
import json, sys
from predictor import Predictor

predictor = Predictor()
rows = predictor.predict_table(sys.argv[1:])
unwanted = {"featx", "torch", "sklearn", "pandas", "openvino", "torchvision", "scipy"} & set(sys.modules)
print(json.dumps([rows, predictor.predict_proba(sys.argv[1:]).tolist(), sorted(unwanted)]))
"""


def test_inside_the_bundle_nothing_else_is_needed(bundle, model, files, tmp_path):
    shutil.copytree(bundle, tmp_path / "box")
    # From another folder, with no way to the checkout: -P keeps the working folder off the path.
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path / 'box')!r})\n{ALONE}", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    rows, probabilities, unwanted = json.loads(done.stdout)
    assert unwanted == []
    assert [row["label"] for row in rows] == model.predict(files).tolist()
    np.testing.assert_allclose(probabilities, model.predict_proba(files), atol=1e-5)


def test_a_pickled_predictor_is_its_folder_and_answers_alike(predictor, files):
    data = pickle.dumps(predictor)
    assert len(data) < 20_000
    again = pickle.loads(data)
    assert again.manifest == predictor.manifest
    np.testing.assert_array_equal(again.classes_, predictor.classes_)
    np.testing.assert_array_equal(again.predict_proba(files), predictor.predict_proba(files))


def test_its_parameters_are_pickled_and_all_processors_are_those_of_the_other_machine(bundle, monkeypatch):
    few, every = featx.Predictor(bundle, n_jobs=1, max_pixels=100, on_error="raise"), featx.Predictor(bundle)
    monkeypatch.setattr("featx._machine.count_processors", lambda: 77)
    again = pickle.loads(pickle.dumps(few))
    assert (again.n_jobs, again.max_pixels, again.on_error) == (1, 100, "raise")
    assert again._n_threads == 1
    assert (every.n_jobs, pickle.loads(pickle.dumps(every))._n_threads) == (-1, 77)


def test_copies_answer_alike_and_share_the_engine(predictor, files):
    for copied in (copy.copy(predictor), copy.deepcopy(predictor), copy.deepcopy({"model": predictor})["model"]):
        assert copied is not predictor
        np.testing.assert_array_equal(copied.predict_proba(files), predictor.predict_proba(files))
    assert copy.deepcopy(predictor)._engine is predictor._engine


def test_other_processes_predict_with_it(bundle, files):
    predictor = featx.Predictor(bundle, n_jobs=1)
    expected = predictor.predict_proba(files)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        np.testing.assert_allclose(pool.apply(predictor.predict_proba, [files]), expected, atol=1e-6)
    for got in Parallel(2, backend="loky")(delayed(predictor.predict_proba)(files) for _ in range(2)):
        np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_opens_another_engine(bundle):
    predictor = featx.Predictor(bundle)
    engine, pid = predictor._engine, os.getpid()
    assert predictor._engine is engine
    child = os.fork()
    if child == 0:
        os._exit(0 if predictor._engine is not engine and predictor._opened[0] != pid else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_pickled_predictor_whose_folder_is_gone_or_another_one_is_an_error(bundle, table_bundle, files, tmp_path):
    shutil.copytree(bundle, tmp_path / "box")
    again = pickle.loads(pickle.dumps(featx.Predictor(tmp_path / "box")))
    shutil.rmtree(tmp_path / "box")
    with pytest.raises(BundleError, match="box is not there"):
        again.predict(files)
    shutil.copytree(table_bundle, tmp_path / "box")
    with pytest.raises(BundleError, match="another one lies there now"):
        again.predict(files)


PICKLED_ALONE = """
import pickle, sys
from predictor import Predictor

print(pickle.loads(pickle.dumps(Predictor())).predict(sys.argv[1:]).tolist())
"""


def test_the_copy_inside_a_bundle_is_pickled_too(bundle, model, files, tmp_path):
    shutil.copytree(bundle, tmp_path / "box")
    command = [
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {str(tmp_path / 'box')!r})\n{PICKLED_ALONE}",
        *files,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == str(model.predict(files).tolist())


def test_a_head_of_scikit_learn_predicts_for_one_thread_at_a_time(bundle, crops):
    class Head:
        busy = most = 0

        def predict(self, X):
            self.busy += 1
            self.most = max(self.most, self.busy)
            time.sleep(0.01)
            self.busy -= 1
            return np.zeros(len(X), "<U6")

    predictor = featx.Predictor(bundle, n_jobs=4)
    predictor._engine._head = head = Head()
    predictor.predict(crops)
    assert head.most == 1


BLOCKED = "import sys; sys.modules |= dict.fromkeys(('featx', 'torch', *{names}))"
ASK = "from predictor import Predictor; import json; print(json.dumps(Predictor(n_jobs=1).predict_table({files})))"


def predict_inside(bundle, files: list[str], without: tuple[str, ...] = ()) -> list[dict]:
    code = f"{BLOCKED.format(names=without)}; {ASK.format(files=files)}"
    done = subprocess.run([sys.executable, "-c", code], cwd=bundle.folder, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_cut_jpeg_is_damaged_in_a_bundle_too(bundle, files, tmp_path):
    data = Path(files[0]).read_bytes()
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(data[: len(data) // 2] + b"\xff\xd9")
    rows = predict_inside(bundle, [files[0], str(cut)])
    assert rows[0]["error"] == ""
    assert "pixels are missing" in rows[1]["error"]


def test_a_heic_photo_is_read_in_a_bundle_or_names_what_it_needs(bundle, model, crops, tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(crops[0])).save(file, quality=90)
    photo = tmp_path / "photo.heic"
    photo.write_bytes(file.getvalue())
    (row,) = predict_inside(bundle, [str(photo)])
    assert row["label"] == model.predict([photo])[0]
    (row,) = predict_inside(bundle, [str(photo)], without=("pillow_heif",))
    assert "pip install pillow-heif" in row["error"]


def test_tensors_are_predicted_as_their_arrays(bundle, crops):
    predictor = featx.Predictor(bundle.folder)
    expected = predictor.embed(crops[:3])
    batch = torch.from_numpy(np.stack(crops[:3])).permute(0, 3, 1, 2)
    np.testing.assert_array_equal(predictor.embed(batch), expected)
    np.testing.assert_array_equal(predictor.embed(list(batch)), expected)
