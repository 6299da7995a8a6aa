from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from featx.transfer._interval import fold_interval


@pytest.fixture
def draws(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "examples"))
    import _draws

    yield _draws
    del sys.modules["_draws"]


def test_the_interval_is_students(draws):
    values = [0.71, 0.74, 0.69, 0.75]
    mean, half = draws.interval(values)
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (mean - half, mean + half) == pytest.approx((expected.low, expected.high))
    assert np.isnan(draws.interval([0.7])[1])


def test_draws_that_share_rows_are_less_sure_as_nadeau_and_bengio_have_it(draws):
    values = [0.90, 0.92, 0.91, 0.93, 0.89]
    mean, half = draws.interval(values, overlap=0.25)
    assert (mean - half, mean + half) == pytest.approx(fold_interval(values, test_share=0.25))


def test_one_draw_is_no_evidence(draws):
    assert "no evidence" in draws.verdict({"new": [0.9], "old": [0.4]}, "new", "old")


def test_differences_are_paired(draws):
    scores = {"new": [0.5, 0.6, 0.7], "old": [0.4, 0.5, 0.6]}
    table = draws.table_of(scores, {"new": 3, "old": 1}, baseline="old")
    assert table["against old"].tolist() == ["+0.100 +- 0.000", ""]
    assert table["accuracy"].tolist() == ["0.600 +- 0.248", "0.500 +- 0.248"]


@pytest.mark.parametrize(
    ("new", "word"),
    [([0.5, 0.6, 0.75], "helps"), ([0.3, 0.45, 0.5], "hurts"), ([0.5, 0.4, 0.6], "no clear difference")],
)
def test_the_verdict_follows_the_interval_of_the_difference(draws, new, word):
    assert word in draws.verdict({"new": new, "old": [0.4, 0.5, 0.6]}, "new", "old")
