"""What of this machine a process may use: processors and memory, as affinity, containers and Linux' groups allow.

The standard library alone: it runs on machines without featx too.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from numbers import Integral
from pathlib import Path

from .exceptions import ParameterError

_GROUPS = Path("/sys/fs/cgroup")
# Version 1 of control groups writes "no limit" as a number of this size.
_UNLIMITED = 1 << 60


def count_threads(n_jobs: int | None) -> int:
    """Read scikit-learn's ``n_jobs`` as a number of threads.

    Parameters
    ----------
    n_jobs : int or None
        -1 is all processors that this process may use, -2 all but one; None is 1, as in scikit-learn.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    ParameterError
        If it is 0, or no integer.

    Examples
    --------
    >>> from featx._machine import count_threads
    >>> count_threads(3)
    3
    """
    if n_jobs is None:
        return 1
    if not isinstance(n_jobs, Integral) or isinstance(n_jobs, bool) or n_jobs == 0:
        raise ParameterError(f"Got n_jobs={n_jobs!r}. Expected -1, None or a positive number of threads.")
    return int(n_jobs) if n_jobs > 0 else max(1, count_processors() + 1 + int(n_jobs))


def count_processors() -> int:
    """Count the processors that affinity, a container and joblib's variable leave to this process; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [allowed, math.ceil(processor_limit() or allowed)]
    with suppress(KeyError, ValueError):
        limits.append(int(os.environ["LOKY_MAX_CPU_COUNT"]))  # as joblib has it
    return max(1, min(limits))


def available_memory() -> int | None:
    """Count the bytes that this process may still take; None where nobody knows."""
    return min((size for size in (free_memory(), memory_limit()) if size is not None), default=None)


def total_memory() -> int | None:
    """Count the bytes of this machine's memory; None where nobody knows."""
    with suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return _windows_memory(8)


def free_memory() -> int | None:
    """Count the bytes of this machine's memory that are free; None where nobody knows."""
    with suppress(OSError):
        return read_meminfo(Path("/proc/meminfo").read_text())
    return _windows_memory(16)


def read_meminfo(text: str) -> int | None:
    """Find the bytes available in the text of Linux' /proc/meminfo."""
    found = re.search(r"^MemAvailable:\s*(\d+) kB", text, re.M)
    return int(found[1]) * 1024 if found else None


@lru_cache(maxsize=8)  # asked for in every call of transform
def processor_limit(groups: Path = _GROUPS) -> float | None:
    """Read how many processors' worth of time a control group allows; None is no limit."""
    limits = []
    for text in _read_groups(groups, "cpu.max"):
        quota, _, period = text.partition(" ")
        if quota != "max":
            limits.append(int(quota) / int(period))
    quotas, periods = _read_groups(groups, "cpu/cpu.cfs_quota_us"), _read_groups(groups, "cpu/cpu.cfs_period_us")
    limits += [int(quota) / int(period) for quota, period in zip(quotas, periods, strict=False) if int(quota) > 0]
    return min(limits, default=None)


def memory_limit(groups: Path = _GROUPS) -> int | None:
    """Read how many bytes a control group allows; None is no limit."""
    texts = [*_read_groups(groups, "memory.max"), *_read_groups(groups, "memory/memory.limit_in_bytes")]
    limits = [int(text) for text in texts if text != "max" and int(text) < _UNLIMITED]
    return min(limits, default=None)


def _read_groups(groups: Path, name: str) -> Iterator[str]:
    """Read the file of the root group, which is a container's own, and of this process's group."""
    folders = {groups: None}
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            if line.startswith("0::/"):
                folders[groups / line[4:]] = None
    for folder in folders:
        with suppress(OSError):
            yield (folder / name).read_text().strip()


def _windows_memory(offset: int) -> int | None:
    """Read a field of MEMORYSTATUSEX: total physical memory is at 8, the available one at 16."""
    if sys.platform != "win32":
        return None
    import ctypes

    status = (ctypes.c_byte * 64)()
    ctypes.c_uint32.from_buffer(status).value = len(status)
    ctypes.windll.kernel32.GlobalMemoryStatusEx(status)
    return ctypes.c_uint64.from_buffer(status, offset).value
