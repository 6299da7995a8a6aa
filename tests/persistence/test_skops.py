"""A model is data, and becomes objects of trusted types alone."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal

import numpy as np
import pytest
from sklearn import config_context
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import Birch
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from featx.exceptions import ModelError, ParameterError
from featx.heads import EmbeddingNormalizer, PrototypeClassifier, linear_probe
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


def test_other_types_are_listed_with_the_way_to_allow_them(tmp_path):
    forest = RandomForestClassifier(3, random_state=0).fit(X, LABELS)
    dump(forest, tmp_path / "model.skops")
    with pytest.raises(ModelError, match=r"trusted=\['sklearn\.tree\._tree\.Tree'\]"):
        load(tmp_path / "model.skops", ())
    again = load(tmp_path / "model.skops", ["sklearn.tree._tree.Tree"])
    np.testing.assert_array_equal(again.predict_proba(X), forest.predict_proba(X))


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
