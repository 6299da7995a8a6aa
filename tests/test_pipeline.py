from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time

import joblib
import numpy as np
import pytest
from PIL import Image
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
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


# --- sample weights by metadata routing


@pytest.fixture(scope="module")
def weighted(crops) -> tuple:
    """Images, labels of which some are wrong, and weights that say so."""
    y = np.arange(40) % 2
    y[:20] = 1 - y[:20]
    weights = np.random.default_rng(0).uniform(0.1, 3, 40)
    return [np.roll(crop, i, axis=1) for i, crop in enumerate(crops)], y, weights


def by_hand(model, X, y, weights) -> list[float]:
    scores = []
    for train, test in KFold(3).split(X):
        X_train, X_test = [X[i] for i in train], [X[i] for i in test]
        takes = {"scaler": "StandardScaler", "head": ""}
        given = {
            f"{step}__sample_weight": weights[train]
            for step, name in takes.items()
            if type(model.named_steps[step]).__name__.startswith(name)
        }
        fitted = clone(model).fit(X_train, y[train], **given)
        scores.append(fitted.score(X_test, y[test], sample_weight=weights[test]))
    return scores


@pytest.mark.parametrize("head", HEADS)
def test_sample_weights_reach_each_step_and_the_score(head, tiny, weighted):
    X, y, weights = weighted
    model = featx.image_pipeline(head, encoder=tiny, n_jobs=1, verbose=0)
    expected = by_hand(model, X, y, weights)  # without routing, as ever
    plain = cross_val_score(model, X, y, cv=KFold(3))
    with config_context(enable_metadata_routing=True):
        scores = cross_val_score(model, X, y, cv=KFold(3), params={"sample_weight": weights})
        np.testing.assert_allclose(scores, expected)
        np.testing.assert_allclose(cross_val_score(model, X, y, cv=KFold(3)), plain)
    assert not np.allclose(scores, plain)


def test_a_grid_search_and_a_scorer_that_was_asked_take_weights(tiny, weighted):
    X, y, weights = weighted
    model = featx.image_pipeline(make_pipeline(MinMaxScaler(), SVC()), encoder=tiny, verbose=0)
    with config_context(enable_metadata_routing=True):
        scorer = get_scorer("f1_macro").set_score_request(sample_weight=True)
        search = GridSearchCV(model, {"head__svc__C": [0.1, 10]}, cv=2, scoring=scorer)
        search.fit(X, y, sample_weight=weights)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_what_the_users_head_asks_for_stays():
    with config_context(enable_metadata_routing=True):
        head = SVC().set_fit_request(sample_weight=False)
        asked = featx.image_pipeline(head).named_steps["head"].get_metadata_routing()
        assert asked.fit.requests == {"sample_weight": False}
        assert asked.score.requests == {"sample_weight": True}


def test_requests_are_saved_and_drag_no_fitted_estimator_along(tiny, crops, tmp_path):
    model = featx.image_pipeline(KNeighborsClassifier(algorithm="brute"), encoder=tiny, verbose=0).fit(
        crops, [0, 1] * 20
    )
    assert b"_fit_X" in pickle.dumps(model)
    assert b"_fit_X" not in pickle.dumps(clone(model))
    featx.save(model, tmp_path / "model")
    loaded = featx.load(tmp_path / "model")
    assert loaded.predict(crops).tolist() == model.predict(crops).tolist()
    with config_context(enable_metadata_routing=True):
        assert loaded.named_steps["head"].get_metadata_routing().score.requests == {"sample_weight": True}


# --- threads


@pytest.mark.parametrize("head", HEADS)
def test_another_order_of_sums_as_other_processors_have_gives_the_same_folds_scores(head, crops):
    embeddings = featx.ImageEncoder(cache=False, verbose=0).transform(crops)
    order = np.random.default_rng(0).permutation(embeddings.shape[1])
    y = np.array([crop.mean() for crop in crops]) if head == "ridge" else np.arange(40) // 10
    model, folds = featx.image_pipeline(head)[1:], KFold(2, shuffle=True, random_state=0)
    scores, other = (cross_val_score(model, Z, y, cv=folds) for Z in (embeddings, embeddings[:, order]))
    np.testing.assert_allclose(other, scores, atol=1e-4 if head == "ridge" else 0)
    if hasattr(model, "predict_proba"):
        outputs, others = (
            cross_val_predict(model, Z, y, cv=folds, method="predict_proba") for Z in (embeddings, embeddings[:, order])
        )
        np.testing.assert_allclose(others, outputs, atol=0.005 if head == "logistic" else 1e-5)
