"""Labels become numbers, and heads become scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest

from featx.exceptions import InputError
from featx.finetune._classes import Classes


def test_one_class_is_refused():
    with pytest.raises(InputError, match="one class"):
        Classes(["a", "a"], 2)


def test_numbers_are_another_estimators():
    with pytest.raises(InputError, match="FineTuneRegressor"):
        Classes([0.5, 1.5], 2)


@pytest.mark.parametrize("weights", [{"a": -1}, {"a": np.nan}, {"a": 0, "b": 0}, "balance", {"c": 1}], ids=str)
def test_weights_of_classes_that_are_none_are_refused(weights):
    with pytest.raises(InputError, match="class_weight"):
        Classes(["a", "b"], 2, weights)


def test_balanced_weights_give_each_class_the_same_sum():
    labels = Classes(["a"] * 9 + ["b"], 10, "balanced")
    assert labels.weights[:9].sum() == pytest.approx(labels.weights[9])


def test_a_class_without_a_usable_image_is_refused():
    with pytest.raises(InputError, match="'b'"):
        Classes(["a", "b"], 2).check(np.array([0]))


def test_of_each_class_some_are_held_out():
    labels = Classes(["a"] * 20 + ["b"] * 10 + ["c"], 31)
    held_out = labels.hold_out(np.arange(31), 0.2, np.random.RandomState(0))
    assert np.bincount(labels.targets[held_out], minlength=3).tolist() == [4, 2, 0]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_probe_as_a_head_predicts_what_its_outputs_say(n_classes):
    random = np.random.default_rng(0)
    y = np.array(list("abc"))[np.arange(60) % n_classes]
    Z = random.normal(size=(60, 4)) + 3 * np.eye(4)[np.arange(60) % n_classes]
    labels = Classes(y, 60)
    coef, intercept = labels.probe(Z, np.arange(60), np.ones(60))
    assert coef.shape == (n_classes, 4)
    outputs = np.exp(Z @ coef.T + intercept)
    head = labels.head(coef, intercept)
    np.testing.assert_allclose(head.predict_proba(Z), outputs / outputs.sum(1, keepdims=True), atol=1e-9)
    assert head.score(Z, y) > 0.9


def test_targets_begin_where_their_outputs_do():
    assert Classes(["b", "a"], 2).at(3, 5).tolist() == [4, 3]
