"""Neighbors vote as scikit-learn lets them, row by row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from featx.exceptions import InputError, ParameterError
from featx.scores import _knn, knn_score


def leave_one_out(Z, y, k, temperature):
    """Each row predicted by scikit-learn from the others."""
    right = []
    for i in range(len(Z)):
        others = np.arange(len(Z)) != i
        model = KNeighborsClassifier(
            k, metric="cosine", algorithm="brute", weights=lambda distance: np.exp((1 - distance) / temperature)
        )
        right.append(model.fit(Z[others], y[others]).predict(Z[i : i + 1])[0] == y[i])
    return np.mean(right)


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (7, 0.07), (20, 1.0)])
def test_it_is_what_scikit_learn_finds_row_by_row(k, temperature):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 80)
    Z = rng.normal(size=(80, 5)) + np.eye(5)[y]
    assert knn_score(Z, y, k, temperature) == pytest.approx(leave_one_out(Z, y, k, temperature), abs=1e-12)


def test_blocks_do_not_change_it(monkeypatch):
    Z, y = load_digits(return_X_y=True)
    Z, y = Z[:301], y[:301]
    whole = knn_score(Z, y)
    monkeypatch.setattr(_knn, "_BLOCK", 1000)
    assert knn_score(Z, y) == whole


def test_more_neighbors_than_rows_are_all_the_others():
    Z = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]])
    assert knn_score(Z, [0, 0, 1, 1], n_neighbors=99) == knn_score(Z, [0, 0, 1, 1], n_neighbors=3) == 1


def test_of_equally_near_rows_each_votes():
    # The third is as near to the first as to the second, whichever comes first.
    Z, y = np.array([[1.0, 0], [0, 1.0], [1.0, 1.0]]), ["a", "b", "a"]
    assert knn_score(Z, y, n_neighbors=1) == knn_score(Z[::-1], y[::-1], n_neighbors=1) == pytest.approx(0.5)


def test_a_small_temperature_does_not_overflow():
    Z, y = load_digits(return_X_y=True)
    assert knn_score(Z[:200], y[:200], temperature=1e-5) == pytest.approx(
        knn_score(Z[:200], y[:200], n_neighbors=1), abs=0.01
    )


def test_constant_embeddings_vote_for_the_larger_class():
    assert knn_score(np.ones((10, 3)), [0] * 6 + [1] * 4) == 0.6


@given(st.integers(0, 10_000), st.floats(1e-6, 1e6))
def test_length_rotation_order_and_names_do_not_matter(seed, length):
    rng = np.random.default_rng(seed)
    y, Z = np.arange(30) % 3, rng.normal(size=(30, 4))
    rotation, order = np.linalg.qr(rng.normal(size=(4, 4)))[0], rng.permutation(30)
    changed = (Z * length * rng.uniform(0.5, 2, (30, 1))) @ rotation
    score = knn_score(Z, y, 5)
    assert knn_score(changed, y, 5) == pytest.approx(score, abs=1e-12)
    assert knn_score(Z[order], np.array(["c", "a", "b"])[y][order], 5) == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize(
    "parameters",
    [{"n_neighbors": 0}, {"n_neighbors": 2.5}, {"n_neighbors": True}, {"temperature": 0}, {"temperature": "a"}],
)
def test_invalid_parameters_are_refused(parameters):
    with pytest.raises(ParameterError, match=r"Got (n_neighbors|temperature)="):
        knn_score(np.eye(4), [0, 0, 1, 1], **parameters)


def test_rows_of_one_group_do_not_vote():
    rng = np.random.default_rng(0)
    y, groups = rng.integers(0, 3, 80), rng.integers(0, 12, 80)
    Z = rng.normal(size=(80, 5)) + np.eye(5)[y] + 2 * rng.normal(size=(12, 5))[groups]
    right = []
    for i in range(80):
        left = groups != groups[i]
        model = KNeighborsClassifier(
            7, metric="cosine", algorithm="brute", weights=lambda distance: np.exp((1 - distance) / 0.07)
        )
        right.append(model.fit(Z[left], y[left]).predict(Z[i : i + 1])[0] == y[i])
    assert knn_score(Z, y, 7, groups=groups) == pytest.approx(np.mean(right), abs=1e-12)


def test_copies_in_one_group_do_not_help():
    rng = np.random.default_rng(0)
    Z, y = rng.normal(size=(50, 20)), np.arange(50) % 2
    rows = np.tile(np.arange(50), 2)
    assert knn_score(Z[rows], y[rows], n_neighbors=1) == 1
    assert knn_score(Z[rows], y[rows], n_neighbors=1, groups=rows) == pytest.approx(knn_score(Z, y, n_neighbors=1))


def test_a_large_group_has_fewer_neighbors():
    Z = np.array([[1, 0], [0.9, 0.1], [0.8, 0.2], [1, 0.1], [0, 1]])
    score = knn_score(Z, ["a", "a", "a", "a", "b"], n_neighbors=4, groups=[0, 0, 0, 1, 2])
    assert score == knn_score(Z, ["a", "a", "a", "a", "b"], n_neighbors=2, groups=[0, 0, 0, 1, 2])


def test_a_missing_group_stands_alone():
    Z, y = load_digits(return_X_y=True)
    assert knn_score(Z[:100], y[:100], groups=[None] * 50 + [np.nan] * 50) == knn_score(Z[:100], y[:100])


@pytest.mark.parametrize(("groups", "message"), [([1, 2], r"groups of shape \(2,\) for 4"), ([7] * 4, "one group, 7")])
def test_groups_that_cannot_be_used_are_refused(groups, message):
    with pytest.raises(InputError, match=message):
        knn_score(np.eye(4), [0, 0, 1, 1], groups=groups)
