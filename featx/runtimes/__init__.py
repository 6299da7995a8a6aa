"""Runtimes: uint8 batch -> float32 rows."""

from featx.runtimes.base import Runtime, check_runtime, get_runtime

__all__ = ["Runtime", "check_runtime", "get_runtime"]
