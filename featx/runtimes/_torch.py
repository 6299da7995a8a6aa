"""Eager PyTorch: the reference, on the CPU and on CUDA."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

import numpy as np
import torch

from featx.encoders import EncoderSpec, build_network
from featx.exceptions import FeatxError, ParameterError
from featx.runtimes._fold import fold_batch_norms


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
    ParameterError
        If the network cannot take images of the preprocess's size.
    """

    name = "torch"

    def __init__(self, specs: Sequence[EncoderSpec], device: str):
        self.device = device
        self._lock = threading.Lock()
        size = specs[0].preprocess.size
        with torch.device("cpu"):  # whatever default device the process has
            generator = torch.Generator().manual_seed(0)
            example = torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8, generator=generator)
            network, self.dims = _build(specs, example[:1])
            network = fold_batch_norms(network, example, keep={f"network.{spec.layer}" for spec in specs})
        self._network = network.to(device)

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Encode; see `Runtime.run`."""
        with self._lock, torch.inference_mode(), _ieee_float32:
            pixels = torch.from_numpy(np.require(batch, requirements=["C", "W"])).to(self.device)
            return torch.cat(self._network(pixels), dim=1).cpu().numpy()

    def close(self) -> None:
        """Give memory back."""
        del self._network


def _build(specs: Sequence[EncoderSpec], example: torch.Tensor) -> tuple[torch.nn.Module, tuple[int, ...]]:
    """Build a network and try it: channels last, which is faster, unless it relies on the other layout."""
    try:
        network = build_network(specs).to(memory_format=torch.channels_last)
        with torch.inference_mode():
            try:
                outputs = network(example)
            except RuntimeError:  # such as x.view(n, -1)
                network.channels_last = False
                outputs = network.to(memory_format=torch.contiguous_format)(example)
    except FeatxError:
        raise
    except Exception as error:
        size = specs[0].preprocess.size
        raise ParameterError(
            f"{specs[0].name!r} cannot take images of {size} x {size}: {error}. Use its own preprocess."
        ) from error
    return network, tuple(output.shape[1] for output in outputs)


class _IeeeFloat32:
    """Reduced precision off while a network of ours runs; the last one to end puts the process's settings back."""

    def __init__(self):
        self._lock = threading.Lock()
        self._running = 0
        self._before: list[tuple[object, str, object]] = []

    def __enter__(self) -> None:
        with self._lock:
            if not self._running:
                self._before = [(owner, name, getattr(owner, name)) for owner, name, _ in _ieee_settings()]
                for owner, name, value in _ieee_settings():
                    setattr(owner, name, value)
            self._running += 1

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._running -= 1
            if not self._running:
                for owner, name, value in self._before:
                    setattr(owner, name, value)


def _ieee_settings() -> list[tuple[object, str, object]]:
    backends = torch.backends
    cuda, cudnn = backends.cuda.matmul, backends.cudnn
    if not hasattr(cuda, "fp32_precision"):  # torch 2.8 and older; the first sets the CPU's precision too
        return [(cuda, "allow_tf32", False), (cudnn, "allow_tf32", False)]
    owners = (cuda, cudnn.conv, backends.mkldnn.matmul, backends.mkldnn.conv)
    return [(owner, "fp32_precision", "ieee") for owner in owners]


_ieee_float32 = _IeeeFloat32()


def _reset_after_fork() -> None:
    """The threads of OpenMP did not come along, and a child that waits for them never ends."""
    torch.set_num_threads(1)
    _ieee_float32.__init__()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
