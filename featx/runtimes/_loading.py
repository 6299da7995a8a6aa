"""Which networks this process keeps loaded."""

from __future__ import annotations

import ctypes
import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Sequence

from featx._machine import count_threads
from featx.encoders import EncoderSpec
from featx.exceptions import ConversionError, FallbackWarning, ParameterError
from featx.runtimes._choose import Choice, check_devices, choose
from featx.runtimes.base import Runtime

_KEPT = 2


_loaded: OrderedDict[tuple, Runtime] = OrderedDict()
_lock = threading.RLock()


def get_runtime(
    specs: Sequence[EncoderSpec],
    runtime: str = "auto",
    device: str | Sequence[str] = "auto",
    n_threads: int | None = None,
) -> Runtime:
    """Load a network, or hand out the one that is loaded: a process keeps the two last used.

    Parameters
    ----------
    specs : sequence of EncoderSpec
        Layers of one network.
    runtime : {"auto", "openvino", "torch"}, default="auto"
        "auto" is torch on CUDA and OpenVINO on the CPU, torch where OpenVINO cannot run.
    device : str or sequence of str, default="auto"
        "auto" is CUDA where there is one, else the CPU; several CUDA devices share the work.
    n_threads : int, default=None
        Processors for OpenVINO; None is all.

    Raises
    ------
    DeviceError
        If this machine lacks the device, or the device the precision.
    MissingDependencyError
        If the runtime that was asked for is not installed.
    ConversionError
        If a network cannot be converted for a precision whose numbers torch does not give.
    """
    if specs[0].graph is not None:
        runtime, device = _where_graphs_run(specs[0].name, runtime, device)
    choice = choose(runtime, device)
    # torch has one number of threads a process, which is not ours to set.
    n_threads = (n_threads or count_threads(None)) if choice.runtime == "openvino" else 0
    key = (tuple(spec.fingerprint() for spec in specs), choice, n_threads)
    with _lock:
        if key not in _loaded:
            check_devices(choice.devices)
            _loaded[key] = _load(specs, choice, n_threads)
            while len(_loaded) > _KEPT:
                _loaded.popitem(last=False)  # not closed: another thread may be running it
        _loaded.move_to_end(key)
        return _loaded[key]


def _where_graphs_run(name: str, runtime: str, device: str | Sequence[str]) -> tuple[str, str]:
    if runtime not in ("auto", "openvino") or device not in ("auto", "cpu", ["cpu"], ("cpu",)):
        raise ParameterError(
            f"Got runtime={runtime!r} and device={device!r} for {name!r}, an OpenVINO graph. Expected runtime='auto' "
            "and device='cpu': it runs in OpenVINO."
        )
    return "openvino", "cpu"


def _load(specs: Sequence[EncoderSpec], choice: Choice, n_threads: int) -> Runtime:
    if choice.runtime == "openvino":
        from featx.runtimes._openvino import OpenVinoRuntime

        try:
            return OpenVinoRuntime(specs, n_threads)
        except ConversionError as error:
            if specs[0].precision != "float32":  # other numbers would come under this fingerprint
                raise
            warnings.warn(f"{error} It runs in torch instead, more slowly.", FallbackWarning, stacklevel=2)
    from featx.runtimes._torch import TorchRuntime

    if len(choice.devices) == 1:
        return TorchRuntime(specs, choice.devices[0])
    from featx.runtimes._several import SeveralDevices

    return SeveralDevices([TorchRuntime(specs, device) for device in choice.devices])


def _reset_after_fork() -> None:
    """A forked child must not share the parent's threads and CUDA context."""
    global _lock
    for runtime in _loaded.values():
        # Never freed: OpenVINO would wait for threads that did not come along.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(runtime))
    _loaded.clear()
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
