from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from featx import _machine
from featx._machine import (
    available_memory,
    count_processors,
    count_threads,
    memory_limit,
    processor_limit,
    read_meminfo,
    total_memory,
)
from featx.exceptions import ParameterError


@pytest.mark.parametrize(
    ("n_jobs", "threads"), [(None, 1), (-1, 4), (-2, 3), (-9, 1), (1, 1), (7, 7), (np.int64(2), 2)]
)
def test_n_jobs_is_read_as_scikit_learn_reads_it(n_jobs, threads, monkeypatch):
    monkeypatch.setattr(_machine, "count_processors", lambda: 4)
    assert count_threads(n_jobs) == threads


@pytest.mark.parametrize("n_jobs", [0, 2.5, True, "2"])
def test_other_values_are_refused(n_jobs):
    with pytest.raises(ParameterError, match="n_jobs"):
        count_threads(n_jobs)


@pytest.mark.parametrize(("limit", "count"), [(0.5, 1), (1.0, 1), (None, None)])
def test_a_group_may_leave_fewer_processors(limit, count, monkeypatch):
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT", raising=False)
    unlimited = count_processors()
    monkeypatch.setattr(_machine, "processor_limit", lambda: limit)
    assert count_processors() == (count or unlimited)


@pytest.mark.parametrize(("value", "count"), [("1", 1), ("0", 1), ("many", None), ("100000", None)])
def test_joblibs_variable_limits_processors(value, count, monkeypatch):
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT", raising=False)
    unlimited = count_processors()
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", value)
    assert count_processors() == (count or unlimited)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_affinity_limits_processors():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from featx._machine import count_processors; print(count_processors())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


def test_what_is_available_is_read():
    assert read_meminfo("MemTotal:  100 kB\nMemAvailable:     42 kB\nBuffers: 1 kB\n") == 42 * 1024
    assert read_meminfo("MemTotal:  100 kB\n") is None


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux'")
def test_what_a_process_may_take_is_no_more_than_there_is():
    total = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())[1]) * 1024
    assert total_memory() == total
    assert 0 < available_memory() < total


def test_a_container_allows_no_more_than_its_limit(monkeypatch):
    monkeypatch.setattr(_machine, "memory_limit", lambda: 7)
    assert available_memory() == 7


@pytest.fixture
def groups(tmp_path):
    """Writes the files of a control group."""

    def write(**files: str) -> Path:
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text + "\n")
        return tmp_path

    return write


@pytest.mark.parametrize(("text", "limit"), [("150000 100000", 1.5), ("max 100000", None)])
def test_processors_of_a_group(groups, text, limit):
    assert processor_limit(groups(cpu_dot_max=text)) == limit


@pytest.mark.parametrize(("quota", "limit"), [("50000", 0.5), ("-1", None)])
def test_processors_of_a_group_of_the_first_version(groups, quota, limit):
    root = groups(cpu__cpu_dot_cfs_quota_us=quota, cpu__cpu_dot_cfs_period_us="100000")
    assert processor_limit(root) == limit


@pytest.mark.parametrize(("text", "limit"), [("2147483648", 2**31), ("max", None)])
def test_memory_of_a_group(groups, text, limit):
    assert memory_limit(groups(memory_dot_max=text)) == limit


@pytest.mark.parametrize(("text", "limit"), [("1073741824", 2**30), ("9223372036854771712", None)])
def test_memory_of_a_group_of_the_first_version(groups, text, limit):
    assert memory_limit(groups(memory__memory_dot_limit_in_bytes=text)) == limit


def test_without_groups_there_is_no_limit(tmp_path):
    assert (processor_limit(tmp_path / "none"), memory_limit(tmp_path / "none")) == (None, None)
