"""What featx changes in the whole process, beyond its own objects; everything else it keeps to itself.

- `no_telemetry` sets the environment variable ``CI`` while OpenVINO and NNCF are imported, convert and quantize.
  OpenVINO reports to a web service that it was imported and what it converts, unless it runs in a CI job or its user
  has opted out by a file in the home folder; it has no other switch. The variable is put back at the end of the block.
- `float32_mode` sets how torch multiplies float32 while a network runs. The settings are put back when the last
  network that runs ends.
- `make_torch_fork_safe` limits torch to one thread in a forked child, the first time that featx builds or runs a
  network there, for as long as the child lives: the threads of OpenMP do not survive a fork, and a child that waits
  for them hangs (still so in torch 2.14). A child in which featx runs no network keeps torch's settings.
- `never_free` keeps an object until the process ends: a forked child leaks the networks that OpenVINO had loaded in
  its parent, since freeing them waits for threads that did not survive the fork either.
- Functions that are registered by `after_fork` run in every forked child. They only reset locks and forget objects.

Two more changes are made where they are needed, for the duration of a call: tracing a network turns off torch's fast
path of attention (``featx/encoders/_trace.py``), and writing ONNX silences the loggers of torch's exporter
(``featx/runtimes/_onnx.py``).
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_telemetry_lock = threading.RLock()
# Whether threads of torch may have been lost in a fork.
_has_lost_threads = False


def after_fork(function: Callable[[], None]) -> None:
    """Call a function in every forked child; systems without fork ignore it."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)


def make_torch_fork_safe() -> None:
    """Limit torch to one thread, if this process was forked from one that may have used more."""
    global _has_lost_threads
    if _has_lost_threads:
        import torch

        torch.set_num_threads(1)
        _has_lost_threads = False


def never_free(thing: object) -> None:
    """Keep an object until the process ends, whoever else drops it."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


@contextmanager
def no_telemetry() -> Iterator[None]:
    """Import or use OpenVINO's tools without their reports to a web service."""
    with _telemetry_lock:  # the environment is shared by all threads
        before = os.environ.get("CI")
        os.environ["CI"] = "true"
        try:
            yield
        finally:
            if before is None:
                os.environ.pop("CI", None)
            else:
                os.environ["CI"] = before


@contextmanager
def float32_mode(mode: str, device: str) -> Iterator[None]:
    """Set how torch multiplies float32; threads that want the same mode share it, others wait.

    Parameters
    ----------
    mode : {"ieee", "tf32"}
        Exact products, or those of tensor cores.
    device : str
        Where the network runs, such as ``"cpu"`` or ``"cuda:0"``.
    """
    make_torch_fork_safe()
    settings = _float32_settings
    settings.enter(mode, device.partition(":")[0])
    try:
        yield
    finally:
        settings.leave()


class _Float32Settings:
    """Torch's settings of float32: those in force, and those to put back when the last network has run."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0
        self._mode = ("", "")
        self._before: list[tuple[Any, str, Any]] = []

    def enter(self, mode: str, kind: str) -> None:
        with self._changed:
            # Networks of another mode run after those of this one: a process has only one setting.
            self._changed.wait_for(lambda: not self._running or self._mode == (mode, kind))
            if not self._running:
                self._mode = mode, kind
                settings = _list_settings(mode, kind)
                self._before = [(owner, name, getattr(owner, name)) for owner, name, _ in settings]
                for owner, name, value in settings:
                    setattr(owner, name, value)
            self._running += 1

    def leave(self) -> None:
        with self._changed:
            self._running -= 1
            if not self._running:
                self.put_back()
                self._changed.notify_all()

    def put_back(self) -> None:
        while self._before:
            owner, name, value = self._before.pop(0)
            if name == "fp32_precision":
                # One that followed a wider setting must follow it again, and torch does not show which did.
                setattr(owner, name, "none")
            if getattr(owner, name) != value:
                setattr(owner, name, value)


def _list_settings(mode: str, kind: str) -> list[tuple[Any, str, Any]]:
    """List the owners, names and values of the settings that a mode consists of."""
    import torch

    backends = torch.backends
    on_cuda = kind == "cuda"
    if not hasattr(backends.cuda.matmul, "fp32_precision"):  # torch 2.8 and older; the first sets the CPU's too
        owners = [backends.cuda.matmul, backends.cudnn][: 1 + on_cuda]
        return [(owner, "allow_tf32", mode == "tf32") for owner in owners]
    if on_cuda:
        # The RNNs' too: torch's older flag for both raises where they differ.
        return [
            (owner, "fp32_precision", mode) for owner in (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)
        ]
    return [(owner, "fp32_precision", mode) for owner in (backends.mkldnn.matmul, backends.mkldnn.conv)]


_float32_settings = _Float32Settings()


def _reset_after_fork() -> None:
    """Forget what other threads of the parent were doing; they do not exist in the child."""
    global _telemetry_lock, _float32_settings, _has_lost_threads
    _telemetry_lock = threading.RLock()
    _float32_settings.put_back()
    _float32_settings = _Float32Settings()
    _has_lost_threads = "torch" in sys.modules


after_fork(_reset_after_fork)
