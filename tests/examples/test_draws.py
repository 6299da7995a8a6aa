from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from featx.evaluation import fold_interval


@pytest.fixture
def draws(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "examples"))
    import _draws

    yield _draws
    del sys.modules["_draws"]


def test_the_interval_of_draws_that_share_nothing_is_students(draws):
    values = [0.71, 0.74, 0.69, 0.75]
    mean, half = draws.interval(values, 0)
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (mean - half, mean + half) == pytest.approx((expected.low, expected.high))
    assert np.isnan(draws.interval([0.7], 0)[1])


def test_the_interval_of_splits_in_halves_is_that_of_the_library(draws):
    values = [0.71, 0.74, 0.69, 0.75]
    mean, half = draws.interval(values, shared=1)
    assert (mean - half, mean + half) == pytest.approx(fold_interval(values, test_share=1))


def test_differences_are_paired(draws):
    scores = {"new": [0.5, 0.6, 0.7], "old": [0.4, 0.5, 0.6]}
    table = draws.table_of(scores, {"new": 3, "old": 1}, baseline="old", shared=1)
    assert table["against old"].tolist() == ["+0.100 +- 0.000", ""]
    assert table["accuracy"].tolist() == ["0.600 +- 0.497", "0.500 +- 0.497"]


@pytest.mark.parametrize(
    ("new", "word"),
    [([0.6, 0.7, 0.81], "helps"), ([0.2, 0.3, 0.41], "hurts"), ([0.5, 0.4, 0.6], "no clear difference")],
)
def test_the_verdict_follows_the_interval_of_the_difference(draws, new, word):
    assert word in draws.verdict({"new": new, "old": [0.4, 0.5, 0.6]}, "new", "old", shared=1)


def test_one_draw_is_no_evidence(draws):
    assert "no evidence" in draws.verdict({"new": [0.9], "old": [0.4]}, "new", "old", shared=1)
