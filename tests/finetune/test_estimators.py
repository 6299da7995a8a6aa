"""Classifiers and regressors learn, are scikit-learn's, and leave as models, bundles and encoders."""

from __future__ import annotations

import logging
import pickle
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import Parallel, delayed
from safetensors.torch import save_file
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score

import featx
from featx._image_encoder import extraction_of
from featx.exceptions import (
    ImageReadError,
    ImageWarning,
    InputError,
    MissingDependencyError,
    ParameterError,
    TrainingError,
)
from featx.finetune import FineTuneClassifier, FineTuneRegressor, _run, small_encoder
from tests.networks import TINY, make_tiny


def tuner(encoder, **parameters) -> FineTuneClassifier:
    return FineTuneClassifier(encoder, **{"unfreeze": "conv2", "max_epochs": 2, "verbose": 0, **parameters})


# Learning


def test_a_network_is_trained_from_nothing_saved_and_transferred(digits, tmp_path):
    X, y = digits
    model = FineTuneClassifier(
        small_encoder(16, 8), unfreeze="all", train_batch_norm=True, max_epochs=6, learning_rate=3e-3, verbose=0
    ).fit(X[:200], y[:200])
    assert model.score(X[200:], y[200:]) > 0.9
    encoder = model.encoder_.save(tmp_path / "source.safetensors")
    featx.save(featx.image_pipeline("svm", encoder=encoder, verbose=0).fit(X[:30], y[:30]), tmp_path / "model")
    assert featx.load(tmp_path / "model").score(X[200:], y[200:]) > 0.9
    tuned = FineTuneClassifier(encoder, max_epochs=2, verbose=0).fit(X[:60], y[:60] == "two")
    assert tuned.score(X[200:], y[200:] == "two") > 0.9


def test_tuning_gains_where_the_embedding_is_poor(digits):
    X, y = digits
    model = FineTuneClassifier(
        small_encoder(16, 4), unfreeze="all", max_epochs=8, learning_rate=3e-3, train_batch_norm=True,
        validation_fraction=0.1, verbose=0,
    ).fit(X[:200], y[:200])  # fmt: skip
    history = model.history_
    assert history["validation_loss"].min() < history["validation_loss"][0] / 2
    assert model.score(X[200:], y[200:]) > 0.9
    assert history.columns.tolist() == [
        "epoch", "train_loss", "validation_loss", "validation_accuracy", "learning_rate", "seconds",
    ]  # fmt: skip


@pytest.mark.parametrize("columns", [1, 2])
def test_numbers_are_learned_in_their_units(digits, columns):
    X, _ = digits
    light = 1000 + X.mean(axis=(1, 2))
    y = light if columns == 1 else np.column_stack([light, X[:, :, :4].mean(axis=(1, 2))])
    model = FineTuneRegressor(
        small_encoder(16, 4), unfreeze="all", max_epochs=10, learning_rate=3e-3, train_batch_norm=True,
        validation_fraction=0.1, verbose=0,
    ).fit(X[:200], y[:200])  # fmt: skip
    assert model.score(X[200:], y[200:]) > 0.5
    assert model.predict(X[200:]).shape == y[200:].shape
    history = model.history_
    assert history["validation_loss"].min() < history["validation_loss"][0]
    assert 0 < history["validation_mae"].min() < y.std()


def test_probabilities_are_those_of_the_network(tiny, crops, labels):
    model = tuner(tiny).fit(crops, labels)
    logits = featx.ImageEncoder(model.encoder_, layers="logits", verbose=0).transform(crops).astype(float)
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(crops), expected, atol=1e-4)
    assert (model.predict(crops) == model.classes_[expected.argmax(1)]).all()


def test_the_last_block_of_the_default_encoder_is_tuned(crops, labels):
    model = FineTuneClassifier(max_epochs=1, verbose=0).fit(crops[::5], labels[::5])
    before = featx.encoders.resolve("efficientnet_lite0")[0].build().state_dict()
    after = model.encoder_.module.state_dict()
    changed = {name for name in before if name in after and not before[name].equal(after[name])}
    assert {name.rpartition(".")[0].split(".conv")[0].split(".norm")[0] for name in changed} == {
        "blocks.15.expand", "blocks.15.depthwise", "blocks.15.project", "head", "classifier",
    }  # fmt: skip
    assert not any("running" in name for name in changed)
    assert model.score(crops, labels) > 0.7


