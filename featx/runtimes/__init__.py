"""Runtimes: uint8 batch -> float32 rows."""

from featx.runtimes._choose import RUNTIMES, check_devices, check_runtime, choose
from featx.runtimes._loading import get_runtime
from featx.runtimes.base import Runtime

__all__ = ["RUNTIMES", "Runtime", "check_devices", "check_runtime", "choose", "get_runtime"]
