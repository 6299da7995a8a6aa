"""PyTorch: the reference on the CPU, and what runs on CUDA."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Sequence

import numpy as np
import torch

from featx.encoders import EncoderSpec
from featx.exceptions import FallbackWarning, ParameterError
from featx.runtimes._precision import HALVES, check_precision, float32_mode
from featx.runtimes._prepare import example_batch, prepare

_NO_LIMIT = 2**31


class TorchRuntime:
    """A network in eval mode, batch normalisation folded; see `Runtime`.

    Parameters
    ----------
    specs : sequence of EncoderSpec
        Layers of one network.
    device : str
        ``"cpu"`` or ``"cuda:0"``.

    Raises
    ------
    DeviceError
        If the device does not run the specs' precision.
    ParameterError
        If the network cannot take images of the preprocess's size, or cannot run in the precision.
    """

    name = "torch"

    def __init__(self, specs: Sequence[EncoderSpec], device: str):
        precision = specs[0].precision
        check_precision(precision, device)
        self.device = device
        self.batch_size = 32 if device == "cpu" else 128
        self._lock = threading.Lock()
        self._mode = "tf32" if precision == "tf32" else "ieee"
        self._limit = _NO_LIMIT
        network, self.dims = prepare(specs)
        self._network = network.to(device)
        if precision in HALVES:
            network.reduce(HALVES[precision])
            self._try(specs)

    def run(self, batch: np.ndarray, *, alone: bool = False) -> np.ndarray:
        """Encode; see `Runtime.run`. A full GPU gets half the batch, and less from then on."""
        pixels = torch.from_numpy(np.require(batch, requirements=["C", "W"]))
        limit = min(self._limit, len(pixels)) or 1
        try:
            return np.concatenate([self._run(part) for part in pixels.split(limit)])
        except torch.OutOfMemoryError:
            if limit == 1:
                raise
        self._halve(limit)  # outside: the error holds the memory
        return self.run(batch)

    def close(self) -> None:
        """Give memory back."""
        del self._network

    def _run(self, pixels: torch.Tensor) -> np.ndarray:
        on_cuda = self.device != "cpu"
        if on_cuda:
            pixels = pixels.pin_memory()
        # One stream a thread: while a network runs, the next batch is on its way to the device.
        with torch.inference_mode(), float32_mode(self._mode), torch.cuda.stream(_stream(self.device)):
            pixels = pixels.to(self.device, non_blocking=True)
            with self._lock:  # hooks keep a network's outputs
                rows = torch.cat(self._network(pixels), dim=1)
            return rows.cpu().numpy()

    def _halve(self, limit: int) -> None:
        with self._lock:
            first, self._limit = self._limit == _NO_LIMIT, min(self._limit, limit // 2)
        torch.cuda.empty_cache()
        if first:
            warnings.warn(
                f"{self.device} has no memory for {limit} images at once: from now on it gets {limit // 2} or less. "
                "A smaller batch_size= avoids this.",
                FallbackWarning,
                stacklevel=2,
            )

    def _try(self, specs: Sequence[EncoderSpec]) -> None:
        """Some networks make float32 tensors of their own, and cannot run in less."""
        try:
            self.run(example_batch(specs, 1).numpy())
        except (RuntimeError, TypeError) as error:
            raise ParameterError(
                f"{specs[0].name!r} cannot run with precision={specs[0].precision!r}: {error}. Use 'float32'."
            ) from error


_streams = threading.local()


def _stream(device: str) -> torch.cuda.Stream | None:
    if device == "cpu":
        return None
    streams = _streams.__dict__
    if device not in streams:
        streams[device] = torch.cuda.Stream(device)
    return streams[device]


def _reset_after_fork() -> None:
    """The threads of OpenMP did not come along, and a child that waits for them never ends."""
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
