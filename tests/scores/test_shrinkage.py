import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from featx.scores._shrinkage import shrunk_covariance


@pytest.mark.parametrize("shape", [(200, 6), (15, 40), (2, 3), (50, 1), (1200, 30), (300, 1280)])
def test_it_is_scikit_learns(shape):
    X = np.random.default_rng(0).normal(size=shape) * np.arange(1, shape[1] + 1)
    X -= X.mean(axis=0)
    covariance, shrinkage = shrunk_covariance(X)
    expected, expected_shrinkage = ledoit_wolf(X, assume_centered=True)
    np.testing.assert_allclose(covariance, expected, rtol=1e-13, atol=1e-13 * np.abs(expected).max())
    assert shrinkage == pytest.approx(expected_shrinkage, abs=1e-13)


def test_rows_of_zeros_have_no_spread():
    for covariance, shrinkage in (shrunk_covariance(np.zeros((4, 3))), ledoit_wolf(np.zeros((4, 3)))):
        assert (covariance == 0).all()
        assert shrinkage == 0
