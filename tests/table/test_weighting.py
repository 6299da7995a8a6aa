"""The weight of a photo: 0 where it tells nothing, and where it tells no more than which rows are related."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeRegressor

from featx.table._weighting import WEIGHTS, _smallest_within_error, apart, by_groups, choose_weights

N = 200


def draw(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """Three columns of a table, ten of a photo, nothing in common."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, 3)), rng.normal(size=(N, 10)) / np.sqrt(10), rng


def block_of(rows: np.ndarray):
    return lambda train, test: (rows[train], rows[test])


def random_folds(n: int = N) -> list:
    return list(KFold(5, shuffle=True, random_state=0).split(np.empty(n)))


@pytest.mark.parametrize("seed", range(5))
def test_a_photo_that_tells_nothing_has_no_weight(seed):
    table, photo, rng = draw(seed)
    y = table.sum(axis=1) + rng.normal(size=N)
    assert choose_weights(table, [block_of(photo)], y, Ridge(), apart(photo, 0)) == [0.0]


def test_a_photo_that_tells_all_has_a_weight_and_a_useless_one_beside_it_none():
    table, photo, rng = draw()
    y = 3 * photo[:, 0] + 0.1 * rng.normal(size=N)
    noise = rng.normal(size=(N, 10))
    first, second = choose_weights(table, [block_of(photo), block_of(noise)], y, Ridge(), apart(photo, 0))
    assert first >= 1
    assert second == 0


def test_without_a_table_a_photo_that_tells_nothing_still_has_the_least_weight():
    _, photo, rng = draw()
    assert choose_weights(None, [block_of(photo)], rng.normal(size=N), Ridge(), apart(photo, 0)) == [WEIGHTS[1]]


@pytest.mark.parametrize("seed", range(3))
def test_a_photo_that_only_tells_related_rows_apart_has_no_weight(seed):
    """Rows of one family look alike and share a number that no photo tells: random folds are fooled."""
    table, _, rng = draw(seed)
    family = rng.integers(40, size=N)
    photo = rng.normal(size=(40, 30))[family] + 0.1 * rng.normal(size=(N, 30))
    photo /= np.sqrt(photo.var(axis=0).sum())
    y = table.sum(axis=1) + 2 * rng.normal(size=40)[family]
    assert choose_weights(table, [block_of(photo)], y, Ridge(), random_folds())[0] > 0
    assert choose_weights(table, [block_of(photo)], y, Ridge(), apart(photo, 0)) == [0.0]
    assert choose_weights(table, [block_of(photo)], y, Ridge(), by_groups(family)) == [0.0]


def test_copies_are_on_one_side_of_every_fold():
    _, photo, _ = draw()
    rows = np.repeat(photo[:40], 5, axis=0)
    copy = np.repeat(np.arange(40), 5)
    folds = apart(rows, 0)
    assert len(folds) == 10
    assert all(not np.intersect1d(copy[train], copy[test]).size for train, test in folds)


@pytest.mark.parametrize(("n", "n_folds"), [(1, 0), (2, 4), (4, 8), (30, 10)])
def test_few_rows_have_fewer_folds(n, n_folds):
    assert len(apart(draw()[1][:n], 0)) == n_folds


class Counting(Ridge):
    fits = 0

    def fit(self, X, y, sample_weight=None):
        Counting.fits += 1
        return super().fit(X, y, sample_weight)


class CountingTree(DecisionTreeRegressor):
    def fit(self, X, y, **given):
        Counting.fits += 1
        return super().fit(X, y, **given)


def test_an_estimator_that_ignores_scale_tries_two_weights():
    table, photo, _ = draw()
    y = (photo[:, 0] > 0).astype(float)
    fits = {}
    for estimator in (Counting(), CountingTree(random_state=0)):
        Counting.fits = 0
        weights = choose_weights(table, [block_of(photo)], y, estimator, random_folds())
        fits[type(estimator)] = Counting.fits, weights
    assert fits[Counting][0] == 2 + 5 * len(WEIGHTS)
    assert fits[CountingTree] == (2 + 5 * 2, [1.0])


@pytest.mark.parametrize("head", [LogisticRegression(), LinearSVC()])
def test_classes_are_weighed_too(head):
    table, photo, _ = draw()
    y = np.where(photo[:, 0] > 0, "bright", "dark")
    folds = apart(photo, 0)
    assert choose_weights(table, [block_of(photo)], y, head, folds)[0] > 0
    shuffled = [np.random.default_rng(seed).permutation(y) for seed in range(5)]
    weights = [choose_weights(table, [block_of(photo)], labels, head, folds) for labels in shuffled]
    assert weights.count([0.0]) >= 4


def test_a_class_of_one_row_and_a_fold_of_one_class_do_no_harm():
    table, photo, _ = draw()
    y = np.array(["rare"] + ["a"] * 20 + ["b"] * (N - 21))
    folds = [(np.arange(1, 21), np.arange(21, N)), *random_folds()]
    assert choose_weights(table, [block_of(photo)], y, LogisticRegression(), folds) == [0.0]


def test_errors_of_a_transformed_target_are_those_that_the_regressor_sees():
    """One huge number would decide alone: in logarithms the photo tells all the others."""
    table, photo, rng = draw()
    y = np.exp(4 * photo[:, 0] + 0.1 * rng.normal(size=N))
    y[0] = 1e9
    head = TransformedTargetRegressor(Ridge(), func=np.log, inverse_func=np.exp)
    assert choose_weights(table, [block_of(photo)], y, head, apart(photo, 0))[0] > 0
    assert choose_weights(table, [block_of(photo)], y, Ridge(), apart(photo, 0)) == [0.0]


def test_no_folds_give_no_weight():
    table, photo, _ = draw()
    assert choose_weights(table, [block_of(photo)], photo[:, 0], Ridge(), []) == [0.0]


def test_the_smallest_within_one_standard_error_of_the_best_is_chosen():
    scores = np.array([[0.0, 0.5, 1.0], [0.0, 1.5, 1.0], [0.0, 0.9, 1.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    assert _smallest_within_error(scores) == 1
    scores[:, 1] = 0.9  # in each fold as much worse: sure
    assert _smallest_within_error(scores) == 2
    # Ten folds of five rows' worth are no surer than five.
    noisy = np.array([[0.0, 1.0], [0.0, -0.6]] * 5)
    assert _smallest_within_error(noisy) == 0
