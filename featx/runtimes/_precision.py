"""What a precision means in torch: settings of the process while a network runs, and the network's own type."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from featx.exceptions import DeviceError

HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def check_precision(precision: str, device: str) -> None:
    """Refuse what the device does not run.

    Raises
    ------
    DeviceError
        The message says what it runs.
    """
    runs = ["float32", "bfloat16"]
    if device.startswith("cuda"):
        # Tensor cores take TF32 and bfloat16 from compute capability 8.0 (Ampere) on.
        new = torch.cuda.get_device_capability(device) >= (8, 0)
        runs = ["float32", "tf32", "bfloat16", "float16"] if new else ["float32", "float16"]
    if precision not in runs:
        raise DeviceError(f"Got precision={precision!r}. Expected one of {', '.join(map(repr, runs))} on {device!r}.")


class _Float32Mode:
    """How float32 is multiplied while networks of ours run; the last one to end puts the process's settings back."""

    def __init__(self):
        self._changed = threading.Condition()
        self._running = 0
        self._mode = ("", "")
        self._before: list[tuple[object, str, object]] = []

    @contextmanager
    def __call__(self, mode: str, device: str) -> Iterator[None]:
        kind = device.partition(":")[0]
        with self._changed:
            # Networks of another mode run after those of this one: there is one setting a process.
            self._changed.wait_for(lambda: not self._running or self._mode == (mode, kind))
            if not self._running:
                self._mode = mode, kind
                self._before = [(owner, name, getattr(owner, name)) for owner, name, _ in _settings(mode, kind)]
                for owner, name, value in _settings(mode, kind):
                    setattr(owner, name, value)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                if not self._running:
                    for setting in self._before:
                        _put_back(*setting)
                    self._changed.notify_all()


def _put_back(owner: object, name: str, value: object) -> None:
    """A setting that followed a wider one must follow it again: torch tells the value in force, not whose it is."""
    if name == "fp32_precision":
        setattr(owner, name, "none")
    if getattr(owner, name) != value:
        setattr(owner, name, value)


def _settings(mode: str, device: str) -> list[tuple[object, str, object]]:
    backends = torch.backends
    on_cuda, tf32 = device.startswith("cuda"), mode == "tf32"
    if not hasattr(backends.cuda.matmul, "fp32_precision"):  # torch 2.8 and older; the first sets the CPU's too
        owners = [backends.cuda.matmul, backends.cudnn][: 1 + on_cuda]
        return [(owner, "allow_tf32", tf32) for owner in owners]
    if on_cuda:
        # The RNNs' too: torch's older flag for both raises where they differ.
        return [
            (owner, "fp32_precision", mode) for owner in (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)
        ]
    return [(owner, "fp32_precision", mode) for owner in (backends.mkldnn.matmul, backends.mkldnn.conv)]


float32_mode = _Float32Mode()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=float32_mode.__init__)
