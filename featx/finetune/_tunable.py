"""Networks to train: an encoder made ready (a new head, frozen layers, cut where they end), or a small new one."""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.encoders import FEATURE, Encoder, EncoderSpec
from featx.exceptions import ParameterError
from featx.finetune._layers import ExecutionOrder, execution_order, freeze, make_plan
from featx.images import Preprocess

if TYPE_CHECKING:
    import torch

logger = logging.getLogger("featx")
_FLOAT_BYTES = 4
# Around a network without a classifier.
_NETWORK, _POOL, _HEAD = "network", "pool", "head"


@dataclass(frozen=True)
class TunableNetwork:
    """What is trained.

    Attributes
    ----------
    network : torch.nn.Module
        From normalized images to the head's output.
    head : torch.nn.Linear
        The last layer.
    module : torch.nn.Module
        What an epoch computes: the network, or its part after `node`, which shares its weights.
    node : str or None
        The encoder's layer that the module begins after; None where it begins with the image.
    shape : tuple of int
        The shape of that node's output for one image.
    depths : dict of str to int
        The module's parameters that are tuned, and how many blocks they are from the end; the head's are 0.
    """

    network: torch.nn.Module
    head: torch.nn.Linear
    module: torch.nn.Module
    node: str | None
    shape: tuple[int, ...]
    depths: dict[str, int]


def make_tunable(
    spec: EncoderSpec, n_outputs: int, unfreeze: str | int, *, max_bytes: float = math.inf
) -> TunableNetwork:
    """Build an encoder's network with a new head.

    Parameters
    ----------
    spec : EncoderSpec
        The encoder.
    n_outputs : int
        The number of the head's outputs.
    unfreeze : str or int
        Where tuning begins, as for `make_plan`.
    max_bytes : float, default=inf
        Memory that one image's activations may take. The network is cut where they fit, so that what is frozen is
        computed once for each image and not once an epoch; 0 cuts nowhere.

    Returns
    -------
    TunableNetwork
        With the frozen layers frozen.

    Raises
    ------
    ParameterError
        If nothing would be tuned, or the network cannot get a head.
    """
    order = execution_order(spec)
    plan = make_plan(order, unfreeze)
    network, head = replace_head(order, n_outputs)
    prefix = network_node(order, "")
    depths = {f"{prefix}{name}": depth for name, depth in plan.depths.items()}
    freeze(network, depths, head)
    cuts = {f"{prefix}{node}" if node != FEATURE else node: order.shape(node) for node in plan.cuts if max_bytes}
    nodes = [node for node, shape in cuts.items() if _FLOAT_BYTES * math.prod(shape) <= max_bytes]
    module, node = cut(network, head, nodes) or (whole(network, head, spec.preprocess.size), None)
    if cuts and node is None:
        large = f"gives activations of more than {max_bytes:,.0f} bytes an image, too many to hold"
        why = "cannot be cut" if nodes else large
        logger.info("%s %s: its frozen layers are computed in each epoch", spec.name, why)
    full_names = {parameter: name for name, parameter in network.named_parameters()}
    tuned = {name: full_names[values] for name, values in module.named_parameters() if values.requires_grad}
    return TunableNetwork(
        network=network,
        head=network.get_submodule(head),
        module=module,
        node=node and node.removeprefix(prefix),
        shape=cuts[node] if node else (),
        depths={name: depths.get(full_name, 0) for name, full_name in tuned.items()},
    )


def replace_head(order: ExecutionOrder, n_outputs: int) -> tuple[torch.nn.Module, str]:
    """Give a network a linear head.

    Parameters
    ----------
    order : ExecutionOrder
        Its network is changed, or wrapped where it has no classifier.
    n_outputs : int
        The number of the head's outputs.

    Returns
    -------
    network : torch.nn.Module
        The network with the head.
    head : str
        The node that is the head.

    Raises
    ------
    ParameterError
        If its feature is not a vector; without a classifier it may be a map.
    """
    from torch import nn

    shape = order.shapes[FEATURE]
    linear = nn.utils.skip_init(nn.Linear, shape[0], n_outputs)
    draw_weights(linear, 0)
    if order.classifier is not None and len(shape) == 1:
        order.network.set_submodule(order.classifier, linear)
        return order.network.eval(), order.classifier
    if order.classifier is not None or len(shape) not in (1, 3):
        raise ParameterError(
            f"Got an encoder whose feature has shape {shape} an image. Expected a vector: wrap the network, without "
            "its classifier, with featx.Encoder.from_module."
        )
    pool = [] if len(shape) == 1 else [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    parts = {_NETWORK: order.network, _POOL: nn.Sequential(*pool), _HEAD: linear}
    return nn.Sequential(OrderedDict(parts)).eval(), _HEAD


def unwrap(network: torch.nn.Module) -> torch.nn.Module:
    """Return the encoder's network without what `replace_head` wrapped it in: its weights keep their names."""
    names = [name for name, _ in network.named_children()]
    return network.get_submodule(_NETWORK) if names == [_NETWORK, _POOL, _HEAD] else network


def network_node(order: ExecutionOrder, node: str) -> str:
    """Return what a node of an encoder's network is called after `replace_head`; the feature stays that."""
    return node if order.classifier or node == FEATURE else f"{_NETWORK}.{node}"


def set_weights(linear: torch.nn.Linear, coef: np.ndarray, intercept: np.ndarray) -> None:
    """Start a head from a linear model.

    Parameters
    ----------
    linear : torch.nn.Linear
        The head.
    coef : ndarray of shape (n_outputs, dim)
        Its weights.
    intercept : ndarray of shape (n_outputs,)
        Its biases.
    """
    import torch

    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(np.asarray(coef)))
        linear.bias.copy_(torch.from_numpy(np.asarray(intercept)))


