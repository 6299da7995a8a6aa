import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import weightedtau

from featx.evaluation import unit_of
from featx.ranking._compare import agreement, in_words, on_frontier

POINTS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), min_size=1, max_size=12)


@given(POINTS)
def test_every_candidate_is_on_the_frontier_or_beaten_by_one_that_is(points):
    score, rate = np.array(points, float).T
    there = on_frontier(score, rate)
    assert there.any()
    for i in np.flatnonzero(~there):
        assert any(score[j] >= score[i] and rate[j] >= rate[i] for j in np.flatnonzero(there))
    for i in np.flatnonzero(there):
        assert not ((score > score[i]) & (rate >= rate[i])).any()


def test_what_has_no_score_is_not_on_the_frontier():
    assert on_frontier(np.array([0.5, np.nan]), np.array([1.0, 9.0])).tolist() == [True, False]


def test_agreement_is_the_weighted_tau():
    table = pd.DataFrame({"probe": [0.9, 0.8, 0.7, 0.6], "knn": [4, 2, 3, 1], "top1": [75.0, np.nan, np.nan, 70.0]})
    taus = agreement(table, ["knn", "top1"], "probe")
    assert taus["knn"] == pytest.approx(weightedtau(table["knn"], table["probe"]).statistic)
    assert np.isnan(taus["top1"])


def test_the_same_order_agrees_wholly_and_the_opposite_not_at_all():
    table = pd.DataFrame({"probe": [3.0, 2, 1], "same": [30.0, 20, 10], "opposite": [1.0, 2, 3], "flat": 1.0})
    taus = agreement(table, ["same", "opposite", "flat"], "probe")
    assert (taus["same"], taus["opposite"]) == (pytest.approx(1), pytest.approx(-1))
    assert np.isnan(taus["flat"])


def test_a_gain_is_told_with_its_price():
    folds = [np.array([0.90, 0.91, 0.92]), np.array([0.80, 0.81, 0.82])]
    text = in_words(["big", "small"], folds, np.array([10.0, 38.0]), 0.5, unit_of("accuracy"))
    assert text == "big: +10.0 +- 0.0 points for 3.8x the time of small"


def test_a_gain_within_chance_is_called_so():
    folds = [np.array([0.90, 0.80, 0.90]), np.array([0.85, 0.84, 0.89])]
    assert "take the faster" in in_words(["big", "small"], folds, np.array([1.0, 2.0]), 0.5, unit_of("accuracy"))


def test_a_best_that_is_fastest_has_no_price():
    folds = [np.array([0.9, 0.9]), np.array([0.8, 0.8])]
    text = in_words(["a", "b"], folds, np.array([2.0, 1.0]), 0.5, unit_of("roc_auc"))
    assert text == "a: roc_auc 0.900, the best and the fastest of 2 candidates"


def test_grams_are_no_points():
    folds = [np.array([-4.0, -4.1, -4.2]), np.array([-6.0, -6.2, -6.1])]
    text = in_words(["big", "small"], folds, np.array([10.0, 38.0]), 0.5, unit_of("neg_mean_absolute_error"))
    unit = "neg_mean_absolute_error (higher is better: it is minus the error)"
    assert text == f"big: +2 +- 0.3928 {unit} for 3.8x the time of small"
