"""Eager PyTorch: the reference, on the CPU and on CUDA."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from featx.encoders import EncoderSpec, build_network
from featx.exceptions import ParameterError
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
        network = build_network(specs)
        example = torch.randint(
            0, 256, (2, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
        )
        try:
            with torch.inference_mode():
                outputs = network(example[:1])
        except (AssertionError, RuntimeError, ValueError) as error:
            raise ParameterError(
                f"{specs[0].name!r} cannot take images of {size} x {size}: {error}. Use its own preprocess."
            ) from error
        self.dims = tuple(output.shape[1] for output in outputs)
        tapped = {f"network.{spec.layer}" for spec in specs}
        self._network = fold_batch_norms(network, example, keep=tapped).to(device, memory_format=torch.channels_last)

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Encode; see `Runtime.run`."""
        with self._lock, torch.inference_mode(), _ieee_float32(self.device):
            pixels = torch.from_numpy(np.require(batch, requirements="W")).to(self.device)
            return torch.cat(self._network(pixels), dim=1).cpu().numpy()

    def close(self) -> None:
        """Give memory back."""
        del self._network


@contextmanager
def _ieee_float32(device: str) -> Iterator[None]:
    """TF32 off while our network runs; the process's own setting is put back."""
    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if device == "cpu":
        settings = []
    elif hasattr(cuda, "fp32_precision"):  # torch 2.9 and newer: reading both interfaces is an error there
        settings = [(cuda, "fp32_precision", "ieee"), (cudnn.conv, "fp32_precision", "ieee")]
    else:
        settings = [(cuda, "allow_tf32", False), (cudnn, "allow_tf32", False)]
    before = [getattr(owner, name) for owner, name, _ in settings]
    try:
        for owner, name, value in settings:
            setattr(owner, name, value)
        yield
    finally:
        for (owner, name, _), value in zip(settings, before, strict=True):
            setattr(owner, name, value)
