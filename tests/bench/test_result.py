from __future__ import annotations

import json
import math

import pytest

from tests.bench.results import make_result


def test_on_a_cpu_the_parts_share_the_cores_and_on_cuda_the_slower_one_decides():
    assert make_result(decode=300, encode=100).limit == pytest.approx(75)
    assert make_result(decode=300, encode=100, device="cuda:0").limit == 100


def test_the_share_is_of_the_limit():
    assert make_result(decode=300, encode=100, whole=60).share == pytest.approx(0.8)


def test_rates_are_medians_over_the_runs():
    result = make_result()
    result.rates["whole"] = (1.0, 50.0, 3.0)
    assert result.rate("whole") == 3


def test_the_spread_is_the_worst_of_all_candidates():
    assert make_result().spread == pytest.approx(21 / 18)


def test_a_peer_without_a_figure_has_a_reason_and_no_rate():
    measured, absent = make_result().peers
    assert measured.rate == 20
    assert math.isnan(absent.rate)


def test_it_is_strict_json():
    result = make_result(whole=60)
    data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert data["medians"]["whole"] == 60
    assert data["share"] == result.share
    assert [peer["median"] for peer in data["peers"]] == [20, None]
