"""LogME is the maximum of a density, found without computing that density."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from threadpoolctl import threadpool_info

from featx.exceptions import FeatxWarning, InputError
from featx.scores import logme_score
from featx.scores._logme import eigen, log_evidence

SHAPES = [(12, 30), (60, 7), (20, 20)]


def density(Z, y, alpha, beta):
    """The definition: a normal density with an n x n covariance."""
    covariance = np.eye(len(Z)) / beta + Z @ Z.T / alpha
    return multivariate_normal(np.zeros(len(Z)), covariance).logpdf(y)


def best_density(Z, y):
    """The density's maximum over alpha and beta, found by a method that knows no formula."""
    starts = [(0.0, 0.0), (3.0, 0.0)]
    return -min(
        minimize(
            lambda log: -density(Z, y, *np.exp(np.clip(log, -30, 30))),
            start,
            method="Nelder-Mead",
            options={"xatol": 1e-7, "fatol": 1e-10, "maxiter": 4000},
        ).fun
        for start in starts
    )


def make(n, dim, seed=0):
    """Rows of which the first column shows the class, with noise."""
    rng = np.random.default_rng(seed)
    Z, y = rng.normal(size=(n, dim)), np.arange(n) % 3
    Z[:, 0] += y
    return Z, y


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.01, 30.0), (200.0, 0.5)])
def test_the_evidence_is_the_normal_density(shape, alpha, beta):
    Z, _ = make(*shape)
    Y = np.random.default_rng(1).normal(size=(len(Z), 2))
    expected = [density(Z, y, alpha, beta) for y in Y.T]
    np.testing.assert_allclose(log_evidence(Z, Y, alpha, beta), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
def test_of_columns_that_repeat_one_another_the_evidence_is_the_density_too(shape):
    Z, y = make(*shape)
    Z = np.hstack([Z, Z[:, :1], np.zeros((len(Z), 3))])
    expected = density(Z, y, 0.3, 2.0)
    np.testing.assert_allclose(log_evidence(Z, y[:, None], 0.3, 2.0), [expected], rtol=0, atol=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
def test_of_classes_it_is_the_best_density_one_class_against_the_rest(shape):
    Z, y = make(*shape)
    expected = np.mean([best_density(Z, (y == c).astype(float)) for c in range(3)]) / len(Z)
    assert logme_score(Z, y, task="classification") == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_of_numbers_it_is_the_best_density_of_each_column(shape):
    Z, _ = make(*shape)
    rng = np.random.default_rng(2)
    Y = Z[:, :2] @ [[1, 0.5], [0, 2]] + rng.normal(size=(len(Z), 2))
    expected = np.mean([best_density(Z, y) for y in Y.T]) / len(Z)
    assert logme_score(Z, Y) == pytest.approx(expected, abs=1e-6)
    assert logme_score(Z, Y[:, 0]) == pytest.approx(best_density(Z, Y[:, 0]) / len(Z), abs=1e-6)


def test_few_whole_numbers_are_classes_unless_the_task_is_regression():
    Z, y = make(60, 7)
    numbers = logme_score(Z, y, task="regression")
    assert numbers == pytest.approx(best_density(Z, y.astype(float)) / len(Z), abs=1e-6)
    assert logme_score(Z, y) == logme_score(Z, y.astype(str)) != numbers


def test_many_whole_numbers_are_predicted_unless_the_task_is_classification():
    Z, _ = make(60, 7)
    ages = np.arange(60) % 20 + 20
    with pytest.warns(FeatxWarning, match="taken for numbers to predict") as caught:
        assert logme_score(Z, ages) == logme_score(Z, ages, task="regression")
    assert [w.filename for w in caught] == [__file__]
    assert logme_score(Z, ages, task="classification") == logme_score(Z, ages.astype(str))


def test_uninformative_embeddings_leave_the_noise_alone():
    y = np.array([0.5, -1.0, 2.0, 0.25])
    expected = -0.5 * (np.log(2 * np.pi * (y**2).mean()) + 1)
    assert logme_score(np.zeros((4, 3)), y) == pytest.approx(expected, abs=1e-12)


def test_numbers_that_are_fitted_exactly_have_a_large_evidence_that_is_finite():
    Z, _ = make(60, 7)
    exact, noisy = Z[:, 0] * 2, Z[:, 0] * 2 + np.random.default_rng(0).normal(size=60)
    assert 5 < logme_score(Z, exact) - logme_score(Z, noisy) < 50


def test_labels_that_follow_the_embeddings_have_more_evidence_than_shuffled_ones():
    for shape in SHAPES:
        Z, y = make(*shape)
        Z[:, 0] = 3 * y
        names = np.array(["a", "b", "c"])[y]
        assert logme_score(Z, names) > logme_score(Z, np.random.default_rng(0).permutation(names))


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from([(12, 30), (30, 7)]), st.floats(1e-6, 1e6))
def test_scale_rotation_order_and_names_do_not_matter(seed, shape, scale):
    Z, y = make(*shape, seed)
    rng = np.random.default_rng(seed)
    rotation, order = np.linalg.qr(rng.normal(size=(shape[1], shape[1])))[0], rng.permutation(len(y))
    names = np.array(["a", "b", "c"])[y]
    score = logme_score(Z, names)
    assert logme_score(scale * Z @ rotation, names) == pytest.approx(score, abs=1e-8)
    assert logme_score(Z[order], np.array(["c", "a", "b"])[y][order]) == pytest.approx(score, abs=1e-8)


def test_a_column_of_zeros_to_predict_is_refused():
    with pytest.raises(InputError, match="zeros only in column 1"):
        logme_score(np.eye(3), np.array([[0.5, 0], [1.5, 0], [2.5, 0]]))


@pytest.mark.parametrize("n", [1, 7, 50])
def test_the_vectors_put_the_matrix_together_again(n):
    half = np.random.default_rng(n).normal(size=(n, n))
    values, vectors = eigen(half + half.T)
    assert (np.diff(values) >= 0).all()
    np.testing.assert_allclose(vectors * values @ vectors.T, half + half.T, atol=1e-12)


def test_the_number_of_threads_is_what_it_was_before():
    before = [pool["num_threads"] for pool in threadpool_info()]
    eigen(np.eye(3))
    assert [pool["num_threads"] for pool in threadpool_info()] == before
