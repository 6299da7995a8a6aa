"""LEEP and NCE are the sums of their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.exceptions import InputError
from featx.scores import leep_score, nce_score


def make(n, n_source, seed):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(n_source, 0.3), n), np.arange(n) % 3


def naive_leep(P, y):
    """Sums written out."""
    n, n_source = P.shape
    total = 0.0
    for i in range(n):
        expected = 0.0
        for z in range(n_source):
            joint = sum(P[j, z] for j in range(n) if y[j] == y[i]) / n
            expected += joint / (sum(P[j, z] for j in range(n)) / n) * P[i, z]
        total += np.log(expected) / n
    return total


def naive_nce(P, y):
    """The conditional entropy written out over pairs of classes."""
    n, source = len(y), [max(range(P.shape[1]), key=lambda z: row[z]) for row in P]
    total = 0.0
    for z in set(source):
        for c in set(y):
            both = sum(1 for i in range(n) if source[i] == z and y[i] == c)
            if both:
                total += both / n * np.log(both / source.count(z))
    return total


@given(st.integers(0, 10_000), st.integers(3, 20), st.integers(2, 6))
def test_they_are_the_formulas_written_out(seed, n, n_source):
    P, y = make(n, n_source, seed)
    assert leep_score(P, y) == pytest.approx(naive_leep(P, y), abs=1e-10)
    assert nce_score(P, y) == pytest.approx(naive_nce(P, y), abs=1e-10)


@given(st.integers(0, 10_000))
def test_order_and_names_do_not_matter(seed):
    P, y = make(12, 5, seed)
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(12), rng.permutation(5)
    for score in (leep_score, nce_score):
        changed = score(P[rows][:, columns], np.array(["c", "a", "b"])[y][rows])
        assert changed == pytest.approx(score(P, y), abs=1e-10)


@pytest.mark.parametrize("score", [leep_score, nce_score])
def test_a_source_that_knows_the_classes_scores_zero_and_one_that_knows_nothing_their_entropy(score):
    y = np.arange(12) % 3
    assert score(np.eye(5)[y], y) == 0  # two source classes never occur
    assert score(np.full((12, 4), 0.25), y) == pytest.approx(-np.log(3))


@pytest.mark.parametrize("score", [leep_score, nce_score])
@pytest.mark.parametrize("P", [[[2.0, -1.0], [0.5, 0.5]], [[3.0, 1.0], [0.5, 0.5]], [[0.2, 0.2], [0.5, 0.5]]])
def test_logits_are_refused(score, P):
    with pytest.raises(InputError, match=r"1 of 2 rows .* apply softmax to logits"):
        score(P, [0, 1])


@pytest.mark.parametrize("score", [leep_score, nce_score])
def test_half_precision_probabilities_of_a_thousand_classes_are_taken(score):
    P = np.random.default_rng(0).dirichlet(np.full(1000, 0.3), 30)
    assert score(P.astype(np.float16), np.arange(30) % 3) == pytest.approx(score(P, np.arange(30) % 3), abs=1e-3)


@pytest.mark.parametrize("score", [leep_score, nce_score])
@pytest.mark.parametrize(
    ("y", "message"),
    [(["a"] * 12, "one class"), (np.linspace(0, 1, 12), "use logme_score"), ([0, 1], "for 12 rows")],
)
def test_labels_that_cannot_be_classes_are_refused(score, y, message):
    with pytest.raises(InputError, match=message):
        score(make(12, 5, 0)[0], y)


@pytest.mark.parametrize("score", [leep_score, nce_score])
def test_rows_with_nan_are_named(score):
    P, y = make(12, 5, 0)
    P[3] = np.nan
    with pytest.raises(InputError, match=r"P with NaN or infinity in 1 of 12 rows \(3\)"):
        score(P, y)


@pytest.mark.parametrize("score", [leep_score, nce_score])
def test_rare_classes_and_more_classes_than_source_classes_are_taken(score):
    P = make(12, 2, 0)[0]
    assert score(P, ["rare"] + ["a", "b"] * 5 + ["a"]) < 0
    assert score(P, [f"{i}" for i in range(12)]) < 0
