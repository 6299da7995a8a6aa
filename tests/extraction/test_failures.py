from __future__ import annotations

import warnings

import pytest

from featx.exceptions import ImageReadError, ImageWarning
from featx.extraction._failures import Failures
from featx.images import ImageColumn


def failures(n, on_error="raise", on_missing="raise") -> Failures:
    return Failures(ImageColumn([f"{i}.jpg" for i in range(n)]), on_error, on_missing)


def test_no_bad_rows_settle_in_silence():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        failures(3).settle(stored=True)


def test_rows_are_listed_in_order_whatever_the_order_they_failed_in():
    collected = failures(9)
    collected.add_error(7, "late")
    collected.add_missing(2, None)
    collected.add_error(0, "early")
    assert collected.positions() == [0, 2, 7]
    with pytest.raises(ImageReadError) as raised:
        collected.settle(stored=False)
    assert raised.value.table["position"].tolist() == [0, 2, 7]
    assert "stored" not in str(raised.value)


@pytest.mark.parametrize(("bad", "seen", "stops"), [(11, 200, True), (10, 200, False), (199, 199, False)])
def test_it_stops_above_five_percent_once_two_hundred_are_seen(bad, seen, stops):
    collected = failures(1000)
    for i in range(bad):
        collected.add_error(i, "no such file")
    if stops:
        with pytest.raises(ImageReadError, match=f"Stopped after {seen}"):
            collected.stop_if_the_rule(seen)
    else:
        collected.stop_if_the_rule(seen)


def test_missing_rows_and_rows_that_become_nan_never_stop_it():
    missing = failures(1000)
    tolerant = failures(1000, on_error="nan")
    for i in range(500):
        missing.add_missing(i, None)
        tolerant.add_error(i, "no such file")
    missing.stop_if_the_rule(1000)
    tolerant.stop_if_the_rule(1000)


@pytest.mark.parametrize(("bad", "n", "stops"), [(11, 20, True), (10, 20, False), (5, 5, True), (4, 5, False)])
def test_where_bad_rows_may_be_nan_the_rule_is_judged_once_all_are_seen(bad, n, stops):
    collected = failures(n, on_error="nan")
    for i in range(bad):
        collected.add_error(i, "no such file")
    if stops:
        with pytest.raises(ImageReadError, match=f"Stopped after {n} of {n} images"):
            collected.settle(stored=True)
    else:
        with pytest.warns(ImageWarning, match=f"{bad} of {n}"):
            collected.settle(stored=True)


def test_a_warning_lists_the_first_rows_and_counts_the_others():
    collected = failures(100, on_error="nan")
    for i in range(8):
        collected.add_error(i, "no such file")
    with pytest.warns(ImageWarning, match=r"row 4: '4.jpg': no such file\n  \.\.\. and 3 more"):
        collected.settle(stored=True)
