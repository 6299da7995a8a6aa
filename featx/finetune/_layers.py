"""In which order a network's layers run, which of them are its blocks, and which are tuned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import count, pairwise
from typing import TYPE_CHECKING, Any

from featx._validate import is_integer
from featx.encoders import FEATURE, EncoderSpec, list_nodes, skeleton, trace
from featx.exceptions import ParameterError, UnknownNameError

if TYPE_CHECKING:
    import torch

HEAD, LAST_BLOCK, ALL = "head", "last_block", "all"


@dataclass(frozen=True)
class ExecutionOrder:
    """When each node of a network begins and ends.

    Attributes
    ----------
    network : torch.nn.Module
        The network, with its weights.
    classifier : str or None
        The node whose input is the feature; None where the network's output is the feature.
    begins, ends : dict of str to int
        When the nodes that the forward pass calls first begin and last end, by their names.
    shapes : dict of str to tuple of int
        The shape of one image's output of each node between blocks, in the order in which they end; ``"feature"`` is
        last.
    """

    network: torch.nn.Module
    classifier: str | None
    begins: dict[str, int]
    ends: dict[str, int]
    shapes: dict[str, tuple[int, ...]]

    def begin(self, node: str) -> int:
        """Return when a node begins; one that is never called itself begins with the one around it."""
        while node and node not in self.begins:
            node = node.rpartition(".")[0]
        return self.begins[node]

    def shape(self, node: str) -> tuple[int, ...]:
        """Return the shape in which a node's output for one image is stored: a feature that is a map is pooled."""
        return self.shapes[node][:1] if node == FEATURE else self.shapes[node]

    def begin_of_parameters(self) -> dict[str, int]:
        """Return when the node of each parameter begins."""
        return {name: self.begin(name.rpartition(".")[0]) for name, _ in self.network.named_parameters()}

    @cached_property
    def blocks(self) -> dict[str, int]:
        """The nodes that end a block, and when the block begins: after the node before it.

        A block multiplies twice or more; in a network without such a block, each node with weights is one.
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


def execution_order(spec: EncoderSpec) -> ExecutionOrder:
    """Build an encoder's network and watch one forward pass.

    Parameters
    ----------
    spec : EncoderSpec
        An encoder that is a network, not a graph in a file.

    Returns
    -------
    ExecutionOrder
        With the network.

    Raises
    ------
    ParameterError
        If the network cannot take such images.
    """
    build: Callable[[], torch.nn.Module] | None = spec.build
    assert build is not None  # only a graph in a file has none
    network, size = build().eval(), spec.preprocess.size
    passed = trace(lambda device: network if device == "cpu" else skeleton(network).to(device), spec.classifier, size)
    begins, ends = _clock(network, size)
    shapes = {node.name: tuple(node.output.shape[1:]) for node in list_nodes(passed) if node.name in ends}
    shapes[FEATURE] = tuple(passed.visits[FEATURE].output.shape[1:])
    return ExecutionOrder(network, spec.classifier, begins, ends, shapes)


def _clock(network: torch.nn.Module, size: int) -> tuple[dict[str, int], dict[str, int]]:
    import torch

    ticks = count()
    begins: dict[str, int] = {}
    ends: dict[str, int] = {}

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


@dataclass(frozen=True)
class TuningPlan:
    """Which parameters are tuned, and where the frozen layers may end.

    Attributes
    ----------
    depths : dict of str to int
        The parameters that are tuned, without the head's, and how far from it their block is: 1 is the last block.
    cuts : tuple of str
        Nodes at which the frozen part may end, the latest first; ``"feature"`` where all is frozen.
    """

    depths: dict[str, int]
    cuts: tuple[str, ...]


def make_plan(order: ExecutionOrder, unfreeze: str | int) -> TuningPlan:
    """Decide which layers are tuned.

    Parameters
    ----------
    order : ExecutionOrder
        The network's.
    unfreeze : str or int
        ``"head"``, ``"last_block"``, a node, a number of blocks, or ``"all"``: that, and all that comes after it.

    Returns
    -------
    TuningPlan
        Parameters to tune and places to cut.

    Raises
    ------
    ParameterError
        If nothing would be tuned, or the network has fewer blocks.
    UnknownNameError
        If the network has no such node.
    """
    since = _since(order, unfreeze)
    end = order.begin(order.classifier) if order.classifier else max(order.ends.values()) + 1
    begins = {name: when for name, when in order.begin_of_parameters().items() if when < end}
    tuned = {name: when for name, when in begins.items() if when >= since}
    if unfreeze == HEAD:
        return TuningPlan({}, (FEATURE,))
    if not tuned:
        raise ParameterError(
            f"Got unfreeze={unfreeze!r}, after which no layer has weights: nothing would be tuned. Expected an earlier "
            "node (featx.list_layers shows them), or 'head' to train the head alone."
        )
    starts = list(order.blocks.values())
    depths = {name: 1 + sum(start > when for start in starts) for name, when in tuned.items()}
    first = min(tuned.values())
    cuts = [name for name in order.shapes if name != FEATURE and order.ends[name] < first]
    return TuningPlan(depths, tuple(reversed(cuts)) if len(tuned) < len(begins) else ())


def freeze(network: torch.nn.Module, depths: dict[str, int], head: str) -> None:
    """Compute gradients only for the parameters that are tuned, and for the head's."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in depths or name.startswith(f"{head}."))


def _since(order: ExecutionOrder, unfreeze: str | int) -> int:
    """Return when the first layer that is tuned begins."""
    if unfreeze == ALL:
        return 0
    if unfreeze == HEAD:
        return max(order.ends.values())
    if unfreeze == LAST_BLOCK:
        unfreeze = 1
    blocks = list(order.blocks.values())
    if is_integer(unfreeze):
        if not 0 < unfreeze <= len(blocks):
            raise ParameterError(
                f"Got unfreeze={unfreeze}; the network has {len(blocks)} blocks. Expected a number from 1 to that, or "
                "'head' to train the head alone."
            )
        return blocks[-unfreeze]
    if not isinstance(unfreeze, str) or not unfreeze:
        raise ParameterError(
            f"Got unfreeze={unfreeze!r}. Expected 'head', 'last_block', 'all', a node's name or a number of blocks."
        )
    nodes = [name for name in order.begins if name]
    if unfreeze not in nodes:
        raise UnknownNameError("layer", unfreeze, [HEAD, LAST_BLOCK, ALL, *nodes], "featx.list_layers() shows nodes.")
    return order.begins[unfreeze]
