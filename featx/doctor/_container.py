"""What a container, or a control group of Linux, leaves of a machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
# Version 1 writes "no limit" as a number of this size.
_UNLIMITED = 1 << 60


def processor_limit(groups: Path = _GROUPS) -> float | None:
    """Processors' worth of time that this process may use; None is no limit."""
    limits = []
    for text in _read(groups, "cpu.max"):
        quota, _, period = text.partition(" ")
        if quota != "max":
            limits.append(int(quota) / int(period))
    quotas, periods = _read(groups, "cpu/cpu.cfs_quota_us"), _read(groups, "cpu/cpu.cfs_period_us")
    limits += [int(quota) / int(period) for quota, period in zip(quotas, periods, strict=False) if int(quota) > 0]
    return min(limits, default=None)


def memory_limit(groups: Path = _GROUPS) -> int | None:
    """Bytes that this process may use; None is no limit."""
    texts = [*_read(groups, "memory.max"), *_read(groups, "memory/memory.limit_in_bytes")]
    limits = [int(text) for text in texts if text != "max" and int(text) < _UNLIMITED]
    return min(limits, default=None)


def _read(groups: Path, name: str) -> Iterator[str]:
    """The file of the root group, which is a container's own, and of this process's group."""
    folders = {groups: None}
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            if line.startswith("0::/"):
                folders[groups / line[4:]] = None
    for folder in folders:
        with suppress(OSError):
            yield (folder / name).read_text().strip()
