"""Two sets are as far apart as a model for each row finds, and the p-value holds its level."""

import numpy as np
import pytest

from featx.exceptions import InputError, ParameterError
from featx.scores import proxy_a_distance
from featx.scores._domain_distance import _standardize


def naive_error(Zs, Zt):
    """A ridge regression with an intercept for each row, from all the others."""
    Z = _standardize(np.vstack([Zs, Zt]))
    n, dim = Z.shape
    first = np.arange(n) < len(Zs)
    target = np.where(first, 1 / len(Zs), -1 / len(Zt))
    penalty = 0.1 * (Z**2).sum() / min(n, dim)
    wrong = []
    for i in range(n):
        left = np.arange(n) != i
        mean, level = Z[left].mean(axis=0), target[left].mean()
        rows = Z[left] - mean
        weights = np.linalg.solve(rows.T @ rows + penalty * np.eye(dim), rows.T @ (target[left] - level))
        wrong.append(((Z[i] - mean) @ weights + level > 0) != first[i])
    return (np.mean(np.array(wrong)[first]) + np.mean(np.array(wrong)[~first])) / 2


@pytest.mark.parametrize(("n", "m", "dim"), [(20, 20, 5), (30, 12, 4), (12, 9, 40)])
def test_the_error_is_what_a_model_for_each_row_finds(n, m, dim):
    rng = np.random.default_rng(0)
    Zs, Zt = rng.normal(size=(n, dim)), rng.normal(size=(m, dim)) + 0.4
    found = proxy_a_distance(Zs, Zt)
    assert found.error == pytest.approx(naive_error(Zs, Zt), abs=1e-12)
    assert found.distance == pytest.approx(2 * (1 - 2 * found.error))


@pytest.mark.parametrize(("n", "m", "dim"), [(30, 30, 4), (40, 15, 60)])
def test_for_sets_of_one_distribution_the_p_value_is_uniform(n, m, dim):
    rng = np.random.default_rng(1)
    drawn = [
        proxy_a_distance(rng.normal(size=(n, dim)), rng.normal(size=(m, dim)), n_permutations=99, random_state=rng)
        for _ in range(400)
    ]
    p = np.array([found.p_value for found in drawn])
    for level in (0.05, 0.1, 0.25, 0.5, 0.75):
        share = (p <= level).mean()
        slack = 3 * np.sqrt(level * (1 - level) / len(p))
        assert level - slack - 0.1 < share < level + slack  # errors are few values: ties hold p up a little
    assert abs(np.mean([found.error for found in drawn]) - 0.5) < 0.05


def test_sets_that_were_shifted_are_separated():
    rng = np.random.default_rng(0)
    Zs, Zt = rng.normal(size=(80, 20)), rng.normal(size=(60, 20))
    slight, far = proxy_a_distance(Zs, Zt + 0.3), proxy_a_distance(Zs, Zt + 3)
    assert far.distance == 2
    assert far.p_value == pytest.approx(1 / 201)
    assert slight.p_value < 0.05
    assert 0.2 < slight.distance < 2


def test_a_set_of_few_rows_is_not_outvoted():
    rng = np.random.default_rng(0)
    found = proxy_a_distance(rng.normal(size=(500, 5)), rng.normal(size=(20, 5)))
    assert 0.3 < found.error < 0.7  # the larger set's name for all rows would be wrong on half


def test_constant_embeddings_cannot_be_separated():
    assert proxy_a_distance(np.full((9, 3), 0.1), np.full((5, 3), 0.1)) == (0, 1, 0.5)


def test_neither_the_order_of_the_sets_nor_the_scale_matters():
    rng = np.random.default_rng(0)
    Zs, Zt = rng.normal(size=(30, 4)), rng.normal(size=(20, 4)) + 0.5
    found = proxy_a_distance(Zs, Zt)
    assert proxy_a_distance(Zt, Zs).error == pytest.approx(found.error)
    assert proxy_a_distance(Zs * 1e150, Zt * 1e150) == pytest.approx(found)
    assert proxy_a_distance(Zs, Zt) == found


@pytest.mark.parametrize(
    ("Zs", "Zt", "message"),
    [
        (np.eye(3), np.eye(4), "as many columns"),
        (np.eye(3), np.ones((1, 3)), "2 rows or more in each"),
        (np.eye(3), np.array([[1, np.nan, 0]] * 2), r"target_embeddings with NaN or infinity in 2 of 2 rows"),
    ],
)
def test_sets_that_cannot_be_compared_are_refused(Zs, Zt, message):
    with pytest.raises(InputError, match=message):
        proxy_a_distance(Zs, Zt)


@pytest.mark.parametrize("n", [0, 1.5, True])
def test_an_invalid_number_of_permutations_is_refused(n):
    with pytest.raises(ParameterError, match="Got n_permutations="):
        proxy_a_distance(np.eye(3), np.eye(3), n_permutations=n)


@pytest.mark.parametrize(("n", "dim"), [(30, 1000), (100, 1280), (200, 20)])
def test_sets_of_one_source_are_separated_no_better_than_by_chance(n, dim):
    rng = np.random.default_rng(0)
    errors = [proxy_a_distance(*rng.normal(size=(2, n, dim)), n_permutations=1).error for _ in range(20)]
    assert np.mean(errors) == pytest.approx(0.5, abs=0.05)
