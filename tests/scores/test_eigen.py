import numpy as np
import pytest
from threadpoolctl import threadpool_info

from featx.scores._eigen import eigen


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
