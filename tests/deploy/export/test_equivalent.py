"""Heads of featx leave as steps of scikit-learn, or in ONNX, and answer as they did."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline

import featx
from featx.deploy.export._agreement import compare
from featx.deploy.export._equivalent import equivalents
from featx.deploy.export._head import ask, check_proven, convert_head
from featx.deploy.export._inputs import walk
from featx.deploy.export._strip import Stripped
from featx.exceptions import ExportError, FallbackWarning
from featx.heads import EmbeddingNormalizer, LinearProbe, PrototypeClassifier, linear_probe

pytest.importorskip("skl2onnx", reason="needs pip install 'featx[export]'")

METHODS = ("cl2n", "power", "whiten")
NAMES = np.array(["kiwi", "a b", "zoo", "b", "é"])
HEADS = {
    "probe": linear_probe(Cs=[0.1, 10]),
    "cosine": PrototypeClassifier(),
    "euclidean": PrototypeClassifier("euclidean", temperature=10),
    **{f"{method}, probe": make_pipeline(EmbeddingNormalizer(method), LinearProbe([0.1, 10])) for method in METHODS},
    **{f"{method}, cosine": make_pipeline(EmbeddingNormalizer(method), PrototypeClassifier()) for method in METHODS},
    "nested": make_pipeline(make_pipeline(EmbeddingNormalizer()), make_pipeline(PrototypeClassifier("euclidean"))),
}


def rows(n_classes):
    """A thousand embeddings, one of them zero, and their labels."""
    X, y = make_classification(
        1000, 60, n_informative=20, n_redundant=0, n_classes=n_classes, flip_y=0.1, random_state=0
    )
    X[-1] = 0
    return X.astype(np.float32), NAMES[y]


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("name", HEADS)
def test_a_head_gives_all_its_outputs_in_onnx(name, n_classes):
    X, y = rows(n_classes)
    head = HEADS[name].fit(X[:500], y[:500])
    expected, same = ask(head, X), copy.deepcopy(head, equivalents(head))
    check_proven(same)
    agreement = compare(expected, ask(same, X))
    assert not agreement.where
    assert agreement.labels_equal == 1
    outputs = {output for graph in convert_head(Stripped([], [], same), X, {}) for output in graph.outputs}
    assert outputs == {"label", "probabilities", "decision"}


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_class_of_which_nothing_was_seen_leaves_too(metric, n_classes):
    X, y = rows(n_classes)
    seen = y != NAMES[0]
    head = PrototypeClassifier(metric).partial_fit(X[seen], y[seen], classes=NAMES[:n_classes])
    outputs = convert_head(Stripped([], [], copy.deepcopy(head, equivalents(head))), X, {})
    assert {"label", "probabilities"} <= {output for graph in outputs for output in graph.outputs}


def test_they_are_found_wherever_they_are():
    X, y = rows(5)
    head = CalibratedClassifierCV(make_pipeline(EmbeddingNormalizer(), PrototypeClassifier()), cv=3).fit(X, y)
    same = copy.deepcopy(head, equivalents(head))
    np.testing.assert_allclose(same.predict_proba(X), head.predict_proba(X), atol=1e-6)
    check_proven(same)
    assert not [part for part in walk(same) if type(part).__module__.startswith("featx")]


class Louder(PrototypeClassifier):
    def predict(self, X):
        return np.char.upper(super().predict(X))


def test_what_a_user_made_of_them_stays_what_it_is():
    X, y = rows(2)
    assert equivalents(make_pipeline(Louder().fit(X, y))) == {}


@pytest.mark.parametrize("head", ["probe", "prototype"])
def test_a_pipeline_of_images_leaves_without_featx(head, tiny, crops, tmp_path):
    model = featx.image_pipeline(head, encoder=tiny, cache=False, verbose=0).fit(crops, [*"abcd"] * 10)
    for kind in ("auto", "sklearn"):  # no warning: the head is ONNX
        bundle = featx.export_bundle(model, tmp_path / kind, sample=crops, head=kind)
        assert bundle.card["head"] == ("onnx" if kind == "auto" else "sklearn")
        assert bundle.card["verified"]["labels_equal"] == 1
        assert bundle.card["verified"]["probabilities_error"] < 1e-4
        np.testing.assert_array_equal(featx.Predictor(bundle).predict(crops), model.predict(crops))
    assert type(model[-1]).__module__.startswith("featx.heads")


def test_the_signed_root_is_onnx_or_nothing(tiny, crops, tmp_path):
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
    model = make_pipeline(encoder, EmbeddingNormalizer("power"), PrototypeClassifier()).fit(crops, [*"ab"] * 20)
    assert featx.export_bundle(model, tmp_path / "bundle").card["head"] == "onnx"
    with pytest.raises(ExportError, match=r'"power"\) has no form in scikit-learn.*Expected method="cl2n"'):
        featx.export_bundle(model, tmp_path / "other", head="sklearn")


def test_beside_steps_that_stay_scikit_learns_they_become_that_as_well(tiny, crops, tmp_path):
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
    model = make_pipeline(encoder, EmbeddingNormalizer("whiten"), HistGradientBoostingClassifier(max_iter=3))
    model.fit(crops, [*"ab"] * 20)
    with pytest.warns(FallbackWarning, match="HistGradientBoosting"):
        bundle = featx.export_bundle(model, tmp_path / "bundle")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(featx.Predictor(bundle).predict(crops), model.predict(crops))
