from __future__ import annotations

import os
import subprocess
import sys

import pytest

from featx._machine import count_processors
from featx.doctor._processor import check_processor, read_cpuinfo

X86 = """processor\t: 0
model name\t: AMD EPYC 9654
flags\t\t: fpu sse2 avx2 avx512f avx512_bf16 avx512_vnni amx_tile

processor\t: 1
model name\t: another
flags\t\t: fpu
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16\nCPU implementer\t: 0x41\n"


def test_x86_is_read():
    model, flags = read_cpuinfo(X86)
    assert model == "AMD EPYC 9654"
    assert {"avx2", "avx512f", "amx_tile"} <= flags


def test_arm_is_read():
    model, flags = read_cpuinfo(ARM)
    assert model
    assert flags == {"fp", "asimd", "bf16"}


def test_nonsense_has_no_flags():
    assert read_cpuinfo("")[1] == read_cpuinfo("a\n:\n")[1] == set()


def test_this_machine_is_described():
    processor, instructions = check_processor()
    assert f"{count_processors()} of {os.cpu_count()} logical processors" in processor.value
    assert instructions.value


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_affinity_counts():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from featx.doctor._processor import check_processor; print(*check_processor()[:1])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f", 1 of {os.cpu_count()} logical" in done.stdout
    assert os.cpu_count() == 1 or "affinity" in done.stdout
