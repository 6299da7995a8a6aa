"""What both classifiers share: labels keep their type, weights count, and the answers are those of a linear model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn import linear_model
from sklearn.datasets import load_digits, make_classification
from sklearn.exceptions import NotFittedError

from featx.exceptions import InputError
from featx.heads import SVC, LinearProbe, LogisticRegression, PrototypeClassifier
from featx.heads._linear import LinearHead

X = np.random.default_rng(0).normal(size=(30, 4)) + 4 * np.eye(4)[np.arange(30) % 3]
LARGE = [2**53, 2**53 + 1, 2**53 + 2]
of_each = pytest.mark.parametrize("head", [LinearProbe(3), PrototypeClassifier()], ids=["probe", "prototype"])
of_all = pytest.mark.parametrize(
    "head",
    [LinearProbe(3), PrototypeClassifier(), LogisticRegression(), SVC()],
    ids=["probe", "prototype", "logistic", "svc"],
)


@of_all
@pytest.mark.parametrize("dtype", ["Int64", "UInt64", "int64[pyarrow]", "int64", "object"])
def test_large_integers_stay_apart(head, dtype):
    labels = pd.Series(LARGE * 10, dtype=dtype)
    labels = labels.astype("category") if dtype == "object" else labels
    head.fit(X, labels)
    assert head.classes_.tolist() == LARGE
    assert head.classes_.dtype.kind in "iu"
    assert head.predict(X[:3]).tolist() == LARGE


@of_each
def test_a_frame_of_one_column_is_as_its_column(head):
    assert head.fit(X, pd.DataFrame({"y": pd.Series(LARGE * 10, dtype="Int64")})).classes_.tolist() == LARGE


@of_each
@pytest.mark.parametrize("dtype", ["boolean", "bool[pyarrow]"])
def test_nullable_bools_stay_bools(head, dtype):
    assert head.fit(X, pd.Series([True, False] * 15, dtype=dtype)).classes_.tolist() == [False, True]
    assert head.classes_.dtype == bool


@of_each
@pytest.mark.parametrize(
    "dtype",
    [
        "str",
        "object",
        "string[python]",
        "string[pyarrow]",
        pd.ArrowDtype(pa.string()),
        pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string())),
        pd.CategoricalDtype(["unused", "c", "b", "a"]),
    ],
    ids=str,
)
def test_texts_of_each_type_are_classes_and_unused_categories_are_ignored(head, dtype):
    head.fit(X, pd.Series(["a", "b", "c"] * 10, dtype=dtype))
    assert head.classes_.tolist() == ["a", "b", "c"]
    assert head.predict(X[:3]).tolist() == ["a", "b", "c"]


@of_all
@pytest.mark.parametrize("dtype", ["string", "Int64", "category"])
def test_a_missing_label_is_named(head, dtype):
    labels = pd.Series(([1, 2, 3] if dtype == "Int64" else ["a", "b", "c"]) * 10, dtype=dtype)
    labels[[4, 7]] = None
    with pytest.raises(InputError, match=r"no label in rows 4, 7\."):
        head.fit(X, labels)


@of_all
@pytest.mark.parametrize(
    "as_kind",
    [list, lambda labels: pa.chunked_array([pa.array(labels).dictionary_encode()])],
    ids=["list", "dictionary"],
)
def test_a_missing_label_is_none_of_the_others(head, as_kind):
    labels = np.array(["a", "b", "c"] * 10, object)
    labels[[4, 7]] = None
    with pytest.raises(InputError, match=r"no label in rows 4, 7\."):
        head.fit(X, as_kind(labels.tolist()))


def test_classes_to_come_may_be_nullable_too():
    head = PrototypeClassifier().partial_fit(X[:2], LARGE[:2], classes=pd.Series(LARGE, dtype="Int64"))
    assert head.classes_.tolist() == LARGE
    assert head.partial_fit(X[2:3], pd.Series(LARGE[2:], dtype="Int64")).predict(X[:3]).tolist() == LARGE


@of_each
def test_rows_of_weight_zero_are_ignored(head):
    y, weights = np.arange(30) % 3, np.r_[np.ones(20), np.zeros(10)]
    expected = type(head)(**head.get_params()).fit(X[:20], y[:20])
    np.testing.assert_allclose(head.fit(X, y, sample_weight=weights).coef_, expected.coef_)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_prototypes_are_weighted_means(metric):
    y, repeats = np.arange(30) % 3, np.arange(30) % 4 + 1
    head, expected = PrototypeClassifier(metric), PrototypeClassifier(metric)
    expected.fit(X.repeat(repeats, axis=0), y.repeat(repeats))
    for scale in (1, 0.01):
        head.fit(X, y, sample_weight=scale * repeats)
        np.testing.assert_allclose(head.decision_function(X), expected.decision_function(X))
        np.testing.assert_allclose(head.class_count_, scale * expected.class_count_)


def test_a_probe_weighs_losses_and_validation():
    Z, y = load_digits(n_class=3, return_X_y=True)
    Z, weights = Z[:200] / 16, np.random.default_rng(0).uniform(0.1, 5, 200)
    probe = LinearProbe([1e-4, 1e-2]).fit(Z, y[:200], sample_weight=weights)
    logistic = linear_model.LogisticRegression(C=probe.C_, max_iter=1000).fit(Z, y[:200], sample_weight=weights)
    np.testing.assert_allclose(probe.predict_proba(Z), logistic.predict_proba(Z), atol=2e-3)
    assert (probe.scores_ != LinearProbe([1e-4, 1e-2]).fit(Z, y[:200]).scores_).any()


@of_each
@pytest.mark.parametrize("weights", [[1.0], [1, -1], [np.nan, 1], [0, 0], ["a", "b"]], ids=str)
def test_weights_that_cannot_be_used_are_refused(head, weights):
    with pytest.raises(InputError, match="sample_weight"):
        head.fit(X[:2], [0, 1], sample_weight=weights)


class Linear(LinearHead):
    def fit(self, X, y):
        logistic = linear_model.LogisticRegression().fit(X, y)
        for attribute in ("coef_", "intercept_", "classes_", "n_features_in_"):
            setattr(self, attribute, getattr(logistic, attribute))
        return self


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_answers_as_logistic_regression_of_the_same_numbers(n_classes, dtype):
    X, y = make_classification(100, 10, n_informative=6, n_classes=n_classes, random_state=0)
    X, y = X.astype(dtype), np.array(["a", "b", "c"])[y]
    logistic, head = linear_model.LogisticRegression().fit(X, y), Linear().fit(X, y)
    np.testing.assert_array_equal(head.predict(X), logistic.predict(X))
    for method in ("decision_function", "predict_proba"):
        got, expected = getattr(head, method)(X), getattr(logistic, method)(X)
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_scores_of_any_size_make_probabilities():
    head = LinearProbe(Cs=[1.0]).fit([[0.0], [1.0], [2.0]], ["a", "b", "c"])
    far = head.predict_proba([[1e6], [-1e6]])
    np.testing.assert_allclose(far.sum(axis=1), 1)
    assert head.classes_[far.argmax(axis=1)].tolist() == ["c", "a"]


@of_each
def test_an_unfitted_head_is_refused(head):
    with pytest.raises(NotFittedError):
        type(head)().predict([[1.0]])
