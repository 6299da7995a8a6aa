"""Two tasks are learned jointly: each weighs in the loss what it should, and the source's head is not kept."""

from __future__ import annotations

import numpy as np
import pytest

import featx
from featx.exceptions import ImageReadError, ImageWarning, InputError
from featx.finetune import FineTuneClassifier, FineTuneRegressor, small_encoder
from featx.finetune._data import Inputs
from featx.finetune._run import TrainingTask, make_rows, objective_of
from featx.finetune._targets import ClassTargets


def tuner(encoder, **parameters) -> FineTuneClassifier:
    return FineTuneClassifier(encoder, **{"unfreeze": "conv2", "max_epochs": 2, "verbose": 0, **parameters})


def task(n: int, classes: int, share: float = 1.0, weight: float = 1.0) -> TrainingTask:
    return TrainingTask(None, ClassTargets(np.arange(n) % classes, n, weight * (1.0 + np.arange(n))), share)


def test_each_task_has_its_outputs():
    found = objective_of([task(40, 2), task(40, 3)]).outputs
    assert found.astype(int).tolist() == [[1, 1, 0, 0, 0], [0, 0, 1, 1, 1]]


def test_the_mean_over_all_rows_is_the_weighted_sum_of_both_losses():
    tasks = [task(10, 2, weight=7.0), task(40, 3, share=0.25)]
    inputs = [Inputs(np.zeros((n, 2), np.float32), None, np.arange(n)) for n in (10, 40)]
    rows = make_rows(tasks, inputs, [np.arange(8), np.arange(40)])
    assert len(rows) == 48
    assert rows.weights[rows.tasks == 0].sum() / 48 == pytest.approx(1)
    assert rows.weights[rows.tasks == 1].sum() / 48 == pytest.approx(0.25)
    assert rows.weights[1] / rows.weights[0] == pytest.approx(2)


def test_a_source_is_trained_with(tiny, crops, labels):
    source = (crops[::2], np.arange(20) % 3)
    model = tuner(tiny).fit(crops, labels, source=source)
    assert model.classes_.tolist() == ["china", "flower"]
    assert model.encoder_.weights != tuner(tiny).fit(crops, labels).encoder_.weights
    for wrong in (crops, (crops, labels[:5]), (crops, ["same"] * 40), ([], [])):
        with pytest.raises(InputError, match="source"):
            tuner(tiny).fit(crops, labels, source=wrong)


def test_what_comes_out_is_an_encoder_with_the_targets_head(tiny, crops, labels):
    model = tuner(tiny).fit(crops, labels, source=(crops, np.arange(40) % 3))
    logits = featx.ImageEncoder(model.encoder_, layers="logits", verbose=0).transform(crops)
    assert logits.shape == (40, 2)
    decisions = model.transform(crops) @ model.head_.coef_[0] + model.head_.intercept_
    np.testing.assert_allclose(decisions, logits[:, 1] - logits[:, 0], atol=1e-4)


def test_a_source_of_much_weight_is_learned(digits):
    X, y = digits
    target = (X[:30], np.array(["a", "b"])[np.arange(30) % 2])  # nothing to be learned there
    parameters = {"head_init": "random", "unfreeze": "all", "train_batch_norm": True, "verbose": 0}
    model = FineTuneClassifier(
        small_encoder(16, 4), max_epochs=6, learning_rate=3e-3, source_weight=10.0, **parameters
    ).fit(*target, source=(X[30:], y[30:]))
    probe = featx.image_pipeline("logistic", encoder=model.encoder_, verbose=0).fit(X[30:90], y[30:90])
    untrained = featx.image_pipeline("logistic", encoder=small_encoder(16, 4), verbose=0).fit(X[30:90], y[30:90])
    assert probe.score(X[90:], y[90:]) > untrained.score(X[90:], y[90:])


def test_a_source_of_numbers_is_trained_with(digits):
    X, _ = digits
    y = X.mean(axis=(1, 2))
    model = FineTuneRegressor(small_encoder(16, 4), max_epochs=1, verbose=0)
    model.fit(X[:40], y[:40], source=(X[40:80], X[40:80, :, :2].mean(axis=2)[:, :2]))
    assert model.predict(X[:5]).shape == (5,)


def test_errors_of_the_source_name_it(crops, tiny, labels):
    with pytest.raises(ImageReadError, match=r"In source: 1 of 40.*(\n.*)*row 0"):
        tuner(tiny).fit(crops, labels, source=([b"no image", *crops[1:]], labels))
    lenient = tuner(featx.ImageEncoder(tiny, on_error="nan", verbose=0))
    with pytest.raises(InputError, match=r"In source.*class 'b'"), pytest.warns(ImageWarning):
        lenient.fit(crops, labels, source=([b"no image", *crops[1:]], ["b"] + ["a", "c", "a"] * 13))
