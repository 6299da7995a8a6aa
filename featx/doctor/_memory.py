"""Memory: the machine's, what is free of it, and what a container allows."""

from __future__ import annotations

from featx._machine import free_memory, memory_limit, total_memory
from featx.doctor._finding import Finding

_LITTLE = 1e9


def check_memory() -> list[Finding]:
    """Say how much there is; imports nothing."""
    total, available = total_memory(), free_memory()
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
