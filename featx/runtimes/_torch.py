"""PyTorch: the reference on the CPU, and the runtime for CUDA."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from featx._process import float32_mode
from featx._warnings import warn
from featx.encoders import EncoderSpec
from featx.exceptions import DeviceError, FallbackWarning, ParameterError
from featx.runtimes._prepare import example_batch, prepare

# Batches that a GPU holds: while one is computed, the next is on its way.
_AT_ONCE = 2
_HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class TorchRuntime:
    """A network in eval mode, batch normalization folded; see `Runtime`.

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
        If the network cannot take images of the size that the preprocessing makes, or cannot run in the precision.
    """

    name = "torch"

    def __init__(self, specs: Sequence[EncoderSpec], device: str):
        precision = specs[0].precision
        check_precision(precision, device)
        self.device = device
        self.batch_size = 32 if device == "cpu" else 128
        self._limit: int | None = None
        self._warned = False
        self._lock = threading.Lock()
        self._mode = "tf32" if precision == "tf32" else "ieee"
        network, self.dims = prepare(specs)
        if precision in _HALVES:
            network.reduce(_HALVES[precision])  # here, not on the device, where streams would have to wait for it
        self._network = network.to(device)
        self._streams: queue.SimpleQueue[torch.cuda.Stream] = queue.SimpleQueue()
        for _ in range(0 if device == "cpu" else _AT_ONCE):
            self._streams.put(torch.cuda.Stream(device))
        if precision in _HALVES:
            self._try(specs)

    def run(self, batch: np.ndarray, *, alone: bool = False) -> np.ndarray:
        """Encode a batch; see `Runtime.run`. A full GPU gets half the batch, and no more from then on."""
        pixels = torch.from_numpy(np.require(batch, requirements=["C", "W"]))
        part = min(self._limit or len(pixels), len(pixels)) or 1
        while True:
            try:
                return np.concatenate([self._run(some) for some in pixels.split(part)])
            except torch.OutOfMemoryError:
                if part == 1:
                    raise
            # Outside of the block, because the error holds the memory.
            part = self._halve(part, len(pixels) >= self.batch_size)

    def close(self) -> None:
        """Release the memory."""
        del self._network

    def _run(self, pixels: torch.Tensor) -> np.ndarray:
        with torch.inference_mode(), float32_mode(self._mode, self.device), self._stream():
            if self.device != "cpu":
                pixels = pixels.pin_memory().to(self.device, non_blocking=True)
            with self._lock:  # hooks keep a network's outputs
                rows = torch.cat(self._network(pixels), dim=1)
            return rows.cpu().numpy()

    @contextmanager
    def _stream(self) -> Iterator[None]:
        """Use one of the device's streams; a stream keeps memory, so there are only as many as run at once."""
        if self.device == "cpu":
            yield
            return
        stream = self._streams.get()
        try:
            with torch.cuda.stream(stream):
                yield
        finally:
            self._streams.put(stream)

    def _halve(self, part: int, lasting: bool) -> int:
        half = part // 2
        with self._lock:
            first, self._warned = not self._warned, True
            if lasting:  # a few images that find no room do not show how much there is
                self._limit = min(self._limit or half, half)
        if self.device != "cpu":
            torch.cuda.empty_cache()
        if first:
            warn(
                f"{self.device} has no memory for {part} images at once: it gets {half} or less. "
                "A smaller batch_size= avoids this.",
                FallbackWarning,
            )
        return half

    def _try(self, specs: Sequence[EncoderSpec]) -> None:
        """Refuse networks that make float32 tensors themselves, and cannot run in less."""
        try:
            self.run(example_batch(specs, 1).numpy())
        except (RuntimeError, TypeError) as error:
            raise ParameterError(
                f"{specs[0].name!r} cannot run with precision={specs[0].precision!r}: {error}. Use 'float32'."
            ) from error


def check_precision(precision: str, device: str) -> None:
    """Refuse a precision that the device does not run.

    Parameters
    ----------
    precision : str
        As in `ImageEncoder`.
    device : str
        ``"cpu"`` or a CUDA device.

    Raises
    ------
    DeviceError
        If the device does not run it; the message lists what it runs.
    """
    runs = ["float32", "bfloat16"]
    if device.startswith("cuda"):
        # Tensor cores take TF32 and bfloat16 from compute capability 8.0 (Ampere) on.
        new = torch.cuda.get_device_capability(device) >= (8, 0)
        runs = ["float32", "tf32", "bfloat16", "float16"] if new else ["float32", "float16"]
    if precision not in runs:
        raise DeviceError(f"Got precision={precision!r}. Expected one of {', '.join(map(repr, runs))} on {device!r}.")
