import pickle

import numpy as np
import pytest
from sklearn import linear_model
from sklearn.base import clone
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from featx.heads import LogisticRegression
from tests.test_blas import blas_threads

X, Y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)


@pytest.mark.parametrize("parameters", [{"C": 0.01}, {"C": 1.0, "class_weight": "balanced"}, {"solver": "newton-cg"}])
@pytest.mark.parametrize("n_classes", [2, 10])
def test_a_fit_is_scikit_learns_own_with_one_thread(parameters, n_classes):
    rows = n_classes > Y
    weights = np.random.default_rng(0).uniform(0.5, 2, rows.sum())
    ours = LogisticRegression(max_iter=1000, **parameters).fit(X[rows], Y[rows], weights)
    with threadpool_limits(1, user_api="blas"):
        theirs = linear_model.LogisticRegression(max_iter=1000, **parameters).fit(X[rows], Y[rows], weights)
    for name in ("classes_", "coef_", "intercept_", "n_iter_"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_it_is_fitted_with_one_thread_and_the_process_has_its_own_number_again():
    seen = []

    class Recorder(dict):  # scikit-learn asks a class_weight in the midst of a fit
        def __contains__(self, key):
            seen.append(blas_threads())
            return super().__contains__(key)

    with threadpool_limits(3, user_api="blas"):
        if blas_threads() != {3}:
            pytest.skip("this BLAS has no threads to set")
        LogisticRegression(class_weight=Recorder({0: 1.0, 1: 2.0})).fit(X[Y < 2], Y[Y < 2])
        assert seen
        assert set(map(frozenset, seen)) == {frozenset({1})}
        assert blas_threads() == {3}


def test_it_is_one_of_scikit_learns():
    model = LogisticRegression(C=0.1)
    assert isinstance(model, linear_model.LogisticRegression)
    assert clone(model).get_params() == model.get_params() == linear_model.LogisticRegression(C=0.1).get_params()
    fitted = model.fit(X, Y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict_proba(X), fitted.predict_proba(X))
