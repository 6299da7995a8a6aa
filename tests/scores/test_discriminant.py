"""The closed forms of the H-score and of leave-one-out LDA are what their definitions give, written out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import cross_val_score

from featx.scores import hscore, lda_score


def naive_hscore(Z, y):
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
def test_the_h_score_is_the_formula_written_out(shape):
    rng = np.random.default_rng(0)
    y = np.arange(shape[0]) % 4
    Z = rng.normal(size=shape) * 3 + y[:, None]
    assert hscore(Z, y) == pytest.approx(naive_hscore(Z, y), rel=1e-9)


def test_the_h_score_is_zero_for_constant_embeddings_and_near_the_classes_less_one_for_perfect_ones():
    y = np.arange(300) % 3
    assert hscore(np.full((300, 4), 0.1), y) == 0
    Z = 9 * np.eye(3)[y] + np.random.default_rng(0).normal(size=(300, 3)) * 0.1
    assert 1.9 < hscore(Z, y) <= 2


@given(st.integers(0, 10_000), st.sampled_from([(12, 20), (40, 5)]), st.floats(1e-6, 1e6))
def test_scale_place_rotation_order_and_names_do_not_matter_to_the_h_score(seed, shape, scale):
    rng = np.random.default_rng(seed)
    y = np.arange(shape[0]) % 3
    Z = rng.normal(size=shape) + y[:, None]
    rotation, order = np.linalg.qr(rng.normal(size=(shape[1], shape[1])))[0], rng.permutation(len(y))
    score = hscore(Z, y)
    assert 0 <= score <= 2
    assert hscore(scale * (Z @ rotation + 2), y) == pytest.approx(score, abs=1e-7)
    assert hscore(Z[order], np.array(["c", "a", "b"])[y][order]) == pytest.approx(score, abs=1e-9)


def leave_one_out(Z, y, groups=None):
    """A model for each row, from all the rows of other groups."""
    groups = np.arange(len(y)) if groups is None else groups
    n, dim = Z.shape
    within = Z - np.array([Z[y == c].mean(axis=0) for c in y])
    alpha = ledoit_wolf(within, assume_centered=True)[1]
    variance = (within**2).sum() / n / dim
    right = []
    for i in range(n):
        left = groups != groups[i]
        means = {c: Z[left & (y == c)].mean(axis=0) for c in set(y[left])}
        rest = Z[left] - np.array([means[c] for c in y[left]])
        covariance = (1 - alpha) * rest.T @ rest / n + (alpha + 1e-6) * variance * np.eye(dim)
        gain = {
            c: np.log((y[left] == c).sum()) - (Z[i] - mean) @ np.linalg.solve(covariance, Z[i] - mean) / 2
            for c, mean in means.items()
        }
        right.append(max(gain, key=gain.get) == y[i])
    return np.mean(right)


@pytest.mark.parametrize("shape", [(60, 4), (30, 50), (40, 12)])
@pytest.mark.parametrize("seed", [0, 1])
def test_lda_is_what_a_model_for_each_row_finds(shape, seed):
    rng = np.random.default_rng(seed)
    y = rng.choice(4, shape[0], p=[0.5, 0.3, 0.15, 0.05])
    Z = rng.normal(size=shape) * np.linspace(0.5, 2, shape[1])
    Z[:, :4] += 1.5 * np.eye(4)[y]
    assert lda_score(Z, y) == pytest.approx(leave_one_out(Z, y), abs=1e-12)


def test_lda_is_near_scikit_learns_cross_validated_accuracy():
    Z, y = load_digits(return_X_y=True)
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    assert lda_score(Z, y) == pytest.approx(cross_val_score(model, Z, y, cv=20).mean(), abs=0.03)


def test_shuffled_labels_are_not_learned_with_more_columns_than_rows():
    rng = np.random.default_rng(0)
    scores = [lda_score(rng.normal(size=(40, 200)), rng.integers(0, 2, 40)) for _ in range(20)]
    assert np.mean(scores) < 0.6


def test_the_only_row_of_its_class_is_wrong():
    Z = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [99.0]])
    assert lda_score(Z, [0, 0, 0, 1, 1, 2]) == pytest.approx(5 / 6)


def test_classes_without_any_spread_are_separated():
    y = np.arange(12) % 3
    assert lda_score(9 * np.eye(3)[y], y) == 1


@given(st.integers(0, 10_000), st.sampled_from([(15, 20), (40, 5)]), st.floats(1e-6, 1e6))
def test_scale_place_rotation_order_and_names_do_not_matter_to_lda(seed, shape, scale):
    rng = np.random.default_rng(seed)
    y = np.arange(shape[0]) % 3
    Z = rng.normal(size=shape) + y[:, None]
    rotation, order = np.linalg.qr(rng.normal(size=(shape[1], shape[1])))[0], rng.permutation(len(y))
    score = lda_score(Z, y)
    assert lda_score(scale * (Z @ rotation + 2), y) == pytest.approx(score, abs=1e-12)
    assert lda_score(Z[order], np.array(["c", "a", "b"])[y][order]) == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize("shape", [(60, 4), (30, 50)])
@pytest.mark.parametrize("n_groups", [3, 12, 25])
def test_a_whole_group_is_left_out_with_its_row(shape, n_groups):
    rng = np.random.default_rng(n_groups)
    y = rng.choice(4, shape[0], p=[0.5, 0.3, 0.15, 0.05])
    groups = rng.integers(0, n_groups, shape[0])
    Z = rng.normal(size=shape) * np.linspace(0.5, 2, shape[1])
    Z[:, :4] += 1.5 * np.eye(4)[y] + 2 * rng.normal(size=(n_groups, 4))[groups]
    assert lda_score(Z, y, groups=groups) == pytest.approx(leave_one_out(Z, y, groups), abs=1e-12)


def test_groups_of_one_row_do_not_matter():
    Z, y = load_digits(return_X_y=True)
    Z, y = Z[:300], y[:300]
    assert lda_score(Z, y, groups=np.r_[0, 0:299]) == pytest.approx(lda_score(Z, y), abs=0.01)
    assert lda_score(Z, y, groups=np.arange(300) * 2) == lda_score(Z, y)


def test_copies_in_one_group_do_not_help():
    rng = np.random.default_rng(0)
    Z, y = rng.normal(size=(60, 100)), np.arange(60) % 2
    rows = np.tile(np.arange(60), 3)
    assert lda_score(Z[rows], y[rows]) > 0.9
    assert lda_score(Z[rows], y[rows], groups=rows) < 0.65
