"""A network with taps: uint8 pixels in, the pooled outputs of chosen nodes out. The graph that runtimes run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from featx.encoders._spec import FEATURE, LOGITS, STAGES, EncoderSpec
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
        They differ in layer and pooling alone.

    Returns
    -------
    torch.nn.Module
        uint8 (n, size, size, 3) -> tuple of float32 (n, dim), one for each spec;
        mean and std are inside. Its attribute ``channels_last`` says in which
        memory layout the network gets its images, and ``reduce(dtype)`` has it
        compute in less than float32.

    Raises
    ------
    UnknownNameError
        If a layer is not a node of the network.
    """
    import torch
    from torch import nn

    class TappedNetwork(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = specs[0].build().eval().requires_grad_(False)
            preprocess = specs[0].preprocess
            for name, values in (("mean", preprocess.mean), ("std", preprocess.std)):
                self.register_buffer(name, 255 * torch.tensor(values).view(1, 3, 1, 1), persistent=False)
            self.taps = [_Tap(self.network, spec) for spec in specs]
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
            self.network(x)
            return tuple(tap.take() for tap in self.taps)

    return TappedNetwork()


class _Tap:
    """A hook that keeps one node's pooled output; an object, so that a copied network has its own."""

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
    """The node of that name; an unknown one raises with the closest matches."""
    nodes = dict(module.named_modules())
    nodes.pop("", None)
    if layer not in nodes:
        hint = "Nodes are named as in module.named_modules(); featx.list_layers() shows those between blocks."
        raise UnknownNameError("layer", layer, [*STAGES, *nodes], hint)
    return nodes[layer]


def pool(output: torch.Tensor, pooling: str | None) -> torch.Tensor:
    """Pool a node's output to one vector an image.

    Parameters
    ----------
    output : Tensor of shape (n, c), (n, tokens, c), (n, c, h, w) or (n, h, w, c)
    pooling : {"avg", "max", "gem", "flatten"} or None
        None is "avg". ``"gem"`` is the generalised mean (mean(x^p))^(1/p) with p = 3
        over x clamped to 1e-6 (Radenovic, Tolias & Chum 2018, arXiv:1711.02512, eq. 3).

    Returns
    -------
    Tensor of shape (n, dim), float32
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
    """Whether four axes are those of a square map with its channels last (Swin)."""
    return output.shape[1] == output.shape[2] != output.shape[3]


def first_tensor(output: object, layer: str) -> torch.Tensor:
    """The tensor in what a node returned."""
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
