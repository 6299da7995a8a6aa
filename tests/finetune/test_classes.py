"""Labels become numbers, and heads become scikit-learn's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

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


def test_balanced_weights_sum_the_rows_weights_as_logistic_regression_does():
    y, weights = np.array(["a"] * 9 + ["b"] * 3 + ["c"] * 4), np.linspace(0.1, 4, 16)
    labels = Classes(y, 16, "balanced", weights)
    assert [labels.weights[y == name].sum() for name in "abc"] == pytest.approx([weights.sum() / 3] * 3)
    Z = np.random.default_rng(0).normal(size=(16, 3)) + np.eye(3)[labels.targets]
    balanced = LogisticRegression(class_weight="balanced").fit(Z, y, sample_weight=weights)
    given = LogisticRegression().fit(Z, y, sample_weight=labels.weights)
    np.testing.assert_allclose(given.coef_, balanced.coef_, atol=1e-4)


def test_weights_of_classes_multiply_those_of_rows():
    labels = Classes(["a", "a", "b"], 3, {"a": 2, "b": 3}, [1.0, 0.5, 2.0])
    assert labels.weights.tolist() == [2, 1, 6]


def test_a_class_of_weight_zero_is_named_also_where_weights_are_balanced():
    labels = Classes(["a", "b"], 2, "balanced", [1.0, 0.0])
    with pytest.raises(InputError, match="'b'"):
        labels.check(np.flatnonzero(labels.weights))


@pytest.mark.parametrize(
    ("dtype", "classes"),
    [
        ("Int64", [2**53, 2**53 + 1]),
        ("int64[pyarrow]", [2**53, 2**53 + 1]),
        ("boolean", [False, True]),
        ("string[python]", ["a", "b"]),
        ("string[pyarrow]", ["a", "b"]),
        (pd.ArrowDtype(pa.string()), ["a", "b"]),
        (pd.CategoricalDtype(["unused", "b", "a"]), ["a", "b"]),
    ],
    ids=str,
)
def test_labels_of_pandas_stay_what_they_are(dtype, classes):
    labels = Classes(pd.Series(classes * 2, dtype=dtype), 4)
    assert labels.classes.tolist() == classes
    assert labels.targets.tolist() == [0, 1, 0, 1]


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
