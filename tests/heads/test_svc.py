import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import svm
from sklearn.base import clone
from sklearn.datasets import load_digits

from featx.heads import SVC, _svc

X, Y = load_digits(return_X_y=True)
X = X / 16
TRAIN, TEST = slice(400), slice(400, 700)


def both(y=Y, weights=None, **parameters):
    return [kind(**parameters).fit(X[TRAIN], y[TRAIN], weights) for kind in (SVC, svm.SVC)]


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"C": 100.0, "gamma": 0.01},
        {"gamma": "auto", "class_weight": "balanced"},
        {"decision_function_shape": "ovo"},
        {"break_ties": True},
        {"C": 0.01, "shrinking": False, "tol": 1e-5},
    ],
    ids=str,
)
@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_a_fit_and_its_answers_are_scikit_learns(parameters, n_classes):
    ours, theirs = both(Y % n_classes, **parameters)
    for name in ("support_", "n_support_", "support_vectors_", "classes_", "shape_fit_"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    for name in ("dual_coef_", "intercept_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(ours.predict(X[TEST]), theirs.predict(X[TEST]))
    np.testing.assert_allclose(ours.decision_function(X[TEST]), theirs.decision_function(X[TEST]), atol=1e-6)


def test_weights_count():
    weights = np.random.default_rng(0).uniform(0, 2, 400)
    ours, theirs = both(weights=weights, C=0.1)
    np.testing.assert_array_equal(ours.support_, theirs.support_)
    np.testing.assert_array_equal(ours.predict(X[TEST]), theirs.predict(X[TEST]))
    assert (ours.predict(X[TEST]) != SVC(C=0.1).fit(X[TRAIN], Y[TRAIN]).predict(X[TEST])).any()


def test_probabilities_are_scikit_learns():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # scikit-learn advises against probability=True
        ours, theirs = both(probability=True, random_state=0)
    np.testing.assert_allclose(ours.predict_proba(X[TEST]), theirs.predict_proba(X[TEST]), atol=1e-6)


@settings(max_examples=30)
@given(
    n=st.integers(4, 60),
    dim=st.integers(1, 90),
    k=st.integers(2, 4),
    offset=st.sampled_from([0, 3, 100]),
    seed=st.integers(0, 99),
)
def test_labels_are_scikit_learns_wherever_the_decision_is_no_tie(n, dim, k, offset, seed):
    random = np.random.default_rng(seed)
    data, y = random.normal(size=(n, dim)) + offset, np.arange(n) % k
    new = random.normal(size=(20, dim)) + offset
    ours, theirs = (kind(decision_function_shape="ovo").fit(data, y) for kind in (SVC, svm.SVC))
    decision = np.abs(theirs.decision_function(new).reshape(20, -1)).min(axis=1)
    sure = decision > 1e-3  # the tolerance of both solvers
    np.testing.assert_array_equal(ours.predict(new)[sure], theirs.predict(new)[sure])


def test_blocks_of_rows_are_put_together_in_order(monkeypatch):
    ours = SVC().fit(X[TRAIN], Y[TRAIN])
    whole = ours.decision_function(X[TEST])
    monkeypatch.setattr(_svc, "_BLOCK", 8 * 400 * 7)
    np.testing.assert_allclose(ours.decision_function(X[TEST]), whole, atol=1e-12)
    assert ours.predict(X[400:401]).shape == (1,)


def test_too_many_rows_are_left_to_libsvm(monkeypatch):
    monkeypatch.setattr(_svc, "_LARGEST_KERNEL", 8 * 399**2)
    monkeypatch.setattr(_svc, "rbf_kernel", None)
    ours, theirs = both()
    np.testing.assert_array_equal(ours.dual_coef_, theirs.dual_coef_)


@pytest.mark.parametrize(
    "kernel", ["linear", "poly", "sigmoid", lambda a, b: a @ b.T], ids=["linear", "poly", "sigmoid", "own"]
)
def test_other_kernels_are_scikit_learns(kernel, monkeypatch):
    monkeypatch.setattr(_svc, "rbf_kernel", None)
    ours, theirs = both(kernel=kernel)
    np.testing.assert_array_equal(ours.decision_function(X[TEST]), theirs.decision_function(X[TEST]))
    np.testing.assert_array_equal(ours.predict(X[TEST]), theirs.predict(X[TEST]))


def test_sparse_rows_are_scikit_learns():
    ours, theirs = (kind().fit(scipy.sparse.csr_matrix(X[TRAIN]), Y[TRAIN]) for kind in (SVC, svm.SVC))
    np.testing.assert_array_equal(
        ours.predict(scipy.sparse.csr_matrix(X[TEST])), theirs.predict(scipy.sparse.csr_matrix(X[TEST]))
    )


def test_it_is_one_of_scikit_learns():
    model = SVC(C=3.0)
    assert isinstance(model, svm.SVC)
    assert clone(model).get_params() == model.get_params() == svm.SVC(C=3.0).get_params()
    fitted = model.fit(X[TRAIN], Y[TRAIN])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(X[TEST]), fitted.predict(X[TEST]))
    with pytest.raises(ValueError, match="63 features"):
        fitted.predict(X[TEST, :63])
