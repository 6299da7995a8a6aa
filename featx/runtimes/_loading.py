"""`Runtime`, the contract of what runs a network, and the runtimes that this process keeps loaded."""

from __future__ import annotations

import queue
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from featx._machine import count_processors
from featx._process import after_fork, never_free
from featx._warnings import warn
from featx.encoders import EncoderSpec
from featx.exceptions import ConversionError, FallbackWarning, ParameterError
from featx.runtimes._choose import Choice, check_devices, choose

_KEPT = 2
# While a device runs one batch, the next is on its way to it.
_CALLS_PER_DEVICE = 2

_loaded: OrderedDict[tuple, Runtime] = OrderedDict()
_lock = threading.RLock()


class Runtime(Protocol):
    """What runs a network: it alone handles eval mode, precision, memory layout, padding and folding.

    Attributes
    ----------
    name, device : str
        Names for the store's metadata.
    dims : tuple of int
        Length of the embedding of each layer.
    batch_size : int
        Number of images per call at which it is fastest.
    """

    name: str
    device: str
    dims: tuple[int, ...]
    batch_size: int

    def run(self, batch: np.ndarray, *, alone: bool = False) -> np.ndarray:
        """Encode a batch; several threads may do so at once.

        Parameters
        ----------
        batch : uint8 array of shape (n, size, size, 3)
            The pixels.
        alone : bool, default=False
            Whether the call may use all processors; else it uses one.

        Returns
        -------
        float32 array of shape (n, sum of dims)
            The layers side by side.
        """
        ...

    def close(self) -> None:
        """Release the memory."""
        ...


def get_runtime(
    specs: Sequence[EncoderSpec],
    runtime: str = "auto",
    device: str | Sequence[str] = "auto",
    n_threads: int | None = None,
) -> Runtime:
    """Load a network, or return it if it is loaded: a process keeps the two last used.

    Parameters
    ----------
    specs : sequence of EncoderSpec
        Layers of one network.
    runtime : {"auto", "openvino", "torch"}, default="auto"
        "auto" is torch on CUDA and OpenVINO on the CPU, or torch where OpenVINO cannot run.
    device : str or sequence of str, default="auto"
        "auto" is CUDA where there is a CUDA device, else the CPU; several CUDA devices share the work.
    n_threads : int, default=None
        Number of processors for OpenVINO; None is all.

    Returns
    -------
    Runtime
        The loaded network, which other callers may share.

    Raises
    ------
    DeviceError
        If this machine lacks the device, or the device does not run the precision.
    MissingDependencyError
        If `runtime` is not installed.
    ConversionError
        If the network cannot be converted and torch would not give the same numbers in its precision.
    """
    if specs[0].graph is not None:
        runtime, device = _where_graphs_run(specs[0].name, runtime, device)
    choice = choose(runtime, device)
    # torch has one number of threads per process, which is the user's to set.
    n_threads = (n_threads or count_processors()) if choice.runtime == "openvino" else 0
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
            warn(f"{error} It runs in torch instead, more slowly.", FallbackWarning)
    from featx.runtimes._torch import TorchRuntime

    if len(choice.devices) == 1:
        return TorchRuntime(specs, choice.devices[0])
    return SeveralDevices([TorchRuntime(specs, device) for device in choice.devices])


def _reset_after_fork() -> None:
    """Forget, in a forked child, what the parent had loaded: its threads and CUDA context are not there."""
    global _lock
    for runtime in _loaded.values():
        never_free(runtime)
    _loaded.clear()
    _lock = threading.RLock()


after_fork(_reset_after_fork)


class SeveralDevices:
    """Runtimes of one network on several devices; each call goes to one that is free. See `Runtime`.

    They are served by threads of this process, so scripts do not need ``if __name__ == "__main__"``.

    Parameters
    ----------
    runtimes : sequence of Runtime
        Runtimes that differ only in their device.
    """

    def __init__(self, runtimes: Sequence[Runtime]):
        self.name, self.dims = runtimes[0].name, runtimes[0].dims
        self.batch_size = runtimes[0].batch_size
        self.device = ",".join(runtime.device for runtime in runtimes)
        self._runtimes = list(runtimes)
        self._free: queue.SimpleQueue[Runtime] = queue.SimpleQueue()
        for runtime in self._runtimes * _CALLS_PER_DEVICE:
            self._free.put(runtime)

    def run(self, batch: np.ndarray, *, alone: bool = False) -> np.ndarray:
        """Encode a batch; see `Runtime.run`."""
        runtime = self._free.get()
        try:
            return runtime.run(batch, alone=alone)
        finally:
            self._free.put(runtime)

    def close(self) -> None:
        """Release the memory."""
        for runtime in self._runtimes:
            runtime.close()
