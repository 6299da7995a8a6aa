"""Labels and numbers become targets, and heads become scikit-learn's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from featx.exceptions import InputError
from featx.finetune._targets import ClassTargets, RegressionTargets, fit_probe


def test_one_class_is_refused():
    with pytest.raises(InputError, match="one class"):
        ClassTargets(["a", "a"], 2)


def test_continuous_values_are_for_another_estimator():
    with pytest.raises(InputError, match="FineTuneRegressor"):
        ClassTargets([0.5, 1.5], 2)


@pytest.mark.parametrize("weights", [{"a": -1}, {"a": np.nan}, {"a": 0, "b": 0}, "balance", {"c": 1}], ids=str)
def test_invalid_class_weights_are_refused(weights):
    with pytest.raises(InputError, match="class_weight"):
        ClassTargets(["a", "b"], 2, class_weight=weights)


def test_balanced_weights_give_each_class_the_same_sum():
    targets = ClassTargets(["a"] * 9 + ["b"], 10, class_weight="balanced")
    assert targets.weights[:9].sum() == pytest.approx(targets.weights[9])


def test_balanced_weights_sum_the_rows_weights_as_logistic_regression_does():
    y, weights = np.array(["a"] * 9 + ["b"] * 3 + ["c"] * 4), np.linspace(0.1, 4, 16)
    targets = ClassTargets(y, 16, weights, "balanced")
    assert [targets.weights[y == name].sum() for name in "abc"] == pytest.approx([weights.sum() / 3] * 3)
    Z = np.random.default_rng(0).normal(size=(16, 3)) + np.eye(3)[targets.values]
    balanced = LogisticRegression(class_weight="balanced").fit(Z, y, sample_weight=weights)
    given = LogisticRegression().fit(Z, y, sample_weight=targets.weights)
    np.testing.assert_allclose(given.coef_, balanced.coef_, atol=1e-4)


def test_weights_of_classes_multiply_those_of_rows():
    targets = ClassTargets(["a", "a", "b"], 3, [1.0, 0.5, 2.0], {"a": 2, "b": 3})
    assert targets.weights.tolist() == [2, 1, 6]


def test_a_class_of_weight_zero_is_named_also_where_weights_are_balanced():
    targets = ClassTargets(["a", "b"], 2, [1.0, 0.0], "balanced")
    with pytest.raises(InputError, match="'b'"):
        targets.check_usable(np.flatnonzero(targets.weights))


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
    targets = ClassTargets(pd.Series(classes * 2, dtype=dtype), 4)
    assert targets.classes.tolist() == classes
    assert targets.values.tolist() == [0, 1, 0, 1]


def test_a_class_without_a_usable_image_is_refused():
    with pytest.raises(InputError, match="'b'"):
        ClassTargets(["a", "b"], 2).check_usable(np.array([0]))


def test_some_of_each_class_are_held_out():
    targets = ClassTargets(["a"] * 20 + ["b"] * 10 + ["c"], 31)
    held_out = targets.hold_out(np.arange(31), 0.2, np.random.RandomState(0))
    assert np.bincount(targets.values[held_out], minlength=3).tolist() == [4, 2, 0]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_probe_as_a_head_predicts_the_softmax_of_its_outputs(n_classes):
    random = np.random.default_rng(0)
    y = np.array(list("abc"))[np.arange(60) % n_classes]
    Z = random.normal(size=(60, 4)) + 3 * np.eye(4)[np.arange(60) % n_classes]
    targets = ClassTargets(y, 60)
    coef, intercept = targets.fit_probe(Z, np.arange(60))
    assert coef.shape == (n_classes, 4)
    outputs = np.exp(Z @ coef.T + intercept)
    head = targets.make_head(coef, intercept)
    np.testing.assert_allclose(head.predict_proba(Z), outputs / outputs.sum(1, keepdims=True), atol=1e-9)
    assert head.score(Z, y) > 0.9


def test_targets_begin_where_their_outputs_do():
    assert ClassTargets(["b", "a"], 2).encode(3, 5).tolist() == [4, 3]


def test_numbers_have_mean_0_and_variance_1():
    values = RegressionTargets([[10.0, 1.0], [20.0, 5.0], [60.0, 3.0]], 3).values
    np.testing.assert_allclose(values.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(values.std(0), 1, atol=1e-6)


@pytest.mark.parametrize("columns", [0, 1, 2])
def test_a_head_predicts_in_the_units_of_y(columns):
    Z = np.random.default_rng(0).normal(size=(50, 3))
    y = 100 + 7 * Z[:, 0] if columns == 0 else 100 + 7 * Z[:, :columns]
    targets = RegressionTargets(y, 50)
    exact = np.linalg.lstsq(np.column_stack([Z, np.ones(50)]), targets.values, rcond=None)[0]
    head = targets.make_head(exact[:3].T, exact[3])
    np.testing.assert_allclose(head.predict(Z), y, atol=1e-3)


def test_the_metric_is_the_mean_absolute_error_in_the_units_of_y():
    targets = RegressionTargets([0.0, 10.0], 2)
    assert targets.metric(torch.zeros(2, 1), torch.from_numpy(targets.values)) == pytest.approx(5)


def test_one_value_is_refused():
    with pytest.raises(InputError, match="one value"):
        RegressionTargets([1.0, 1.0], 2)


def test_padded_numbers_lie_in_their_columns():
    padded = RegressionTargets([0.0, 2.0], 2).encode(1, 3)
    assert padded.tolist() == [[0, -1, 0], [0, 1, 0]]


def test_a_probe_is_for_the_embeddings_as_they_are():
    random = np.random.default_rng(0)
    Z = 5 + 3 * random.normal(size=(60, 4))
    y = np.argmax(Z[:, :3], axis=1)
    model = LogisticRegression()
    coef, intercept = fit_probe(model, Z, y, np.ones(60))
    given = model.decision_function((Z - Z.mean(0)) / np.sqrt(Z.var(0).mean()))
    np.testing.assert_allclose(Z @ coef.T + intercept, given, atol=1e-8)


def test_a_column_that_hardly_varies_gets_no_large_weight():
    random = np.random.default_rng(0)
    y = np.arange(100) % 2
    Z = np.column_stack([random.normal(size=100) + y, 1e-3 * (random.normal(size=100) + y)])
    coef, _ = fit_probe(LogisticRegression(), Z, y, np.ones(100))
    assert abs(coef[0, 1]) < abs(coef[0, 0])


def test_weights_of_rows_count():
    Z, y = np.array([[0.0], [1.0], [1.0]]), np.array([0, 0, 1])
    heavy = [fit_probe(LogisticRegression(), Z, y, np.array([1, 1, w]))[1][0] for w in (1.0, 100.0)]
    assert heavy[1] > heavy[0]


def test_embeddings_that_are_all_the_same_do_no_harm():
    coef, _ = fit_probe(LogisticRegression(), np.ones((4, 2)), np.array([0, 0, 1, 1]), np.ones(4))
    assert coef == pytest.approx(np.zeros((1, 2)))
