"""A model is data, and becomes objects of trusted types alone."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import re
import zipfile
from decimal import Decimal

import joblib
import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import Birch
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    AdaBoostClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.feature_selection import SelectKBest, SelectPercentile, chi2, mutual_info_classif
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer
from sklearn.metrics.pairwise import laplacian_kernel
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, SplineTransformer
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import featx
from featx.encoders._registry import get_architecture
from featx.exceptions import ModelError, ParameterError
from featx.heads import EmbeddingNormalizer, LinearProbe, PrototypeClassifier, linear_probe
from featx.persistence import _format
from featx.persistence._format import PUBLIC, dump, load, nodes_of
from tests.networks import tiny_encoder
from tests.text.models import needs_model

X = np.random.default_rng(0).normal(size=(30, 4))
LABELS = np.array(["a", "b"] * 15)
HEAD = LogisticRegression()
ARRAYS = ("mean_", "var_", "scale_", "coef_")


@pytest.mark.parametrize(
    "model",
    [
        HEAD,
        GridSearchCV(HEAD, {"C": [0.1, 1]}, cv=2, scoring="f1_macro"),
        TunedThresholdClassifierCV(HEAD, cv=2),
        CalibratedClassifierCV(HEAD, cv=2),
        CalibratedClassifierCV(HEAD, cv=2, method="isotonic"),
        StackingClassifier([("head", HEAD)], cv=2),
    ],
    ids=lambda model: type(model).__name__,
)
def test_scikit_learns_own_searches_and_calibrations_are_trusted(model, tmp_path):
    model.fit(X, LABELS)
    dump(model, tmp_path / "model.skops")
    np.testing.assert_array_equal(load(tmp_path / "model.skops", ()).predict(X), model.predict(X))


@pytest.mark.parametrize(
    "head",
    [
        RandomForestClassifier(3, random_state=0),
        GradientBoostingClassifier(n_estimators=3, random_state=0),
        HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=5),
        AdaBoostClassifier(n_estimators=3, random_state=0),
        MLPClassifier((4,), max_iter=5, random_state=0),
        MLPClassifier((4,), solver="sgd", max_iter=5, random_state=0),
        KNeighborsClassifier(3),
        GaussianProcessClassifier(ConstantKernel() * RBF()),
        make_pipeline(SelectKBest(k=2), HEAD),
        make_pipeline(SelectKBest(mutual_info_classif, k=2), HEAD),
        make_pipeline(SelectPercentile(chi2), HEAD),
        make_pipeline(SplineTransformer(3), HEAD),
        SVC(kernel=laplacian_kernel),
    ],
    ids=lambda head: re.sub(r" at 0x\w+|\n", "", repr(head))[:60],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learns_own_heads_need_no_trust(head, tmp_path):
    head.fit(np.abs(X), LABELS)
    dump(head, tmp_path / "model.skops")
    again = load(tmp_path / "model.skops", ())
    np.testing.assert_array_equal(again.predict(np.abs(X)), head.predict(np.abs(X)))


@pytest.mark.parametrize(
    "function",
    [os.system, pickle.loads, load_iris, np.load, joblib.load, make_scorer],
    ids=lambda function: f"{function.__module__}.{function.__name__}",
)
def test_a_function_that_does_more_than_compute_is_listed_with_the_way_to_allow_it(function, tmp_path):
    dump(FunctionTransformer(function), tmp_path / "model.skops")
    with pytest.raises(ModelError, match=rf"trusted=\['.*{function.__name__}'\]"):
        load(tmp_path / "model.skops", ())


def test_the_indices_of_trees_are_checked_before_a_model_is_handed_out(tmp_path, monkeypatch):
    dump(DecisionTreeClassifier(random_state=0).fit(X, LABELS), tmp_path / "model.skops")

    def damaged(model):
        raise ValueError(f"{type(model).__name__} is damaged")

    monkeypatch.setattr(_format, "check_indices", damaged)
    with pytest.raises(ModelError, match=r"DecisionTreeClassifier is damaged.*Copy the folder again"):
        load(tmp_path / "model.skops", ())


@pytest.mark.parametrize(
    "keys",
    [
        [True, False],
        [np.True_, np.False_],
        [1, "1"],
        [np.int64(1), "1"],
        [1.0, "1.0"],
        [None, "a"],
        [("a", "b")],
        [b"a"],
        [np.nan, "NaN"],
    ],
    ids=str,
)
@pytest.mark.parametrize("place", ["class_weight", "nested", "in a grid"])
def test_a_dict_whose_keys_would_come_back_as_others_is_refused(keys, place, tmp_path):
    weights = dict.fromkeys(keys, 2)
    model = {
        "class_weight": LogisticRegression(class_weight=weights),
        "nested": make_pipeline(FunctionTransformer(kw_args={"by": [{"a": weights}]}), HEAD),
        "in a grid": GridSearchCV(HEAD, {"class_weight": [None, weights]}),
    }[place]
    with pytest.raises(ModelError, match=r"A dict with the keys .* cannot be saved"):
        dump(model, tmp_path / "model.skops")
    assert not (tmp_path / "model.skops").exists()


@pytest.mark.parametrize(
    "keys",
    [["a", "b"], [0, 1], [-7, 10**20], [0.1, 1e-300], [np.nan, np.inf], [np.int64(3), np.int64(4)], [1, 2.5, "x"]],
    ids=str,
)
def test_other_keys_come_back_as_they_were(keys, tmp_path):
    weights = {key: position for position, key in enumerate(keys)}
    dump(LogisticRegression(class_weight=weights), tmp_path / "model.skops")
    again = load(tmp_path / "model.skops", ()).class_weight
    assert repr(again) == repr(weights)


def test_a_part_that_holds_itself_is_named_with_what_to_do(tmp_path):
    with config_context(enable_metadata_routing=True):
        marked = LogisticRegression().set_score_request(sample_weight=True)  # its request knows its owner
    named = r"Step 'logisticregression' of this Pipeline cannot be saved as data: .* joblib\.dump"
    with pytest.raises(ModelError, match=named):
        dump(make_pipeline(FunctionTransformer(), marked), tmp_path / "model.skops")
    with pytest.raises(ModelError, match=r"^LogisticRegression cannot be saved as data"):
        dump(marked, tmp_path / "model.skops")


def test_a_type_may_be_given_as_itself(tmp_path):
    dump(FunctionTransformer(kw_args={"by": Decimal(3)}), tmp_path / "model.skops")
    with pytest.raises(ModelError, match=r"decimal\.Decimal"):
        load(tmp_path / "model.skops", ())
    assert load(tmp_path / "model.skops", [Decimal]).kw_args == {"by": 3}


@pytest.mark.parametrize("trusted", ["decimal.Decimal", Decimal, True], ids=str)
def test_trusted_is_a_list(trusted, tmp_path):
    with pytest.raises(ParameterError, match="Expected a list of types"):
        load(tmp_path / "model.skops", trusted)


def test_a_file_of_another_kind_and_a_model_that_skops_cannot_hold_are_reported(tmp_path):
    (tmp_path / "model.skops").write_bytes(b"junk")
    with pytest.raises(ModelError, match=r"model\.skops cannot be loaded"):
        load(tmp_path / "model.skops", ())
    with pytest.raises(ModelError, match="Birch cannot be saved"):
        dump(Birch(), tmp_path / "model.skops")


@pytest.mark.parametrize(
    "head",
    [
        linear_probe(Cs=3),
        make_pipeline(EmbeddingNormalizer("whiten"), PrototypeClassifier()),
        make_pipeline(EmbeddingNormalizer("power"), PrototypeClassifier("euclidean")),
        GridSearchCV(PrototypeClassifier(), {"metric": ["cosine", "euclidean"]}, cv=2),
    ],
    ids=lambda head: repr(head)[:60],
)
def test_featxs_own_heads_are_trusted(head, tmp_path):
    head.fit(X, LABELS)
    dump(head, tmp_path / "model.skops")
    again = load(tmp_path / "model.skops", ())
    np.testing.assert_array_equal(again.predict_proba(X), head.predict_proba(X))


def own_estimators(crops) -> dict[str, object]:
    """An estimator of every kind that featx offers, fitted where it has something to learn."""
    tuned = {
        kind.__name__: kind(tiny_encoder(), unfreeze="conv2", verbose=0).fit(crops[::4], y)
        for kind, y in ((featx.FineTuneClassifier, LABELS[:10]), (featx.FineTuneRegressor, X[:10, 0]))
    }
    return {
        **tuned,
        "ImageEncoder": featx.ImageEncoder(preprocess=featx.Preprocess(size=64), cache=False),
        "ImageEncoder of a graph": featx.ImageEncoder(tiny_encoder(), cache=False),
        "LinearProbe": LinearProbe(Cs=3).fit(X, LABELS),
        "EmbeddingNormalizer": EmbeddingNormalizer("whiten").fit(X),
        "PrototypeClassifier": PrototypeClassifier().fit(X, LABELS),
        "OODDetector": featx.OODDetector("mahalanobis").fit(X, LABELS),
        "image_pipeline": featx.image_pipeline("probe", cache=False, verbose=0).fit(crops[::4], LABELS[:10]),
    }


def named_types(folder) -> set[str]:
    with zipfile.ZipFile(folder / "model.skops") as file:
        return {f"{node['__module__']}.{node['__class__']}" for node in nodes_of(json.loads(file.read("schema.json")))}


def test_a_saved_model_names_public_paths_of_featx_alone(crops, tmp_path):
    seen = set()
    for name, estimator in own_estimators(crops).items():
        featx.save(estimator, tmp_path / name)
        seen |= {kind for kind in named_types(tmp_path / name) if kind.startswith("featx")}
        again = featx.load(tmp_path / name)
        assert type(again) is type(estimator.to_pipeline() if hasattr(estimator, "to_pipeline") else estimator)
    assert "featx.ImageEncoder" in seen
    assert not [kind for kind in seen if "._" in kind]


def test_a_checkpoint_is_named_by_public_paths_too(tmp_path):
    own = tmp_path / "own.pth"
    torch.save(get_architecture("squeezenet1_1").build(224).state_dict(), own)
    featx.save(featx.ImageEncoder(featx.Encoder.from_checkpoint(own, "squeezenet1_1")), tmp_path / "model")
    kinds = {kind for kind in named_types(tmp_path / "model") if kind.startswith("featx")}
    assert kinds >= {"featx.ImageEncoder", "featx.Encoder", "featx.encoders.FromCheckpoint"}
    assert not [kind for kind in kinds if "._" in kind]


@needs_model
def test_a_text_encoder_is_named_by_its_public_path(tmp_path):
    featx.save(featx.TextEncoder(cache=False), tmp_path / "model")
    assert {kind for kind in named_types(tmp_path / "model") if kind.startswith("featx")} == {"featx.TextEncoder"}


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_name_leads_to_its_type(name):
    kind = getattr(importlib.import_module(PUBLIC[name]), name)
    assert isinstance(kind, type)
    assert kind.__name__ == name


def test_what_scikit_learn_notes_of_metadata_takes_little_room(crops, tmp_path):
    model = featx.image_pipeline(cache=False, verbose=0).fit(crops[::4], LABELS[:10])
    featx.save(model, tmp_path / "model")
    arrays = sum(vars(step)[name].nbytes for step in model[1:] for name in vars(step) if name in ARRAYS)
    assert (tmp_path / "model" / "model.skops").stat().st_size < arrays + 12_000
