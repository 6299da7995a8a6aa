"""The end of a network as a network of its own: from what a node gave to the head's output."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from featx.encoders import FEATURE
from featx.exceptions import ParameterError

if TYPE_CHECKING:
    import torch


def cut(network: torch.nn.Module, head: str, nodes: Sequence[str]) -> tuple[torch.nn.Module, str] | None:
    """Cut a network behind the first of some nodes that allows it.

    A node allows it if the network can be traced with it as one step, and nothing but its output is needed after it.

    Parameters
    ----------
    network : torch.nn.Module
    head : str
        The node that is the head.
    nodes : sequence of str
        ``"feature"`` leaves the head alone.

    Returns
    -------
    suffix : torch.nn.Module
        It shares its nodes with the network, by the same names.
    node : str
        Or None where no node allows it.
    """
    for node in nodes:
        if node == FEATURE:
            return network.get_submodule(head), node
        with suppress(Exception):  # whatever a network says of being traced
            suffix = _cut(network, head, node)
            if suffix is not None:
                return suffix, node
    return None


def whole(network: torch.nn.Module, head: str, size: int) -> torch.nn.Module:
    """The network itself, once it is known to end in its head.

    Raises
    ------
    ParameterError
        If something comes after the head.
    """
    import torch

    outputs = []
    hook = network.get_submodule(head).register_forward_hook(lambda _node, _inputs, output: outputs.append(output))
    with torch.inference_mode():
        output = network(torch.zeros(1, 3, size, size, device="cpu"))
    hook.remove()
    if not isinstance(output, torch.Tensor) or not torch.equal(output, outputs[-1]):
        raise ParameterError(
            f"{type(network).__name__} computes something after its last linear layer {head!r}, such as a softmax. "
            "Expected a network that ends there: wrap one without it with featx.Encoder.from_module."
        )
    return network


def _cut(network: torch.nn.Module, head: str, node: str) -> torch.nn.Module | None:
    from torch.fx import GraphModule

    graph = _tracer({node, head}).trace(network)
    steps = {step.target: step for step in graph.nodes if step.op == "call_module" and step.target in (node, head)}
    (pixels,) = (step for step in graph.nodes if step.op == "placeholder")
    with graph.inserting_before(steps[node]):
        activation = graph.placeholder("activation")
    steps[node].replace_all_uses_with(activation)
    for output in [step for step in graph.nodes if step.op == "output"]:
        output.args = (steps[head],)
    for check in [step for step in graph.nodes if getattr(step.target, "__name__", "") == "_assert"]:
        graph.erase_node(check)
    suffix = GraphModule(network, graph)
    graph.eliminate_dead_code()
    if pixels.users:  # a second way around the node
        return None
    graph.erase_node(pixels)
    suffix.recompile()
    suffix.delete_all_unused_submodules()
    return suffix.eval()


def _tracer(steps: set[str]) -> Any:
    """A tracer to which some nodes, and all that have none inside, are one step."""
    from torch.fx import Tracer

    class Coarse(Tracer):
        def is_leaf_module(self, module: torch.nn.Module, name: str) -> bool:
            return name in steps or not list(module.children()) or super().is_leaf_module(module, name)

    return Coarse()
