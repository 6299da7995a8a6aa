import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf

from featx.scores import hscore


def naive(Z, y):
    """Sums written out, entry by entry."""
    n, dim = Z.shape
    shrunk, alpha = ledoit_wolf(Z)
    between = np.zeros((dim, dim))
    for i in range(n):
        mean = np.mean([Z[j] for j in range(n) if y[j] == y[i]], axis=0) - Z.mean(axis=0)
        for a in range(dim):
            for b in range(dim):
                between[a, b] += mean[a] * mean[b] / n
    return np.trace(np.linalg.pinv(shrunk) @ ((1 - alpha) * between))


@pytest.mark.parametrize("shape", [(40, 5), (12, 20)])
def test_it_is_the_formula_written_out(shape):
    rng = np.random.default_rng(0)
    y = np.arange(shape[0]) % 4
    Z = rng.normal(size=shape) * 3 + y[:, None]
    assert hscore(Z, y) == pytest.approx(naive(Z, y), rel=1e-9)


def test_it_is_zero_for_constant_embeddings_and_near_the_classes_less_one_for_perfect_ones():
    y = np.arange(300) % 3
    assert hscore(np.full((300, 4), 0.1), y) == 0
    Z = 9 * np.eye(3)[y] + np.random.default_rng(0).normal(size=(300, 3)) * 0.1
    assert 1.9 < hscore(Z, y) <= 2


@given(st.integers(0, 10_000), st.sampled_from([(12, 20), (40, 5)]), st.floats(1e-6, 1e6))
def test_scale_place_rotation_order_and_names_do_not_matter(seed, shape, scale):
    rng = np.random.default_rng(seed)
    y = np.arange(shape[0]) % 3
    Z = rng.normal(size=shape) + y[:, None]
    rotation, order = np.linalg.qr(rng.normal(size=(shape[1], shape[1])))[0], rng.permutation(len(y))
    score = hscore(Z, y)
    assert 0 <= score <= 2
    assert hscore(scale * (Z @ rotation + 2), y) == pytest.approx(score, abs=1e-7)
    assert hscore(Z[order], np.array(["c", "a", "b"])[y][order]) == pytest.approx(score, abs=1e-9)