def test_only_what_is_unfrozen_changes(tiny, crops, labels):
    tuned = tuner(tiny, learning_rate=0.01).fit(crops, labels).encoder_.module
    assert torch.equal(tuned.conv1.weight, tiny.module.conv1.weight)
    assert torch.equal(tuned.norm1.running_mean, tiny.module.norm1.running_mean)
    assert not torch.equal(tuned.conv2.weight, tiny.module.conv2.weight)


def test_a_portable_name_is_the_node_that_it_stands_for(tiny, crops, labels):
    assert tiny.stages["last"] == "conv2"
    weights = [tuner(tiny, unfreeze=unfreeze).fit(crops, labels).encoder_.weights for unfreeze in ("last", "conv2")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("unfreeze", ["head", "last_block", "all"])
def test_an_encoder_that_gives_maps_is_tuned(crops, labels, unfreeze):
    torch.manual_seed(5)
    maps = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 5, 3), torch.nn.ReLU())
    encoder = featx.Encoder.from_module(maps, preprocess=featx.Preprocess(size=8))
    model = tuner(encoder, unfreeze=unfreeze, max_epochs=10, learning_rate=0.01)
    assert model.fit(crops, labels).head_.coef_.shape == (1, 5)
    assert model.score(crops, labels) > 0.7


def test_what_comes_after_the_classifier_is_refused(crops, labels):
    soft = torch.nn.Sequential(make_tiny(), torch.nn.Softmax(1))
    with pytest.raises(ParameterError, match="after its last linear layer"):
        FineTuneClassifier(featx.Encoder.from_module(soft, preprocess=TINY), unfreeze="all").fit(crops, labels)


class Viewing(torch.nn.Module):
    """Views a map as rows, which needs its channels first."""

    def __init__(self):
        super().__init__()
        self.convolve = torch.nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.rows = torch.nn.Linear(4 * 16 * 16, 8)

    def forward(self, x):
        return self.rows(self.convolve(x).view(-1, 4 * 16 * 16))


def test_a_network_that_needs_its_channels_first_is_tuned(crops, labels):
    encoder = featx.Encoder.from_module(Viewing(), preprocess=TINY)
    model = tuner(encoder, unfreeze="all", augment="flip").fit(crops, labels)
    assert np.isfinite(model.predict_proba(crops)).all()


def test_frozen_layers_computed_once_give_what_each_epoch_would(tiny, crops, labels):
    once, each = tuner(tiny), tuner(tiny, augment=lambda image: image)
    for model in (once, each):
        model.fit(crops, labels)
    untrained = tuner(tiny, learning_rate=1e-12).fit(crops, labels)
    for found in (lambda model: model.head_.coef_, lambda model: model.transform(crops)):
        np.testing.assert_allclose(found(once), found(each), rtol=0, atol=1e-6)
        assert abs(found(untrained) - found(each)).max() > 1e-4


def test_activations_that_would_fill_the_memory_are_not_held(tiny, crops, labels, monkeypatch, caplog):
    needed = 4 * 40 * 5400
    with caplog.at_level(logging.INFO, "featx"):
        for available in (needed, needed - 1):
            assert "computed in each epoch" not in caplog.text
            monkeypatch.setattr(_run, "available_memory", lambda available=available: available)
            tuner(tiny, max_epochs=1).fit(crops, labels)
    assert "its frozen layers are computed in each epoch" in caplog.text


# Weights


def test_balanced_weights_help_the_rare_class(tiny, crops, labels):
    rare = np.r_[0:20, 20:23]
    X, y = [crops[i] for i in rare], labels[rare]
    shares = [
        tuner(tiny, class_weight=weight, max_epochs=10).fit(X, y).predict_proba(X)[:, 1].mean()
        for weight in (None, "balanced")
    ]
    assert shares[1] > shares[0]


# From random weights only the loss can know of them.
@pytest.mark.parametrize(
    "start", [{}, {"head_init": "random", "learning_rate": 3e-2, "max_epochs": 10}], ids=["probe", "random"]
)
def test_sample_weights_count(tiny, crops, labels, start):
    other = np.where(np.arange(40) % 2, labels, labels[::-1])
    weights = np.where(np.arange(40) % 2, 1.0, 1e-6)
    right, left = (
        tuner(tiny, **start).fit(crops, other, sample_weight=w).score(crops[1::2], other[1::2])
        for w in (weights, weights[::-1])  # none is zero: such rows are left out
    )
    assert right > left


