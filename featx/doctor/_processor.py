"""The processor: its model, how much of it may be used, its vector instructions."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from featx._machine import count_processors
from featx.doctor._finding import Finding

# As /proc/cpuinfo and macOS' sysctl name them -> as people do.
_FLAGS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_bf16": "BF16",
    "bf16": "BF16",
    "avx512_vnni": "VNNI",
    "avx_vnni": "VNNI",
    "avx512vnni": "VNNI",
    "amx_tile": "AMX",
    "asimd": "NEON",
    "neon": "NEON",
}
# PF_AVX2_INSTRUCTIONS_AVAILABLE and its like, of Windows' winnt.h.
_WINDOWS_FEATURES = {19: "neon", 40: "avx2", 41: "avx512f"}


def check_processor() -> list[Finding]:
    """Say what it is; imports nothing."""
    model, flags = _describe()
    total, usable = os.cpu_count() or 1, count_processors()
    advice = "" if usable == total else "the others are kept from this process by its affinity or its container"
    names = list(dict.fromkeys(name for flag, name in _FLAGS.items() if flag in flags))
    findings = [Finding("ok", "processor", f"{model}, {usable} of {total} logical processors usable", advice)]
    if {"AVX2", "NEON"} & set(names):
        findings.append(Finding("ok", "vector instructions", ", ".join(names)))
    else:
        advice = "encoding runs in torch, slower: OpenVINO is fast with AVX2 or NEON"
        findings.append(Finding("warn", "vector instructions", "neither AVX2 nor NEON found", advice))
    return findings


def read_cpuinfo(text: str) -> tuple[str, set[str]]:
    """Model and flags in the text of Linux' /proc/cpuinfo; x86 and ARM write it differently."""
    fields = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip().lower(), value.strip())
    model = fields.get("model name") or fields.get("cpu model") or platform.machine()
    return model, set(fields.get("flags", fields.get("features", "")).lower().split())


def _describe() -> tuple[str, set[str]]:
    with suppress(OSError):
        return read_cpuinfo(Path("/proc/cpuinfo").read_text())
    if sys.platform == "darwin":
        known = _sysctl("machdep.cpu.features") + " " + _sysctl("machdep.cpu.leaf7_features")
        flags = set(known.lower().split()) | ({"neon"} if platform.machine() == "arm64" else set())
        return _sysctl("machdep.cpu.brand_string") or platform.machine(), flags
    if sys.platform == "win32":
        import ctypes

        present = ctypes.windll.kernel32.IsProcessorFeaturePresent
        return platform.processor(), {flag for number, flag in _WINDOWS_FEATURES.items() if present(number)}
    return platform.processor() or platform.machine(), set()


def _sysctl(name: str) -> str:
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, timeout=10).stdout.strip()
    return ""
