"""Rates rise, then fall to nearly nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featx.finetune._schedule import schedule


@settings(deadline=None)
@given(st.floats(0, 0.9), st.integers(1, 500))
def test_rates_rise_once_and_fall_once_and_are_never_zero(warmup, n):
    factors = [schedule(warmup, n)(step) for step in range(n)]
    peak = factors.index(max(factors))
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert 0 < min(factors) <= max(factors) <= 1


def test_the_peak_comes_where_the_warmup_ends():
    factor = schedule(0.1, 100)
    assert factor(9) == factor(10) == 1
    assert factor(8) == pytest.approx(0.9)
    assert factor(99) < 0.001