def test_rows_that_weigh_nothing_are_not_validated_with(tiny, crops, labels):
    some = np.r_[0:5, 20:25]
    weights = np.zeros(40)
    weights[some] = 1
    model = tuner(tiny, validation_fraction=0.2, learning_rate=0.01).fit(crops, labels, sample_weight=weights)
    assert model.history_["validation_loss"].gt(0).all()
    alone = tuner(tiny, validation_fraction=0.2, learning_rate=0.01).fit([crops[i] for i in some], labels[some])
    np.testing.assert_allclose(model.history_["validation_loss"], alone.history_["validation_loss"], atol=1e-6)


def test_a_class_whose_rows_weigh_nothing_is_refused(tiny, crops, labels):
    with pytest.raises(InputError, match="class 'china'"):
        tuner(tiny).fit(crops, labels, sample_weight=labels == "flower")


# scikit-learn's ways


def test_parameters_are_kept_as_they_are_and_clones_are_unfitted(tiny, crops, labels):
    given = tuner(tiny, checkpoint_dir=None).fit(crops, labels)
    copy = clone(given)
    assert copy.get_params(deep=False) == given.get_params(deep=False)
    with pytest.raises(NotFittedError):
        copy.predict(crops)


@pytest.mark.parametrize("estimator", [FineTuneClassifier, FineTuneRegressor])
def test_every_parameter_arrives(estimator):
    given = {name: object() for name in estimator().get_params(deep=False)}
    assert estimator(**given).get_params(deep=False) == given


def test_a_grid_search_goes_over_its_parameters(tiny, crops, labels):
    model = tuner(featx.ImageEncoder(tiny, verbose=0))
    grid = {"unfreeze": ["head", "conv2"], "encoder__preprocess": ["squash"]}
    search = GridSearchCV(model, grid, cv=2).fit(np.stack(crops), labels)
    assert search.cv_results_["mean_test_score"].min() > 0.5


def test_a_grid_may_be_of_numpys_numbers(tiny, crops, labels):
    grid = {"unfreeze": np.arange(1, 3), "train_batch_norm": np.array([True, False]), "max_epochs": np.array([1])}
    assert GridSearchCV(tuner(tiny), grid, cv=2).fit(np.stack(crops), labels).best_params_


def test_scikit_learn_knows_of_several_columns_and_of_missing_images():
    tags = FineTuneRegressor(featx.ImageEncoder(on_missing="nan")).__sklearn_tags__()
    assert tags.target_tags.multi_output
    assert tags.input_tags.allow_nan
    assert not FineTuneClassifier().__sklearn_tags__().input_tags.allow_nan


def test_threads_get_what_they_would_get_alone(digits):
    X, y = digits

    def fit(seed):
        model = FineTuneClassifier(
            featx.ImageEncoder(small_encoder(16, 4), cache=False, verbose=0), unfreeze="all", augment="flip+shift",
            max_epochs=3, learning_rate=0.01, random_state=seed, verbose=0,
        )  # fmt: skip
        return model.fit(X[:40], y[:40]).encoder_.weights

    alone = [fit(seed) for seed in range(3)]
    assert Parallel(3, backend="threading")(delayed(fit)(seed) for seed in range(3)) == alone


def test_a_seed_decides_and_the_random_state_of_the_process_stays(tiny, crops, labels):
    state = torch.random.get_rng_state()
    weights = [tuner(tiny, random_state=seed).fit(crops, labels).encoder_.weights for seed in (0, 0, 1)]
    assert weights[0] == weights[1] != weights[2]
    assert torch.equal(state, torch.random.get_rng_state())


def test_columns_of_images_may_be_of_a_frame(files):
    frame = pd.DataFrame({"photo": files})
    model = FineTuneRegressor(small_encoder(16, 4), max_epochs=1, verbose=0)
    assert model.fit(frame, np.arange(12.0)).predict(frame).shape == (12,)


# What comes out


def network() -> torch.nn.Module:
    return make_tiny()


def test_a_fitted_model_needs_the_original_weights_no_more(crops, labels, tmp_path):
    file = tmp_path / "tiny.safetensors"
    save_file(make_tiny().state_dict(), file)
    model = tuner(featx.Encoder.from_checkpoint(file, network, preprocess=TINY)).fit(crops, labels)
    expected, pickled = model.predict_proba(crops), pickle.dumps(model)
    file.unlink()
    np.testing.assert_array_equal(model.predict_proba(crops), expected)
    np.testing.assert_array_equal(pickle.loads(pickled).predict_proba(crops), expected)
    model.set_params(encoder=featx.ImageEncoder("resnet18", weights=file))
    np.testing.assert_array_equal(model.predict_proba(crops), expected)


