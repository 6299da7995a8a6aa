"""How large a network is, up to the layers that are wanted of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from featx.encoders._network import build_network
from featx.encoders._spec import EncoderSpec

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class NetworkSize:
    """Numbers that a network keeps.

    Attributes
    ----------
    parameters : int
        Of all that comes before the layers wanted.
    activations : int
        Of the largest map of one image and the largest that goes into the same node: both must be there at once.
    """

    parameters: int
    activations: int


def network_size(specs: Sequence[EncoderSpec]) -> NetworkSize:
    """Run a black image through a network, and count.

    Parameters
    ----------
    specs : sequence of EncoderSpec
        Layers of one network, which is no graph in a file.

    Examples
    --------
    >>> from featx.encoders import network_size, resolve
    >>> network_size(resolve("efficientnet_lite0")).parameters  # without the classifier's 1,281,000
    3371008
    """
    return _size(tuple(specs))


@lru_cache(maxsize=64)
def _size(specs: tuple[EncoderSpec, ...]) -> NetworkSize:
    import torch

    network = build_network(specs)
    counted: dict[int, int] = {}
    activations = [0]

    def wanted() -> bool:
        return any(tap.output is None for tap in network.taps)

    def count(node: torch.nn.Module, recurse: bool) -> None:
        counted.update((id(value), value.numel()) for value in node.parameters(recurse))

    def before(node: torch.nn.Module, inputs: tuple) -> None:
        if wanted():
            count(node, recurse=False)

    def after(node: torch.nn.Module, inputs: tuple, output: object) -> None:
        if wanted():
            count(node, recurse=True)  # some run their parts by the weights alone
            tensors = [value for value in (*inputs, output) if isinstance(value, torch.Tensor)]
            activations.append(sum(value[:1].numel() for value in tensors))

    for node in network.network.modules():
        # First, so that a tap that sits on the classifier's input does not count the classifier.
        node.register_forward_pre_hook(before)
        node.register_forward_hook(after)
    size = specs[0].preprocess.size
    with torch.inference_mode():
        network(torch.zeros(1, size, size, 3, dtype=torch.uint8))
    return NetworkSize(sum(counted.values()), max(activations))
