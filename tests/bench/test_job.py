from __future__ import annotations

import math
import time

from featx.bench._job import images_per_second, median


def test_a_rate_is_images_by_seconds():
    assert 5 < images_per_second(lambda: time.sleep(0.1), 1) <= 10


def test_the_median_of_nothing_is_not_a_number():
    assert median((1.0, 9.0, 2.0)) == 2
    assert math.isnan(median(()))
