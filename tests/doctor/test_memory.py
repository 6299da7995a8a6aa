from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from featx.doctor._memory import check_memory


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux'")
def test_this_machines_memory_is_told():
    (finding,) = check_memory()
    total = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())[1]) * 1024
    assert finding.value.startswith(f"{total / 1e9:.1f} GB, ")
    assert "available" in finding.value
