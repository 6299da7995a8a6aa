from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from featx.doctor import _memory
from featx.doctor._memory import available_memory, check_memory, read_meminfo


def test_what_is_available_is_read():
    assert read_meminfo("MemTotal:  100 kB\nMemAvailable:     42 kB\nBuffers: 1 kB\n") == 42 * 1024
    assert read_meminfo("MemTotal:  100 kB\n") is None


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux'")
def test_this_machines_memory_is_told():
    (finding,) = check_memory()
    total = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())[1]) * 1024
    assert finding.value.startswith(f"{total / 1e9:.1f} GB, ")
    assert "available" in finding.value


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux'")
def test_what_a_process_may_take_is_no_more_than_there_is():
    total = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())[1]) * 1024
    assert 0 < available_memory() < total


def test_a_container_allows_no_more_than_its_limit(monkeypatch):
    monkeypatch.setattr(_memory, "memory_limit", lambda: 7)
    assert available_memory() == 7
