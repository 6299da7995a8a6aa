"""A classifier learns, leaves as a bundle, and a source model is trained from nothing."""

from __future__ import annotations

import numpy as np
import pytest

import featx
from featx.finetune import FineTuneClassifier, small_encoder


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    """Which photo a crop is of."""
    return np.array(["china"] * 20 + ["flower"] * 20)


def test_a_network_is_trained_from_nothing_saved_and_transferred(digits, tmp_path):
    X, y = digits
    model = FineTuneClassifier(
        small_encoder(16, 8), unfreeze="all", train_norms=True, epochs=6, learning_rate=3e-3, verbose=0
    ).fit(X[:200], y[:200])
    assert model.score(X[200:], y[200:]) > 0.9
    encoder = model.encoder_.save(tmp_path / "source.safetensors")
    featx.save(featx.image_pipeline("svm", encoder=encoder, verbose=0).fit(X[:30], y[:30]), tmp_path / "model")
    assert featx.load(tmp_path / "model").score(X[200:], y[200:]) > 0.9
    tuned = FineTuneClassifier(encoder, epochs=2, verbose=0).fit(X[:60], y[:60] == "two")
    assert tuned.score(X[200:], y[200:] == "two") > 0.9


def test_tuning_gains_where_the_embedding_is_poor(digits):
    X, y = digits
    poor = small_encoder(16, 4)
    model = FineTuneClassifier(
        poor, unfreeze="all", epochs=8, learning_rate=3e-3, train_norms=True, validation=0.1, verbose=0
    ).fit(X[:200], y[:200])
    history = model.history_
    assert history["validation_loss"].min() < history["validation_loss"][0] / 2
    assert model.score(X[200:], y[200:]) > 0.9
    assert history.columns.tolist() == [
        "epoch", "train_loss", "validation_loss", "validation_accuracy", "learning_rate", "seconds",
    ]  # fmt: skip


def test_probabilities_are_those_of_the_network(tiny, crops, labels):
    model = FineTuneClassifier(tiny, unfreeze="conv2", epochs=2, verbose=0).fit(crops, labels)
    logits = featx.ImageEncoder(model.encoder_, layers="logits", verbose=0).transform(crops).astype(float)
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(crops), expected, atol=1e-4)
    assert (model.predict(crops) == model.classes_[expected.argmax(1)]).all()


def test_balanced_weights_help_the_rare_class(tiny, crops, labels):
    rare = np.r_[0:20, 20:23]
    X, y = [crops[i] for i in rare], labels[rare]
    shares = [
        FineTuneClassifier(tiny, unfreeze="conv2", validation=None, class_weight=weight, verbose=0)
        .fit(X, y)
        .predict_proba(X)[:, 1]
        .mean()
        for weight in (None, "balanced")
    ]
    assert shares[1] > shares[0]


def test_a_model_is_saved_and_exported_as_its_pipeline(tiny, crops, labels, tmp_path):
    model = FineTuneClassifier(tiny, unfreeze="conv2", epochs=2, verbose=0).fit(crops, labels)
    featx.save(model, tmp_path / "model")
    featx.export_bundle(model, tmp_path / "bundle", sample=crops[::4])
    for other in (featx.load(tmp_path / "model"), featx.Predictor(tmp_path / "bundle")):
        assert other.predict(crops).tolist() == model.predict(crops).tolist()


def test_the_last_block_of_the_default_encoder_is_tuned(crops, labels):
    model = FineTuneClassifier(epochs=1, validation=None, verbose=0).fit(crops[::5], labels[::5])
    before = featx.encoders.resolve("efficientnet_lite0")[0].build().state_dict()
    after = model.encoder_.module.state_dict()
    changed = {name for name in before if name in after and not before[name].equal(after[name])}
    assert {name.rpartition(".")[0].split(".conv")[0].split(".norm")[0] for name in changed} == {
        "blocks.15.expand", "blocks.15.depthwise", "blocks.15.project", "head", "classifier",
    }  # fmt: skip
    assert not any("running" in name for name in changed)
    assert model.score(crops, labels) > 0.7


def test_a_bundle_of_a_tuned_efficientnet_gives_the_same_label_for_each_of_many_images(digits, tmp_path):
    X, y = (values[:200] for values in digits)
    # What it takes, (x - 127) / 128, of small images.
    preprocess = featx.Preprocess(64, fit="squash", mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
    model = FineTuneClassifier(preprocess=preprocess, epochs=1, learning_rate=1e-3, validation=None, verbose=0)
    featx.export_bundle(model.fit(X[:60], y[:60]), tmp_path / "bundle", sample=X[:10])
    predictor = featx.Predictor(tmp_path / "bundle")
    assert predictor.predict(X).tolist() == model.predict(X).tolist()
    np.testing.assert_allclose(predictor.predict_proba(X), model.predict_proba(X), atol=1e-4)
    assert model.score(X[60:], y[60:]) > 0.9
