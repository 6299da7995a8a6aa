"""Embeddings come out at length one, by the formulas that the docstring gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.covariance import LedoitWolf
from sklearn.datasets import load_digits

from featx.exceptions import UnknownNameError
from featx.heads import EmbeddingNormalizer
from tests.estimators import checks_of

METHODS = ("cl2n", "power", "whiten")
of_each = pytest.mark.parametrize("method", METHODS)
tables = arrays.arrays(
    st.sampled_from([np.float32, np.float64]), st.tuples(st.integers(2, 8), st.integers(1, 5)),
    elements=st.floats(-1000, 1000, width=16),
)  # fmt: skip


@checks_of(*(EmbeddingNormalizer(method) for method in METHODS))
def test_it_is_an_estimator_of_scikit_learn(estimator, check):
    check(estimator)


@of_each
@given(X=tables)
def test_rows_have_length_one_or_zero_and_keep_their_dtype(method, X):
    Z = EmbeddingNormalizer(method).fit_transform(X)
    assert (Z.shape, Z.dtype) == (X.shape, X.dtype)
    lengths = np.linalg.norm(Z, axis=1)
    assert (np.isclose(lengths, 1, atol=1e-5) | (lengths == 0)).all()


@given(X=tables)
def test_the_signed_root_keeps_signs_and_forgets_scale(X):
    power = EmbeddingNormalizer("power").fit(X)
    Z = power.transform(X)
    np.testing.assert_array_equal(np.sign(Z), np.sign(X))
    np.testing.assert_allclose(power.transform(4 * X), Z, rtol=1e-5)
    sizes = np.abs(X).sum(axis=1, keepdims=True, dtype=np.float64)
    np.testing.assert_allclose(Z * np.abs(Z) * sizes, X, rtol=1e-4)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X.astype(np.float32), y


def test_cl2n_is_less_the_training_mean_over_the_length(digits):
    X, _ = digits
    step = EmbeddingNormalizer().fit(X[:100])
    centred = X[100:] - X[:100].mean(axis=0)
    expected = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    np.testing.assert_allclose(step.transform(X[100:]), expected, atol=1e-6)


def test_whitening_is_the_inverse_root_of_ledoit_and_wolfs_covariance(digits):
    X = digits[0][:40]  # fewer rows than dimensions
    step = EmbeddingNormalizer("whiten").fit(X)
    covariance = LedoitWolf().fit(X).covariance_
    np.testing.assert_allclose(step.whitening_ @ covariance @ step.whitening_, np.eye(64), atol=1e-4)
    np.testing.assert_allclose(step.whitening_, step.whitening_.T, atol=1e-10)


@of_each
def test_what_is_zero_stays_zero(method):
    X = np.zeros((5, 3), np.float32)
    np.testing.assert_array_equal(EmbeddingNormalizer(method).fit_transform(X), X)


@of_each
def test_another_fit_forgets_the_first(method, digits):
    X = digits[0]
    again = EmbeddingNormalizer("whiten").fit(X[:50] + 1).set_params(method=method).fit(X)
    once = EmbeddingNormalizer(method).fit(X)
    assert vars(again).keys() == vars(once).keys()
    np.testing.assert_array_equal(again.transform(X), once.transform(X))


@pytest.mark.parametrize("method", ["cl2n", "whiten"])
def test_where_the_origin_lies_and_how_long_rows_are_does_not_matter(method, digits):
    X = digits[0].astype(float)
    expected = EmbeddingNormalizer(method).fit(X[:100]).transform(X[100:])
    moved = EmbeddingNormalizer(method).fit(3 * X[:100] + 100).transform(3 * X[100:] + 100)
    np.testing.assert_allclose(moved, expected, atol=1e-9)


def test_columns_keep_their_names():
    step = EmbeddingNormalizer().fit(np.eye(2))
    assert step.get_feature_names_out(["a", "b"]).tolist() == ["a", "b"]
    assert step.set_output(transform="pandas").transform(np.eye(2)).columns.tolist() == ["x0", "x1"]


def test_an_unknown_method_is_named():
    with pytest.raises(UnknownNameError, match=r"method 'cl2m'\. Did you mean 'cl2n'"):
        EmbeddingNormalizer("cl2m").fit(np.eye(2))
