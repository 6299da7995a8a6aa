from __future__ import annotations

import joblib
import numpy as np
import pytest

from featx import _threads
from featx._threads import count_threads
from featx.exceptions import ParameterError


@pytest.fixture(autouse=True)
def four_processors(monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 4)
    _threads._count_processors.cache_clear()
    yield
    _threads._count_processors.cache_clear()


@pytest.mark.parametrize(
    ("n_jobs", "threads"), [(None, 4), (-1, 4), (-2, 3), (-9, 1), (1, 1), (7, 7), (np.int64(2), 2)]
)
def test_n_jobs_is_read_as_scikit_learn_reads_it(n_jobs, threads):
    assert count_threads(n_jobs) == threads


@pytest.mark.parametrize("n_jobs", [0, 2.5, True, "2"])
def test_other_values_are_refused(n_jobs):
    with pytest.raises(ParameterError, match="n_jobs"):
        count_threads(n_jobs)
