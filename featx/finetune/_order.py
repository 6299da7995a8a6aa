"""In which order a network's nodes work, and which of them are its blocks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from itertools import count, pairwise
from typing import TYPE_CHECKING, Any

from featx.encoders import FEATURE, EncoderSpec, list_nodes, skeleton, trace

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Order:
    """When each node of a network begins and ends.

    Attributes
    ----------
    network : torch.nn.Module
    classifier : str or None
        The node whose input is the feature; None: the network's output is it.
    begins, ends : dict of str to int
        By the names of nodes, when they first begin and last end; of those that the forward pass calls.
    shapes : dict of str to tuple of int
        What the nodes between blocks give for one image, in the order in which they end; ``"feature"`` is last.
    """

    network: torch.nn.Module
    classifier: str | None
    begins: dict[str, int]
    ends: dict[str, int]
    shapes: dict[str, tuple[int, ...]]

    def begin(self, node: str) -> int:
        """When a node begins; one that is never called itself belongs to the one around it."""
        while node and node not in self.begins:
            node = node.rpartition(".")[0]
        return self.begins[node]

    def shape(self, node: str) -> tuple[int, ...]:
        """What is embedded of a node for one image: a feature that is a map is pooled."""
        return self.shapes[node][:1] if node == FEATURE else self.shapes[node]

    def begin_of_parameters(self) -> dict[str, int]:
        """When the node of each parameter begins."""
        return {name: self.begin(name.rpartition(".")[0]) for name, _ in self.network.named_parameters()}

    @cached_property
    def blocks(self) -> dict[str, int]:
        """The nodes that end a block, and when the block begins: after the node before it.

        A block multiplies twice or more; in a network that has none such, each node with weights is one.
        """
        weights = [
            when
            for (name, when), parameter in zip(
                self.begin_of_parameters().items(), self.network.parameters(), strict=True
            )
            if parameter.ndim > 1 and not self._in_classifier(name)
        ]
        nodes = [name for name in self.shapes if name != FEATURE]
        spans = {nodes[0]: (0, self.ends[nodes[0]])} if nodes else {}
        spans |= {name: (self.ends[before], self.ends[name]) for before, name in pairwise(nodes)}
        held = {name: sum(begin <= when < end for when in weights) for name, (begin, end) in spans.items()}
        least = 2 if any(n > 1 for n in held.values()) else 1
        return {name: begin for name, (begin, _) in spans.items() if held[name] >= least}

    def _in_classifier(self, parameter: str) -> bool:
        return self.classifier is not None and parameter.startswith(f"{self.classifier}.")


def order_of(spec: EncoderSpec) -> Order:
    """Build an encoder's network and watch one forward pass.

    Parameters
    ----------
    spec : EncoderSpec

    Returns
    -------
    Order

    Raises
    ------
    ParameterError
        If the network cannot take such images.
    """
    network, size = spec.build().eval(), spec.preprocess.size
    passed = trace(lambda device: network if device == "cpu" else skeleton(network).to(device), spec.classifier, size)
    begins, ends = _clock(network, size)
    shapes = {node.name: tuple(node.output.shape[1:]) for node in list_nodes(passed) if node.name in ends}
    shapes[FEATURE] = tuple(passed.visits[FEATURE].output.shape[1:])
    return Order(network, spec.classifier, begins, ends, shapes)


def _clock(network: torch.nn.Module, size: int) -> tuple[dict[str, int], dict[str, int]]:
    import torch

    ticks, begins, ends = count(), {}, {}

    def begin(name: str, *_: Any) -> None:
        begins.setdefault(name, next(ticks))

    def end(name: str, *_: Any) -> None:
        ends[name] = next(ticks)

    hooks = [
        hook
        for name, node in network.named_modules()
        for hook in (
            node.register_forward_pre_hook(partial(begin, name)),
            node.register_forward_hook(partial(end, name)),
        )
    ]
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 3, size, size, device="cpu"))
    finally:
        for hook in hooks:
            hook.remove()
    return begins, ends
