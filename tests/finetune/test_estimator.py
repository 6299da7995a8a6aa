"""An estimator of scikit-learn that takes images."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from safetensors.torch import save_file
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score

import featx
from featx.exceptions import ImageErrors, ImageWarning, InputError, ParameterError, TrainingError
from featx.finetune import FineTuneClassifier, FineTuneRegressor, small_encoder
from tests.networks import TINY, make_tiny


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    """Which photo a crop is of."""
    return np.array(["china"] * 20 + ["flower"] * 20)


def tuner(encoder, **parameters) -> FineTuneClassifier:
    return FineTuneClassifier(
        encoder, **{"unfreeze": "conv2", "epochs": 2, "validation": None, "verbose": 0, **parameters}
    )


def test_parameters_are_kept_as_they_are_and_clones_are_unfitted(tiny, crops, labels):
    given = tuner(tiny, checkpoint=None).fit(crops, labels)
    copy = clone(given)
    assert copy.get_params(deep=False) == given.get_params(deep=False)
    with pytest.raises(NotFittedError):
        copy.predict(crops)


def test_a_grid_search_goes_over_its_parameters(tiny, crops, labels):
    grid = GridSearchCV(tuner(tiny), {"unfreeze": ["head", "conv2"]}, cv=2).fit(np.stack(crops), labels)
    assert grid.cv_results_["mean_test_score"].min() > 0.5


def test_a_grid_may_be_of_numpys_numbers(tiny, crops, labels):
    grid = {"unfreeze": np.arange(1, 3), "train_norms": np.array([True, False])}
    assert GridSearchCV(tuner(tiny, epochs=1), grid, cv=2).fit(np.stack(crops), labels).best_params_


def test_threads_get_what_they_would_get_alone(digits):
    X, y = digits

    def fit(seed):
        model = FineTuneClassifier(
            small_encoder(16, 4), unfreeze="all", augment="flip+shift", validation=None, epochs=3, learning_rate=0.01,
            random_state=seed, cache=False, verbose=0,
        )  # fmt: skip
        return model.fit(X[:40], y[:40]).encoder_.weights

    alone = [fit(seed) for seed in range(3)]
    assert Parallel(3, backend="threading")(delayed(fit)(seed) for seed in range(3)) == alone


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
    model.set_params(encoder="resnet18", weights=file)
    np.testing.assert_array_equal(model.predict_proba(crops), expected)


def test_the_encoder_that_was_given_stays_as_it_is(tiny, crops, labels):
    before = tiny.weights
    model = tuner(tiny).fit(crops, labels)
    assert featx.encoders._identity.identify(tiny.module) == before
    assert model.encoder_.weights != before


def test_only_what_is_unfrozen_changes(tiny, crops, labels):
    tuned = tuner(tiny, learning_rate=0.01).fit(crops, labels).encoder_.module
    assert torch.equal(tuned.conv1.weight, tiny.module.conv1.weight)
    assert torch.equal(tuned.norm1.running_mean, tiny.module.norm1.running_mean)
    assert not torch.equal(tuned.conv2.weight, tiny.module.conv2.weight)


def test_frozen_layers_computed_once_give_what_each_epoch_would(tiny, crops, labels):
    once, each = tuner(tiny), tuner(tiny, augment=lambda image: image)
    for model in (once, each):
        model.fit(crops, labels)
    untrained = tuner(tiny, learning_rate=1e-12).fit(crops, labels)
    for found in (lambda model: model.head_.coef_, lambda model: model.transform(crops)):
        np.testing.assert_allclose(found(once), found(each), rtol=0, atol=1e-6)
        assert abs(found(untrained) - found(each)).max() > 1e-4


def test_a_seed_decides_and_the_random_state_of_the_process_stays(tiny, crops, labels):
    state = torch.random.get_rng_state()
    weights = [tuner(tiny, random_state=seed).fit(crops, labels).encoder_.weights for seed in (0, 0, 1)]
    assert weights[0] == weights[1] != weights[2]
    assert torch.equal(state, torch.random.get_rng_state())


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


def test_a_fit_of_known_data_goes_on_from_its_checkpoint(tiny, crops, labels, tmp_path):
    first = tuner(tiny, checkpoint=tmp_path).fit(crops, labels)
    (file,) = tmp_path.iterdir()
    written = file.stat().st_mtime_ns
    again = tuner(tiny, checkpoint=tmp_path).fit(crops, labels)
    assert again.encoder_.weights == first.encoder_.weights
    assert file.stat().st_mtime_ns == written
    tuner(tiny, checkpoint=tmp_path).fit(crops, labels[::-1])
    assert len(list(tmp_path.iterdir())) == 2


class Killed(BaseException):
    """What ends a process."""


def noisy(image: torch.Tensor) -> torch.Tensor:
    """Noise, until the process is killed."""
    if noisy.images_left == 0:
        raise Killed
    noisy.images_left -= 1
    return image ^ torch.randint(0, 8, image.shape, dtype=torch.uint8)


@pytest.mark.parametrize("images", [50, 100])
def test_a_killed_fit_goes_on_as_if_nothing_had_happened(tiny, crops, labels, tmp_path, images):
    parameters = {"epochs": 4, "augment": noisy, "validation": 0.2, "learning_rate": 0.01}
    noisy.images_left = images
    with pytest.raises(Killed):
        tuner(tiny, checkpoint=tmp_path, **parameters).fit(crops, labels)
    assert len(list(tmp_path.iterdir())) == 1
    noisy.images_left = 10_000
    resumed = tuner(tiny, checkpoint=tmp_path, **parameters).fit(crops, labels)
    assert 10_000 - noisy.images_left < 4 * 32
    never_killed = tuner(tiny, **parameters).fit(crops, labels)
    assert resumed.encoder_.weights == never_killed.encoder_.weights
    assert resumed.history_["train_loss"].equals(never_killed.history_["train_loss"])


def test_an_image_encoder_brings_its_parameters_along(tiny, crops, labels, store):
    model = tuner(featx.ImageEncoder(tiny, cache=store, preprocess="crop", verbose=0)).fit(crops, labels)
    assert store.info()["rows"].sum() > 0
    assert model.to_pipeline().named_steps["encoder"].cache is store
    assert model.encoder_.preprocess.fit == "crop"
    with pytest.raises(ParameterError, match="Set it there"):
        tuner(featx.ImageEncoder(tiny), cache=False).fit(crops, labels)


@pytest.mark.parametrize("changes", [{"layers": "conv2"}, {"precision": "bfloat16"}])
def test_an_image_encoder_of_another_layer_is_refused(tiny, crops, labels, changes):
    with pytest.raises(ParameterError, match="layers=None"):
        tuner(featx.ImageEncoder(tiny, **changes)).fit(crops, labels)


def test_bad_images_are_listed(tiny, crops, labels):
    with pytest.raises(ImageErrors, match="row 0"):
        tuner(tiny).fit([b"no image", *crops[1:]], labels)


@pytest.mark.parametrize("unfreeze", ["conv2", "all"])
def test_bad_images_may_be_left_out_of_the_training(tiny, crops, labels, unfreeze):
    model = tuner(tiny, on_error="nan", on_missing="nan", unfreeze=unfreeze)
    with pytest.warns(ImageWarning):
        model.fit([b"no image", None, *crops[2:]], labels)
    alone = tuner(tiny, unfreeze=unfreeze).fit(crops[2:], labels[2:])
    np.testing.assert_allclose(model.predict_proba(crops), alone.predict_proba(crops), atol=1e-4)


@pytest.mark.parametrize("own", [True, False])
def test_where_bad_images_may_be_nan_they_are_predicted_as_the_mean_image_is(tiny, crops, labels, own):
    policies = {"on_error": "nan", "on_missing": "nan"}
    model = tuner(tiny, **policies) if own else tuner(featx.ImageEncoder(tiny, cache=False, **policies), cache=True)
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
    with pytest.warns(ImageWarning):
        scores = cross_val_score(tuner(tiny, on_error="nan", epochs=1), images, labels, cv=2, error_score="raise")
    assert np.isfinite(scores).all()


def test_one_class_is_refused(tiny, crops):
    with pytest.raises(InputError, match="one class"):
        tuner(tiny).fit(crops, ["same"] * 40)


def test_no_images_are_refused(tiny):
    with pytest.raises(InputError, match="no images"):
        tuner(tiny).fit([], [])


def test_weights_that_the_only_step_made_useless_are_said(tiny, crops, labels):
    with pytest.raises(TrainingError, match="learning_rate"):
        tuner(tiny, learning_rate=1e30, epochs=1, batch_size=64).fit(crops, labels)


def test_rows_that_weigh_nothing_are_not_validated_with(tiny, crops, labels):
    some = np.r_[0:5, 20:25]
    weights = np.zeros(40)
    weights[some] = 1
    model = tuner(tiny, validation=0.2, learning_rate=0.01).fit(crops, labels, sample_weight=weights)
    assert model.history_["validation_loss"].gt(0).all()
    alone = tuner(tiny, validation=0.2, learning_rate=0.01).fit([crops[i] for i in some], labels[some])
    np.testing.assert_allclose(model.history_["validation_loss"], alone.history_["validation_loss"], atol=1e-6)


@pytest.mark.parametrize("unfreeze", ["head", "last_block", "all"])
def test_an_encoder_that_gives_maps_is_tuned(crops, labels, unfreeze):
    torch.manual_seed(5)
    maps = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 5, 3), torch.nn.ReLU())
    encoder = featx.Encoder.from_module(maps, preprocess=featx.Preprocess(size=8))
    model = tuner(encoder, unfreeze=unfreeze, epochs=10, learning_rate=0.01)
    assert model.fit(crops, labels).head_.coef_.shape == (1, 5)
    assert model.score(crops, labels) > 0.7


def test_a_loss_that_is_no_number_is_said(tiny, crops, labels):
    with pytest.raises(TrainingError, match=r"^The loss became (nan|inf) in epoch \d+, .* Lower learning_rate="):
        tuner(tiny, learning_rate=1e30, epochs=20).fit(crops, labels)


# From random weights only the loss can know of them.
@pytest.mark.parametrize(
    "start", [{}, {"start": "random", "learning_rate": 3e-2, "epochs": 10}], ids=["probe", "random"]
)
def test_sample_weights_count(tiny, crops, labels, start):
    other = np.where(np.arange(40) % 2, labels, labels[::-1])
    weights = np.where(np.arange(40) % 2, 1.0, 1e-6)
    right, left = (
        tuner(tiny, **start).fit(crops, other, sample_weight=w).score(crops[1::2], other[1::2])
        for w in (weights, weights[::-1])  # none is zero: such rows are left out
    )
    assert right > left


def test_a_source_is_trained_with(tiny, crops, labels):
    source = (crops[::2], np.arange(20) % 3)
    model = tuner(tiny).fit(crops, labels, source=source)
    assert model.classes_.tolist() == ["china", "flower"]
    assert model.encoder_.weights != tuner(tiny).fit(crops, labels).encoder_.weights
    for wrong in (crops, (crops, labels[:5]), (crops, ["same"] * 40), ([], [])):
        with pytest.raises(InputError, match="source"):
            tuner(tiny).fit(crops, labels, source=wrong)


def test_a_source_of_much_weight_is_learned(digits):
    X, y = digits
    target = (X[:30], np.array(["a", "b"])[np.arange(30) % 2])  # nothing to be learned there
    parameters = {"start": "random", "unfreeze": "all", "train_norms": True, "verbose": 0}
    model = FineTuneClassifier(
        small_encoder(16, 4), epochs=6, learning_rate=3e-3, source_weight=10.0, validation=None, **parameters
    ).fit(*target, source=(X[30:], y[30:]))
    probe = featx.image_pipeline("logistic", encoder=model.encoder_, verbose=0).fit(X[30:90], y[30:90])
    untrained = featx.image_pipeline("logistic", encoder=small_encoder(16, 4), verbose=0).fit(X[30:90], y[30:90])
    assert probe.score(X[90:], y[90:]) > untrained.score(X[90:], y[90:])


def test_what_is_not_installed_is_named(tiny, crops, labels, monkeypatch):
    import sys

    from featx.exceptions import MissingDependencyError

    monkeypatch.setitem(sys.modules, "skorch", None)
    with pytest.raises(MissingDependencyError, match=r"featx\[finetune\]"):
        tuner(tiny).fit(crops, labels)


def test_what_comes_after_the_classifier_is_refused(crops, labels):
    soft = torch.nn.Sequential(make_tiny(), torch.nn.Softmax(1))
    with pytest.raises(ParameterError, match="after its last linear layer"):
        FineTuneClassifier(featx.Encoder.from_module(soft, preprocess=TINY), unfreeze="all").fit(crops, labels)


def test_columns_of_images_may_be_of_a_frame(files):
    import pandas as pd

    frame = pd.DataFrame({"photo": files})
    model = FineTuneRegressor(small_encoder(16, 4), epochs=1, validation=None, verbose=0)
    assert model.fit(frame, np.arange(12.0)).predict(frame).shape == (12,)