def test_the_encoder_that_was_given_stays_as_it_is(tiny, crops, labels):
    before = {name: values.clone() for name, values in tiny.module.state_dict().items()}
    model = tuner(tiny).fit(crops, labels)
    assert all(torch.equal(values, before[name]) for name, values in tiny.module.state_dict().items())
    assert model.encoder_.weights != tiny.weights


def test_a_tuned_encoder_is_an_encoder_like_any_other(tiny, crops, labels, store):
    model = tuner(tiny).fit(crops, labels)
    pipeline = featx.image_pipeline("svm", encoder=model.encoder_, cache=store, verbose=0).fit(crops, labels)
    assert pipeline.score(crops, labels) > 0.8
    assert store.info()["rows"].sum() == len(crops)
    assert featx.list_layers(model.encoder_)["node"].tolist()[-2:] == ["feature", "logits"]
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(crops), model.predict_proba(crops))


def test_a_tuned_encoder_can_be_tuned_again(tiny, crops, labels):
    model = tuner(tuner(tiny).fit(crops, labels).encoder_).fit(crops, ["a", "b", "c", "d"] * 10)
    assert model.predict_proba(crops).shape == (40, 4)
    assert model.encoder_.name == "tiny0-tuned"


def test_a_model_is_saved_and_exported_as_its_pipeline(tiny, crops, labels, tmp_path):
    model = tuner(tiny).fit(crops, labels)
    featx.save(model, tmp_path / "model")
    featx.export_bundle(model, tmp_path / "bundle", sample=crops[::4])
    for other in (featx.load(tmp_path / "model"), featx.Predictor(tmp_path / "bundle")):
        assert other.predict(crops).tolist() == model.predict(crops).tolist()


