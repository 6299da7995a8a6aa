"""A model is data, and becomes objects of trusted types alone."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from decimal import Decimal

import joblib
import numpy as np
import pytest
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

from featx.exceptions import ModelError, ParameterError
from featx.heads import EmbeddingNormalizer, PrototypeClassifier, linear_probe
from featx.persistence import _skops
from featx.persistence._skops import dump, load

X = np.random.default_rng(0).normal(size=(30, 4))
LABELS = np.array(["a", "b"] * 15)
HEAD = LogisticRegression()


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

    monkeypatch.setattr(_skops, "check_indices", damaged)
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


def test_a_file_of_another_kind_and_a_model_that_skops_cannot_hold_are_said(tmp_path):
    (tmp_path / "model.skops").write_bytes(b"junk")
    with pytest.raises(ModelError, match=r"model\.skops cannot be loaded"):
        load(tmp_path / "model.skops", ())
    with pytest.raises(ModelError, match="Birch cannot be saved"):
        dump(Birch(), tmp_path / "model.skops")


def test_importing_skops_imports_no_torch_and_leaves_it_importable():
    code = (
        "import sys; from featx.persistence._skops import _import_skops; _import_skops()\n"
        "print('torch' in sys.modules); import torch; print(torch.ones(2).sum().item())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "2.0"]


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