def draw_weights(linear: torch.nn.Linear, seed: int) -> None:
    """Start a head at random, as torch does; the seed decides, and the process's random state stays."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    bound = linear.in_features**-0.5
    with torch.no_grad():
        for values in (linear.weight, linear.bias):
            values.uniform_(-bound, bound, generator=generator)


def keep_outputs(linear: torch.nn.Linear, n: int) -> None:
    """Drop all outputs of a head but the first n."""
    from torch import nn

    linear.out_features = n
    linear.weight = nn.Parameter(linear.weight.detach()[:n].clone(), False)
    linear.bias = nn.Parameter(linear.bias.detach()[:n].clone(), False)


def cut(network: torch.nn.Module, head: str, nodes: Sequence[str]) -> tuple[torch.nn.Module, str] | None:
    """Cut a network behind the first of some nodes that allows it.

    A node allows it if the network can be traced with it as one step, and nothing but its output is needed after it.

    Parameters
    ----------
    network : torch.nn.Module
        The network, which stays whole.
    head : str
        The node that is the head.
    nodes : sequence of str
        Where to cut; ``"feature"`` leaves the head alone.

    Returns
    -------
    suffix : torch.nn.Module
        The part after the node; it shares its nodes with the network, by the same names.
    node : str
        Where it was cut. None instead of both where no node allows it.
    """
    for node in nodes:
        if node == FEATURE:
            return network.get_submodule(head), node
        with suppress(Exception):  # any error that tracing a network may raise
            suffix = _cut(network, head, node)
            if suffix is not None:
                return suffix, node
    return None


def whole(network: torch.nn.Module, head: str, size: int) -> torch.nn.Module:
    """Return a network as it is, after checking that it ends in its head.

    Raises
    ------
    ParameterError
        If something comes after the head.
    """
    import torch

    outputs: list[Any] = []
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


def keep_before(network: torch.nn.Module, head: str, node: str) -> torch.nn.Module:
    """Cut off what comes after a node at which `cut` cut; what is left ends in that node's output.

    Parameters
    ----------
    network, head
        As for `cut`; the network, which shares its nodes, is not changed but for ``"feature"``: then it has no head.
    node : str
        Where it was cut.

    Returns
    -------
    torch.nn.Module
        The part before `cut`'s.
    """
    from torch.fx import GraphModule
    from torch.nn import Identity

    if node == FEATURE:
        network.set_submodule(head, Identity())
        return network
    graph = _tracer({node}).trace(network)
    (step,) = (step for step in graph.nodes if step.op == "call_module" and step.target == node)
    for output in [step for step in graph.nodes if step.op == "output"]:
        output.args = (step,)
    prefix = GraphModule(network, graph)
    graph.eliminate_dead_code()
    prefix.recompile()
    prefix.delete_all_unused_submodules()
    return prefix.eval()


def _tracer(steps: set[str]) -> Any:
    """Make a tracer to which some nodes, and all nodes without children, are one step."""
    from torch.fx import Tracer

    class Coarse(Tracer):
        def is_leaf_module(self, module: torch.nn.Module, name: str) -> bool:
            return name in steps or not list(module.children()) or super().is_leaf_module(module, name)

    return Coarse()


def small_encoder(size: int = 28, channels: int = 32, random_state: int = 0) -> Encoder:
    """Build a small convolutional network with random weights, for small images.

    It has six 3 x 3 convolutions with batch normalization and ReLU, two each of `channels`, twice and four times as
    many; the third and the fifth halve the resolution. Their mean over the image is the embedding. ``unfreeze=`` counts
    each convolution as a block. It has 0.3 million weights by default.

    Parameters
    ----------
    size : int, default=28
        Side of the images, which are squashed to it; 8 or more.
    channels : int, default=32
        Channels of the first two convolutions.
    random_state : int, default=0
        Seeds the weights.

    Returns
    -------
    Encoder
        To be trained by ``FineTuneClassifier(encoder, unfreeze="all", train_batch_norm=True)``.

    Raises
    ------
    ParameterError
        If a value is too small.

    Examples
    --------
    >>> from featx.finetune import small_encoder
    >>> small_encoder(28).dim
    128
    """
    import torch
    from torch import nn

    if size < 8 or channels < 1:
        raise ParameterError(
            f"Got size={size} and channels={channels}. Expected a size of 8 or more, 1 channel or more."
        )
    widths = [3, channels, 2 * channels, 4 * channels]
    blocks = [_block(widths[i], widths[i + 1], stride=1 if i == 0 else 2) for i in range(3)]
    network = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    generator = torch.Generator().manual_seed(random_state)  # another thread may be training with the shared one
    for node in network.modules():
        if isinstance(node, nn.Conv2d):
            nn.init.kaiming_uniform_(node.weight, a=5**0.5, generator=generator)  # as torch does
    preprocess = Preprocess(size=size, fit="squash", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    return Encoder.from_module(network, preprocess=preprocess, name=f"small{size}")


def _block(inputs: int, outputs: int, stride: int) -> torch.nn.Sequential:
    from torch import nn

    layers: list[nn.Module] = []
    for width, step in ((inputs, stride), (outputs, 1)):
        convolution = nn.utils.skip_init(nn.Conv2d, width, outputs, 3, step, 1, bias=False)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
