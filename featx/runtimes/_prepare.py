"""A network made ready to run: built, tried on an image, channels last, batch normalization folded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from featx._process import float32_mode
from featx.encoders import EncoderSpec, build_network
from featx.exceptions import FeatxError, ParameterError
from featx.runtimes._fold import fold_batch_norms


def prepare(specs: Sequence[EncoderSpec]) -> tuple[torch.nn.Module, tuple[int, ...]]:
    """Build a network on the CPU, try it and fold its batch normalizations.

    Parameters
    ----------
    specs : sequence of EncoderSpec
        Layers of one network.

    Returns
    -------
    network : Module
        Takes uint8 (n, size, size, 3) and returns a tuple of float32 (n, dim).
    dims : tuple of int
        Length of the embedding of each layer.

    Raises
    ------
    ParameterError
        If the network cannot take images of the size that the preprocessing makes.
    """
    with as_published():
        example = example_batch(specs, 2)
        network, dims = _build(specs, example[:1])
        return fold_batch_norms(network, example, keep={f"network.{spec.layer}" for spec in specs}), dims


@contextmanager
def as_published() -> Iterator[None]:
    """Compute on the CPU in IEEE float32, whatever the process has set for other work."""
    with torch.device("cpu"), torch.autocast("cpu", enabled=False), float32_mode("ieee", "cpu"):
        yield


def example_batch(specs: Sequence[EncoderSpec], n: int) -> torch.Tensor:
    """Draw noise, the same each time: uint8 (n, size, size, 3)."""
    size = specs[0].preprocess.size
    generator = torch.Generator("cpu").manual_seed(0)
    return torch.randint(0, 256, (n, size, size, 3), dtype=torch.uint8, generator=generator, device="cpu")


def _build(specs: Sequence[EncoderSpec], example: torch.Tensor) -> tuple[torch.nn.Module, tuple[int, ...]]:
    """Build a network and try it: channels last, which is faster, unless it requires the other layout."""
    network = build_network(specs).to(memory_format=torch.channels_last)
    try:
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


def relative_l2(got: np.ndarray, wanted: np.ndarray) -> float:
    """Compute how far numbers are from those that are wanted, relative to these; infinite where others are finite."""
    if not np.array_equal(np.isfinite(got), np.isfinite(wanted)):
        return np.inf
    got, wanted = np.nan_to_num(got), np.nan_to_num(wanted)
    return float(np.linalg.norm(got - wanted)) / max(float(np.linalg.norm(wanted)), 1e-12)
