"""What holds for all scores: the input that they take, and the input that they refuse."""

import numpy as np
import pandas as pd
import pytest

from featx.exceptions import InputError
from featx.scores import hscore, knn_score, lda_score, logme_score

OF_CLASSES = [knn_score, hscore, lda_score]
ALL = [*OF_CLASSES, logme_score]
Y = np.arange(24) % 3


def make(n=24, dim=4):
    return np.random.default_rng(0).normal(size=(n, dim)) + (np.arange(n) % 3)[:, None]


@pytest.mark.parametrize("score", ALL)
def test_rows_with_nan_are_named(score):
    Z = make()
    Z[5, 1] = np.nan
    with pytest.raises(InputError, match=r"1 of 24 rows \(5\)"):
        score(Z, Y)


@pytest.mark.parametrize("score", ALL)
def test_one_class_is_refused(score):
    with pytest.raises(InputError, match="one class, 'a'"):
        score(make(), ["a"] * 24)


@pytest.mark.parametrize("score", OF_CLASSES)
def test_continuous_values_are_refused(score):
    with pytest.raises(InputError, match="use logme_score"):
        score(make(), np.linspace(0, 1, 24))


@pytest.mark.parametrize("score", ALL)
def test_a_class_with_one_row_is_a_class(score):
    y = np.where(np.arange(24) == 3, "rare", np.array(["a", "b"])[Y % 2])
    assert np.isfinite(score(make(), y))


@pytest.mark.parametrize("score", ALL)
@pytest.mark.parametrize("value", [0, 0.1, 1e30])
def test_constant_embeddings_have_a_score_below_that_of_good_ones(score, value):
    constant = score(np.full((24, 4), value), Y)
    assert np.isfinite(constant)
    assert constant < score(make() + 9 * np.eye(4)[Y], Y)


@pytest.mark.parametrize("score", ALL)
@pytest.mark.parametrize(("n", "dim", "n_classes"), [(12, 50, 3), (8, 2, 8), (8, 20, 8), (2, 3, 2), (24, 1, 3)])
def test_few_rows_many_classes_and_one_column_are_taken(score, n, dim, n_classes):
    assert np.isfinite(score(make(n, dim), np.array(list("abcdefgh"))[np.arange(n) % n_classes]))


@pytest.mark.parametrize("score", ALL)
def test_half_precision_is_computed_in_double(score):
    Z = make().astype(np.float16)
    assert score(Z, Y) == score(Z.astype(np.float64), Y)


@pytest.mark.parametrize("score", ALL)
@pytest.mark.parametrize("kind", [list, np.array, pd.Series, pd.Categorical, lambda y: pd.Series(y, dtype="category")])
def test_labels_may_be_strings_and_categories(score, kind):
    names = [["cat", "dog", "eel"][c] for c in Y]
    assert score(make(), kind(names)) == score(make(), Y)


@pytest.mark.parametrize("score", ALL)
def test_very_large_and_very_small_embeddings_score_the_same(score):
    for scale in (1e-150, 1e150):
        assert score(make() * scale, Y) == pytest.approx(score(make(), Y), rel=1e-9)
