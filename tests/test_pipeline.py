from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import joblib
import numpy as np
import pytest
from PIL import Image
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC

import featx
from featx._pipeline import HEADS
from featx.exceptions import ImageWarning, ParameterError, UnknownNameError
from tests.counting import totals

GRID = """
import pandas as pd, sys, json, featx
from sklearn.model_selection import GridSearchCV
from tests.counting import watched

photos = featx.read_image_folder(sys.argv[1])
model = watched(featx.image_pipeline("logistic", cache=sys.argv[2], verbose=0))
grid = GridSearchCV(model, {"head__C": [0.001, 0.01, 0.1, 1]}, cv=5, n_jobs=2)
grid.fit(photos["image"], photos["label"])
native = [m for m in ("torch", "torchvision", "openvino", "onnxruntime") if m in sys.modules]
print(json.dumps({"score": grid.best_score_, "native": native}))
"""


def photo_folder(path, crops, n) -> None:
    """Distinct images of two labels."""
    for i in range(n):
        label = path / ("left" if i % 2 else "right")
        label.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(np.roll(crops[i % 40], i, axis=1)).resize((40, 30))
        image.putpixel((0, 0), (i % 256, i // 256, 0))
        image.save(label / f"{i:04}.png")


def search(tmp_path, root, log) -> dict:
    arguments = [sys.executable, "-c", GRID, str(tmp_path / "photos"), str(tmp_path / "store")]
    environment = {**os.environ, "FEATX_TEST_LOG": str(tmp_path / log), "PYTHONPATH": str(root)}
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_parallel_grid_search_encodes_each_image_once_and_a_second_one_none(tmp_path, crops, root):
    photo_folder(tmp_path / "photos", crops, 300)
    first = search(tmp_path, root, "first.log")
    info = featx.EmbeddingStore(tmp_path / "store").info()
    assert info["rows"].tolist() == info["unique_rows"].tolist() == [300]
    assert totals(tmp_path / "first.log")["encoded"] == 300

    second = search(tmp_path, root, "second.log")
    assert totals(tmp_path / "second.log")["encoded"] == 0
    assert totals(tmp_path / "second.log")["rows"] >= 5 * 4 * 300
    assert second == {"score": first["score"], "native": []}


@pytest.mark.parametrize("head", ["logistic", "svm", "probe", "prototype"])
def test_it_fits_predicts_and_reloads(head, tmp_path, crops, photos, store):
    labels = ["china" if i < 20 else "flower" for i in range(40)]
    model = featx.image_pipeline(head, cache=store).fit(crops, labels)
    assert model.score(crops, labels) > 0.9
    joblib.dump(model, tmp_path / "model.joblib")
    assert joblib.load(tmp_path / "model.joblib").predict(photos).tolist() == ["china", "flower"]


def test_ridge_is_for_regression(tiny, crops):
    brightness = np.array([crop.mean() for crop in crops])
    model = featx.image_pipeline("ridge", encoder=tiny, cache=False, head_parameters={"alpha": 0.01})
    assert model.fit(crops, brightness).score(crops, brightness) > 0.5


def test_steps_keep_their_names_whatever_the_head():
    for head in (*HEADS, RandomForestClassifier(), make_pipeline(MinMaxScaler(), SVC())):
        assert list(featx.image_pipeline(head).named_steps) == ["encoder", "scaler", "head"]


def test_a_grid_may_change_encoder_and_head(tiny, files, store):
    from tests.networks import tiny_encoder

    grid = {"encoder__encoder": [tiny, tiny_encoder(1)], "head__C": [0.1, 1]}
    search = GridSearchCV(featx.image_pipeline(encoder=tiny, cache=store), grid, cv=2)
    search.fit(files, [0, 1] * 6)
    assert len(search.cv_results_["params"]) == 4
    assert store.info()["rows"].tolist() == [12, 12]


def test_the_users_head_is_cloned_and_its_parameters_set():
    head = SVC(C=1)
    model = featx.image_pipeline(head, head_parameters={"C": 7})
    assert (head.C, model.named_steps["head"].C) == (1, 7)
    assert isinstance(model, Pipeline)


def test_encoder_parameters_are_passed_on():
    encoder = featx.image_pipeline(encoder="resnet18", weights="random:3", batch_size=5).named_steps["encoder"]
    assert (encoder.encoder, encoder.weights, encoder.batch_size) == ("resnet18", "random:3", 5)


@pytest.mark.parametrize("policy", [{"on_error": "nan"}, {"on_missing": "nan"}])
def test_with_nan_rows_an_imputer_lets_it_fit_and_predict_every_row(tiny, files, policy):
    model = featx.image_pipeline(encoder=tiny, cache=False, **policy)
    assert list(model.named_steps) == ["encoder", "imputer", "scaler", "head"]
    bad = "nowhere.jpg" if "on_error" in policy else None
    with pytest.warns(ImageWarning):
        model.fit([*files, bad], [0, 1] * 6 + [1])
    with pytest.warns(ImageWarning):
        assert model.predict([bad, bad]).shape == (2,)


def test_an_unknown_head_is_named():
    with pytest.raises(UnknownNameError, match="Did you mean 'logistic'"):
        featx.image_pipeline("logistc")
    with pytest.raises(ParameterError, match="instance"):
        featx.image_pipeline(SVC)


def test_time_between_two_runs_does_not_matter(tiny, files, store, caplog):
    model = featx.image_pipeline(encoder=tiny, cache=store).fit(files, [0, 1] * 6)
    old = time.time() - 86400
    for file in files:
        os.utime(file, (old, old))  # another time, the same content
    caplog.set_level("INFO", "featx")
    model.predict(files)
    assert "hits=12 encoded=0" in caplog.text
