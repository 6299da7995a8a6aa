"""Batch normalisation folded into the convolution before it: half the memory traffic, the same numbers."""

from __future__ import annotations

import copy
from collections.abc import Collection

import torch
from torch import nn

# What runtimes may differ by; rounding differs by less, a wrong fold by more.
_TOLERANCE = 1e-4


def fold_batch_norms(network: nn.Module, example: torch.Tensor, keep: Collection[str] = ()) -> nn.Module:
    """Fold every batch normalisation that directly follows a convolution.

    Pairs are found by running the network once: a normalisation whose input is
    the very tensor that a convolution returned. That the result is the same is
    checked on the same run, and a network that it would change is left alone.

    Parameters
    ----------
    network : Module
        In eval mode.
    example : Tensor
        An input.
    keep : collection of str
        Nodes whose own output is wanted.

    Returns
    -------
    Module
        The folded network, or the one that was given.
    """
    with torch.no_grad():  # an inference tensor has no version
        pairs, expected = _find_pairs(network, example)
    pairs = [pair for pair in pairs if not set(pair) & set(keep)]
    if not pairs:
        return network
    folded = copy.deepcopy(network)
    with torch.no_grad():
        for convolution, norm in pairs:
            _fold(folded, convolution, norm)
    return folded if _gives(folded, example, expected) else network


def _gives(folded: nn.Module, example: torch.Tensor, expected: tuple[torch.Tensor, ...]) -> bool:
    try:
        with torch.inference_mode():
            outputs = folded(example)
    except (AttributeError, RuntimeError, TypeError):  # the network asks the normalisation for what is gone
        return False
    return all(
        bool(torch.linalg.vector_norm(a - b) <= _TOLERANCE * torch.linalg.vector_norm(b))
        for a, b in zip(outputs, expected, strict=True)
    )


def _find_pairs(network: nn.Module, example: torch.Tensor) -> tuple[list[tuple[str, str]], tuple[torch.Tensor, ...]]:
    produced: dict[int, tuple[str, torch.Tensor, int]] = {}
    pairs: list[tuple[str, str]] = []
    hooks = []

    def after_convolution(name, output):
        # Held, so that its id is not given to another tensor.
        produced[id(output)] = (name, output, _version(output))

    def before_norm(name, entry=None):
        convolution, _, version = produced.get(id(entry), (None, None, None))
        # Another version: an activation has changed it in place.
        if convolution is not None and _version(entry) == version:
            pairs.append((convolution, name))

    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and "weight" in module._parameters:  # not computed, as by weight_norm
            hooks.append(
                module.register_forward_hook(lambda _m, _i, output, name=name: after_convolution(name, output))
            )
        elif type(module) is nn.BatchNorm2d and module.running_var is not None:  # a subclass may do more
            hooks.append(module.register_forward_pre_hook(lambda _m, inputs, name=name: before_norm(name, *inputs)))
    try:
        outputs = network(example)
    finally:
        for hook in hooks:
            hook.remove()
    # A convolution or a normalisation that runs twice has no single partner.
    unique = [
        (conv, norm)
        for conv, norm in pairs
        if sum(conv == other for other, _ in pairs) == 1 and sum(norm == other for _, other in pairs) == 1
    ]
    return unique, outputs


def _version(tensor: torch.Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _fold(network: nn.Module, convolution: str, norm: str) -> None:
    conv, bn = network.get_submodule(convolution), network.get_submodule(norm)
    scale = torch.rsqrt(bn.running_var + bn.eps) * (1 if bn.weight is None else bn.weight)
    bias = -bn.running_mean if conv.bias is None else conv.bias - bn.running_mean
    conv.weight = nn.Parameter(conv.weight * scale.view(-1, 1, 1, 1), requires_grad=False)
    conv.bias = nn.Parameter(bias * scale + (0 if bn.bias is None else bn.bias), requires_grad=False)
    parent, _, child = norm.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())
