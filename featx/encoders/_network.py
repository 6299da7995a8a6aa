"""A network with taps: uint8 pixels in, the pooled outputs of chosen nodes out. This is what runtimes run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from featx._process import make_torch_fork_safe
from featx.encoders._spec import FEATURE, LOGITS, STAGES, EncoderSpec
from featx.encoders._views import Views
from featx.exceptions import ParameterError, UnknownNameError

if TYPE_CHECKING:
    import torch

_GEM_POWER = 3.0
_GEM_FLOOR = 1e-6


def build_network(specs: Sequence[EncoderSpec]) -> torch.nn.Module:
    """Build one network that serves several layers in one pass.

    Parameters
    ----------
    specs : sequence of EncoderSpec
        They may differ only in layer and pooling.

    Returns
    -------
    torch.nn.Module
        Takes uint8 (n, size, size, 3) and returns a tuple of float32 (n, dim),
        one for each spec; it normalizes by mean and std itself. The attribute
        ``channels_last`` is the memory layout in which the network gets its
        images, and ``reduce(dtype)`` makes it compute in less than float32.

    Raises
    ------
    UnknownNameError
        If a layer is not a node of the network.
    """
    import torch
    from torch import nn

    build = specs[0].build
    if build is None:
        raise ParameterError(f"{specs[0].name!r} is a graph in a file, which has no network to build.")
    make_torch_fork_safe()
    module = build()

    class TappedNetwork(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = module.eval().requires_grad_(False)
            preprocess = specs[0].preprocess
            for name, values in (("mean", preprocess.mean), ("std", preprocess.std)):
                self.register_buffer(name, 255 * torch.tensor(values).view(1, 3, 1, 1), persistent=False)
            self.taps = [_Tap(self.network, spec) for spec in specs]
            self.views = Views(specs[0].views, specs[0].view_size)
            self.channels_last = True
            self.dtype = torch.float32

        def reduce(self, dtype):
            self.network.to(dtype)
            self.dtype = dtype
            return self

        def forward(self, pixels):
            x = ((pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std).to(self.dtype)
            if not self.channels_last:
                x = x.contiguous()
            for tap in self.taps:
                tap.output = None
            self.network(self.views.split(x))
            return tuple(self.views.mean(tap.take()) for tap in self.taps)

    return TappedNetwork()


class _Tap:
    """Hook that keeps one node's pooled output; an object, so that a copied network gets another one."""

    def __init__(self, network: torch.nn.Module, spec: EncoderSpec):
        self.layer, self.pooling = spec.layer, spec.pooling
        self.output: torch.Tensor | None = None
        if spec.layer == LOGITS or (spec.layer == FEATURE and spec.classifier is None):
            network.register_forward_hook(self)
        elif spec.layer == FEATURE:
            network.get_submodule(spec.classifier).register_forward_pre_hook(self)
        else:
            find_node(network, spec.layer).register_forward_hook(self)

    def __call__(self, _module: torch.nn.Module, inputs: tuple, output: object = None) -> None:
        self.output = pool(first_tensor(inputs if output is None else output, self.layer), self.pooling)

    def take(self) -> torch.Tensor:
        if self.output is None:
            raise ParameterError(f"The network's forward pass never reaches layer {self.layer!r}. Choose another.")
        output, self.output = self.output, None
        return output


def find_node(module: torch.nn.Module, layer: str) -> torch.nn.Module:
    """Find a node by its name; an unknown name raises with its close matches."""
    nodes = dict(module.named_modules())
    nodes.pop("", None)
    if layer not in nodes:
        hint = "Nodes are named as in module.named_modules(); featx.list_layers() shows those between blocks."
        raise UnknownNameError("layer", layer, [*STAGES, *nodes], hint)
    return nodes[layer]


