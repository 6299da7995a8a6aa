"""A linear head answers as scikit-learn's logistic regression of the same numbers does."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from featx.heads import LinearProbe
from featx.heads._linear import LinearHead


class Linear(LinearHead):
    def fit(self, X, y):
        logistic = LogisticRegression().fit(X, y)
        for attribute in ("coef_", "intercept_", "classes_", "n_features_in_"):
            setattr(self, attribute, getattr(logistic, attribute))
        return self


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_answers_as_logistic_regression_of_the_same_numbers(n_classes, dtype):
    X, y = make_classification(100, 10, n_informative=6, n_classes=n_classes, random_state=0)
    X, y = X.astype(dtype), np.array(["a", "b", "c"])[y]
    logistic, head = LogisticRegression().fit(X, y), Linear().fit(X, y)
    np.testing.assert_array_equal(head.predict(X), logistic.predict(X))
    for method in ("decision_function", "predict_proba"):
        got, expected = getattr(head, method)(X), getattr(logistic, method)(X)
        assert got.dtype == expected.dtype == dtype
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_scores_of_any_size_make_probabilities():
    head = LinearProbe(Cs=[1.0]).fit([[0.0], [1.0], [2.0]], ["a", "b", "c"])
    far = head.predict_proba([[1e6], [-1e6]])
    np.testing.assert_allclose(far.sum(axis=1), 1)
    assert head.classes_[far.argmax(axis=1)].tolist() == ["c", "a"]


def test_unfitted_it_says_so():
    with pytest.raises(NotFittedError):
        LinearProbe().predict([[1.0]])
