from __future__ import annotations

import sys

import pytest

from tests.benchmarks.soak import soak


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from Linux's /proc")
def test_reloads_bad_requests_and_a_kill_lose_nothing_else(bundle, served_bundle, jpegs, tmp_path):
    report = soak([bundle.folder, served_bundle], jpegs, tmp_path, periods=6, seconds=0.5, clients=4)
    assert not report.wrong
    assert not report.lost
    assert report.at_the_kill <= 4
    assert len(report.models) == 2
    assert report.reloads[200] == 6
    assert report.reloads[409] == 1
    assert set(report.bad) <= {"401", "404", "413", "415", "422", "reset"}
    assert all("reload refused" in line for line in report.log), report.log