def pool(output: torch.Tensor, pooling: str | None) -> torch.Tensor:
    """Pool a node's output to one vector per image.

    Parameters
    ----------
    output : Tensor of shape (n, c), (n, tokens, c), (n, c, h, w) or (n, h, w, c)
        What the node returned.
    pooling : {"avg", "max", "gem", "flatten"} or None
        None is "avg". ``"gem"`` is the generalized mean (mean(x^p))^(1/p) with p = 3
        over x clamped to 1e-6 (Radenovic, Tolias & Chum 2018, arXiv:1711.02512, eq. 3).

    Returns
    -------
    Tensor of shape (n, dim), float32
        The pooled output.
    """
    output = output.float()
    if output.ndim == 2 or pooling == "flatten":
        return output.flatten(1).clone()  # the next node may overwrite the output in place
    if output.ndim == 3:  # tokens: channels are last
        values = output.transpose(1, 2)
    elif has_channels_last(output):
        values = output.flatten(1, 2).transpose(1, 2)
    else:
        values = output.flatten(2)
    if pooling == "max":
        return values.amax(-1)
    if pooling == "gem":
        return values.clamp(min=_GEM_FLOOR).pow(_GEM_POWER).mean(-1).pow(1 / _GEM_POWER)
    return values.mean(-1)


def has_channels_last(output: torch.Tensor) -> bool:
    """Return whether four axes are those of a square map with its channels last (Swin)."""
    return output.shape[1] == output.shape[2] != output.shape[3]


def first_tensor(output: Any, layer: str) -> torch.Tensor:
    """Find the first tensor in what a node returned."""
    import torch

    if isinstance(output, dict):
        output = next(iter(output.values()), None)
    while isinstance(output, tuple | list) and output:
        output = output[0]
    if not isinstance(output, torch.Tensor) or output.ndim not in (2, 3, 4):
        shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise ParameterError(
            f"Layer {layer!r} gives {shape}; expected a tensor of 2, 3 or 4 axes. Choose another layer."
        )
    return output


def probe(module: torch.nn.Module, size: int) -> tuple[str | None, int]:
    """Find a user's module's classifier and the length of its embedding, by running one black image through it.

    Parameters
    ----------
    module : torch.nn.Module
        Network in eval mode.
    size : int
        Side of the image.

    Returns
    -------
    classifier : str or None
        The last node with parameters, if it is a linear layer; where there are several heads, the node before them.
    dim : int
        Length of the classifier's input, or of the pooled output where classifier is None.

    Raises
    ------
    ParameterError
        If the module cannot take such an image.
    """
    import torch

    from featx.encoders._several_heads import CLASSIFIER, SeveralHeads

    visited: list[tuple[str, torch.nn.Module]] = []
    hooks = [
        child.register_forward_hook(lambda node, _inputs, _output, name=name: visited.append((name, node)))
        for name, child in module.named_modules()
        if not list(child.children()) and list(child.parameters())
    ]
    try:
        with torch.inference_mode():
            output = module(torch.zeros(1, 3, size, size, device="cpu"))
    except Exception as error:
        raise ParameterError(
            f"{type(module).__name__} cannot take images of {size} x {size} x 3: {error}. Give the Preprocess whose "
            "size it was trained on."
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    if isinstance(module, SeveralHeads) and isinstance(module.classifier, torch.nn.Identity):
        return CLASSIFIER, module.network.head_hidden_size
    if visited and visited[-1][0] and isinstance(visited[-1][1], torch.nn.Linear):
        name, layer = visited[-1]
        return name, layer.in_features
    return None, pool(first_tensor(output, "output"), None).shape[1]


@dataclass(frozen=True)
class NetworkSize:
    """How many numbers a network holds, up to the layers that are wanted.

    Attributes
    ----------
    parameters : int
        Number of parameters before the layers wanted.
    activations : int
        For one image, the largest number of values in the input and the output of one node, which are in memory
        together.
    """

    parameters: int
    activations: int


def network_size(specs: Sequence[EncoderSpec]) -> NetworkSize:
    """Count the parameters and activations of a network by running a black image through it.

    Parameters
    ----------
    specs : sequence of EncoderSpec
        Layers of one network, which must not be a graph in a file.

    Returns
    -------
    NetworkSize
        The counts.

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
