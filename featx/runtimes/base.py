"""What runs a network, and which ones this process keeps loaded."""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from featx.encoders import EncoderSpec
from featx.exceptions import DeviceError, ParameterError, UnknownNameError

RUNTIMES = ("torch",)
_KEPT = 2
_DEVICE = re.compile(r"auto|cpu|cuda(:[0-9]{1,4})?")


class Runtime(Protocol):
    """Runs a network; alone owns eval mode, precision, memory layout, padding and folding.

    Attributes
    ----------
    name, device : str
        For the store's metadata.
    dims : tuple of int
        Length of the embedding of each layer.
    """

    name: str
    device: str
    dims: tuple[int, ...]

    def run(self, batch: np.ndarray) -> np.ndarray:
        """uint8 (n, size, size, 3) -> float32 (n, sum of dims), the layers side by side."""
        ...

    def close(self) -> None:
        """Give memory back."""
        ...


_loaded: OrderedDict[tuple, Runtime] = OrderedDict()
_lock = threading.RLock()


def get_runtime(specs: Sequence[EncoderSpec], runtime: str = "auto", device: str = "auto") -> Runtime:
    """Load a network, or hand out the one that is loaded: a process keeps the two last used.

    Parameters
    ----------
    specs : sequence of EncoderSpec
        Layers of one network.
    runtime : {"auto", "torch"}, default="auto"
    device : str, default="auto"
        "auto" is CUDA where there is one, else the CPU.

    Raises
    ------
    DeviceError
        If this machine lacks the device.
    """
    runtime = RUNTIMES[0] if runtime == "auto" else runtime
    device = _resolve_device(device)
    key = (tuple(spec.fingerprint() for spec in specs), runtime, device)
    with _lock:
        if key not in _loaded:
            from featx.runtimes._torch import TorchRuntime

            _loaded[key] = TorchRuntime(specs, device)
            while len(_loaded) > _KEPT:
                _loaded.popitem(last=False)  # not closed: another thread may be running it
        _loaded.move_to_end(key)
        return _loaded[key]


def check_runtime(runtime: object, device: object) -> None:
    """Refuse what no machine has; whether this one has it is asked when a row is missing."""
    if runtime not in ("auto", *RUNTIMES):
        raise UnknownNameError("runtime", runtime, ("auto", *RUNTIMES))
    if not isinstance(device, str):
        raise ParameterError(f"Got device={device!r}. Expected a str: 'auto', 'cpu', 'cuda' or 'cuda:0'.")
    if not _DEVICE.fullmatch(device):
        raise UnknownNameError("device", device, ("auto", "cpu", "cuda", "cuda:0"))


def _resolve_device(device: str) -> str:
    import torch

    if device == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        device = "cuda:0"
    if device.startswith("cuda:") and int(device.removeprefix("cuda:")) >= torch.cuda.device_count():
        raise DeviceError(
            f"Got device={device!r}; this machine has {torch.cuda.device_count()} CUDA devices and some images have no "
            "embedding yet. Use device='auto'."
        )
    return device


def _reset_after_fork() -> None:
    """A forked child must not share the parent's threads and CUDA context."""
    global _lock
    _loaded.clear()
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