def test_a_bundle_of_a_tuned_efficientnet_gives_the_same_label_for_each_of_many_images(digits, tmp_path):
    X, y = (values[:200] for values in digits)
    # What it takes, (x - 127) / 128, of small images.
    preprocess = featx.Preprocess(64, fit="squash", mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
    encoder = featx.ImageEncoder(preprocess=preprocess, verbose=0)
    model = FineTuneClassifier(encoder, max_epochs=1, learning_rate=1e-3, verbose=0)
    featx.export_bundle(model.fit(X[:60], y[:60]), tmp_path / "bundle", sample=X[:10])
    predictor = featx.Predictor(tmp_path / "bundle")
    assert predictor.predict(X).tolist() == model.predict(X).tolist()
    np.testing.assert_allclose(predictor.predict_proba(X), model.predict_proba(X), atol=1e-4)
    assert model.score(X[60:], y[60:]) > 0.9


# The ImageEncoder


def test_an_image_encoder_brings_its_parameters_along(tiny, crops, labels, store):
    model = tuner(featx.ImageEncoder(tiny, cache=store, preprocess="crop", verbose=0)).fit(crops, labels)
    assert store.info()["rows"].sum() > 0
    assert model.to_pipeline().named_steps["encoder"].cache is store
    assert model.encoder_.preprocess.fit == "crop"


@pytest.mark.parametrize("changes", [{"layers": "conv2"}, {"precision": "bfloat16"}])
def test_an_image_encoder_of_another_layer_is_refused(tiny, crops, labels, changes):
    with pytest.raises(ParameterError, match="layers=None"):
        tuner(featx.ImageEncoder(tiny, **changes)).fit(crops, labels)


def test_bad_images_are_listed(tiny, crops, labels):
    with pytest.raises(ImageReadError, match="row 0"):
        tuner(tiny).fit([b"no image", *crops[1:]], labels)


@pytest.mark.parametrize("unfreeze", ["conv2", "all"])
def test_bad_images_may_be_left_out_of_the_training(tiny, crops, labels, unfreeze):
    encoder = featx.ImageEncoder(tiny, on_error="nan", on_missing="nan", verbose=0)
    model = tuner(encoder, unfreeze=unfreeze)
    with pytest.warns(ImageWarning):
        model.fit([b"no image", None, *crops[2:]], labels)
    alone = tuner(tiny, unfreeze=unfreeze).fit(crops[2:], labels[2:])
    np.testing.assert_allclose(model.predict_proba(crops), alone.predict_proba(crops), atol=1e-4)


@pytest.mark.parametrize("cache", [True, False])
def test_where_bad_images_may_be_nan_they_are_predicted_as_the_mean_image_is(tiny, crops, labels, cache):
    model = tuner(featx.ImageEncoder(tiny, cache=cache, on_error="nan", on_missing="nan", verbose=0))
    with pytest.warns(ImageWarning):
        model.fit([b"no image", *crops[1:]], labels)
    images = [crops[0], b"no image", None]
    with pytest.warns(ImageWarning, match="2 of 3"):
        found = model.predict_proba(images)
    mean = model.transform(crops[1:]).mean(axis=0, keepdims=True)
    np.testing.assert_allclose(found[1:], model.head_.predict_proba(mean).repeat(2, axis=0), atol=1e-4)
    with pytest.warns(ImageWarning):
        assert np.isnan(model.transform(images)).all(axis=1).tolist() == [False, True, True]
    assert list(model.to_pipeline().named_steps) == ["encoder", "imputer", "head"]


def test_images_that_weigh_in_a_cross_validation_may_be_bad(tiny, crops, labels):
    images = [b"no image", *crops[1:20], b"nor this", *crops[21:]]
    model = tuner(featx.ImageEncoder(tiny, on_error="nan", verbose=0), max_epochs=1)
    with pytest.warns(ImageWarning):
        scores = cross_val_score(model, images, labels, cv=2, error_score="raise")
    assert np.isfinite(scores).all()


# What is refused


@pytest.mark.parametrize(
    "parameter",
    [
        {"max_epochs": 0},
        {"batch_size": 1.5},
        {"learning_rate": -1},
        {"learning_rate": float("nan")},
        {"layer_decay": 1.5},
        {"weight_decay": -0.1},
        {"warmup_fraction": 1},
        {"validation_fraction": 1.0},
        {"n_iter_no_change": 0},
        {"train_batch_norm": "yes"},
        {"source_weight": 0},
        {"head_init": "prob"},
        {"augment": "flips"},
        {"precision": "float16"},
    ],
    ids=str,
)
def test_a_value_that_is_not_accepted_is_named(tiny, parameter):
    (name,) = parameter
    with pytest.raises(ParameterError, match=name):
        FineTuneRegressor(tiny, **parameter).fit([b"no image"] * 2, [0.0, 1.0])


@pytest.mark.parametrize(
    ("given", "settled"),
    [
        ({}, (False, "probe")),
        ({"weights": "random"}, (True, "random")),
        ({"weights": "random", "head_init": "probe"}, (True, "probe")),
        ({"weights": "random", "train_batch_norm": False}, (False, "probe")),
        ({"train_batch_norm": True}, (True, "random")),
    ],
    ids=str,
)
def test_where_norms_follow_the_batches_the_head_starts_at_random(given, settled):
    encoder = featx.ImageEncoder("resnet18", weights=given.pop("weights", "default"))
    settings = FineTuneClassifier(encoder, **given)._check_settings(extraction_of(encoder).spec)
    assert (settings.train_batch_norm, settings.head_init) == settled


def test_one_class_is_refused(tiny, crops):
    with pytest.raises(InputError, match="one class"):
        tuner(tiny).fit(crops, ["same"] * 40)


def test_no_images_are_refused(tiny):
    with pytest.raises(InputError, match="no images"):
        tuner(tiny).fit([], [])


def test_weights_that_the_only_step_made_useless_are_reported(tiny, crops, labels):
    with pytest.raises(TrainingError, match="learning_rate"):
        tuner(tiny, learning_rate=1e30, max_epochs=1, batch_size=64).fit(crops, labels)


def test_a_loss_that_is_not_finite_is_reported(tiny, crops, labels):
    with pytest.raises(TrainingError, match=r"^The loss became (nan|inf) in epoch \d+, .* Lower learning_rate="):
        tuner(tiny, learning_rate=1e30, max_epochs=20).fit(crops, labels)


def test_a_missing_package_is_named(tiny, crops, labels, monkeypatch):
    monkeypatch.setitem(sys.modules, "skorch", None)
    with pytest.raises(MissingDependencyError, match=r"featx\[finetune\]"):
        tuner(tiny).fit(crops, labels)
