"""A network made ready to run: tried on an image, channels last, batch normalisation folded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from featx.encoders import EncoderSpec, build_network
from featx.exceptions import FeatxError, ParameterError
from featx.runtimes._fold import fold_batch_norms
from featx.runtimes._precision import float32_mode


def prepare(specs: Sequence[EncoderSpec]) -> tuple[torch.nn.Module, tuple[int, ...]]:
    """Build a network on the CPU.

    Parameters
    ----------
    specs : sequence of EncoderSpec
        Layers of one network.

    Returns
    -------
    network : Module
        uint8 (n, size, size, 3) -> tuple of float32 (n, dim).
    dims : tuple of int

    Raises
    ------
    ParameterError
        If the network cannot take images of the preprocess's size.
    """
    with as_published():
        example = example_batch(specs, 2)
        network, dims = _build(specs, example[:1])
        return fold_batch_norms(network, example, keep={f"network.{spec.layer}" for spec in specs}), dims


@contextmanager
def as_published() -> Iterator[None]:
    """On the CPU, in IEEE float32, whatever the process has set for its own work."""
    with torch.device("cpu"), torch.autocast("cpu", enabled=False), float32_mode("ieee", "cpu"):
        yield


def example_batch(specs: Sequence[EncoderSpec], n: int) -> torch.Tensor:
    """Noise, the same each time: uint8 (n, size, size, 3)."""
    size = specs[0].preprocess.size
    generator = torch.Generator("cpu").manual_seed(0)
    return torch.randint(0, 256, (n, size, size, 3), dtype=torch.uint8, generator=generator, device="cpu")


def _build(specs: Sequence[EncoderSpec], example: torch.Tensor) -> tuple[torch.nn.Module, tuple[int, ...]]:
    """Build a network and try it: channels last, which is faster, unless it relies on the other layout."""
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


def _reset_after_fork() -> None:
    """The threads of OpenMP did not come along, and a child that waits for them never ends."""
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
