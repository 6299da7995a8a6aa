from __future__ import annotations

import itertools
import math
from types import SimpleNamespace

from featx.bench import _job
from featx.bench._job import images_per_second, median


def test_a_rate_is_images_by_seconds(monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(_job, "time", SimpleNamespace(perf_counter=lambda: 0.5 * next(clock)))
    calls = []
    assert images_per_second(lambda: calls.append(1), 3) == 6
    assert calls == [1]


def test_the_median_of_nothing_is_not_a_number():
    assert median((1.0, 9.0, 2.0)) == 2
    assert math.isnan(median(()))
