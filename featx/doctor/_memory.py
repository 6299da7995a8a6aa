"""Memory: the machine's, what is free of it, and what a container allows."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from pathlib import Path

from featx.doctor._container import memory_limit
from featx.doctor._finding import Finding

_LITTLE = 1e9


def check_memory() -> list[Finding]:
    """Say how much there is; imports nothing."""
    total, available = _total(), _available()
    limit = memory_limit()
    if total is None:
        return [Finding("ok", "memory", "unknown on this system")]
    value = f"{total / 1e9:.1f} GB"
    if available is not None:
        value += f", {available / 1e9:.1f} GB available"
    if limit is not None and limit < total:
        value += f", {limit / 1e9:.1f} GB allowed to this container"
    if min(available or total, limit or total) < _LITTLE:
        return [Finding("warn", "memory", value, "large encoders need more than 1 GB: use a smaller batch_size")]
    return [Finding("ok", "memory", value)]


def available_memory() -> int | None:
    """Bytes that this process may take; None where nobody knows."""
    return min((size for size in (_available(), memory_limit()) if size is not None), default=None)


def read_meminfo(text: str) -> int | None:
    """Bytes available, in the text of Linux' /proc/meminfo."""
    found = re.search(r"^MemAvailable:\s*(\d+) kB", text, re.M)
    return int(found[1]) * 1024 if found else None


def _total() -> int | None:
    with suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return _windows_memory(8) if sys.platform == "win32" else None


def _available() -> int | None:
    with suppress(OSError):
        return read_meminfo(Path("/proc/meminfo").read_text())
    return _windows_memory(16) if sys.platform == "win32" else None


def _windows_memory(offset: int) -> int:
    """A field of MEMORYSTATUSEX: total physical memory is at 8, the available one at 16."""
    import ctypes

    status = (ctypes.c_byte * 64)()
    ctypes.c_uint32.from_buffer(status).value = len(status)
    ctypes.windll.kernel32.GlobalMemoryStatusEx(status)
    return ctypes.c_uint64.from_buffer(status, offset).value
