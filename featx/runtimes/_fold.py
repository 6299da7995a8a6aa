"""Batch normalization folded into the convolution before it: for good, or in each pass of a training."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

# How much float32 may differ between runtimes, in relative L2; rounding differs by less, a wrong graph by more.
TOLERANCE = 1e-4


def fold_batch_norms(network: nn.Module, example: torch.Tensor, keep: Collection[str] = ()) -> nn.Module:
    """Fold every batch normalization that directly follows a convolution: half the memory traffic, the same numbers.

    Pairs are found by running the network once: a normalization whose input is
    the very tensor that a convolution returned. The result is compared with
    that run, and a network that folding would change is left alone.

    Parameters
    ----------
    network : Module
        The network, in eval mode.
    example : Tensor
        An input.
    keep : collection of str
        Nodes whose output is wanted, which are not folded.

    Returns
    -------
    Module
        The folded network, or `network` itself.
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


@contextmanager
def folded_while_training(network: nn.Module, example: torch.Tensor) -> Iterator[None]:
    """Fold batch normalizations that keep their statistics in each pass, while both layers' weights may be trained.

    A convolution computes with weights that its normalization has scaled, of which autograd gives the gradients of
    both layers' parameters: the same as without folding, but maps of activations are not passed over again. A
    normalization in training mode, which follows its batches, is left as it is. Pairs are found as in
    `fold_batch_norms`, and a network that this would change is left alone.

    Parameters
    ----------
    network : Module
        The network, in eval mode; when the block ends it is as it was, but for what was trained.
    example : Tensor
        An input.
    """
    with torch.no_grad():
        pairs, expected = _find_pairs(network, example)
    folds = [_Fold(network.get_submodule(convolution), network.get_submodule(norm)) for convolution, norm in pairs]
    try:
        if folds and not _gives(network, example, expected):
            while folds:
                folds.pop().remove()
        yield
    finally:
        for fold in folds:
            fold.remove()


class _Fold:
    """A convolution that does the work of the normalization after it."""

    def __init__(self, convolution: nn.Module, norm: nn.Module):
        self._convolution, self._norm = convolution, norm
        self._hooks = (
            convolution.register_forward_pre_hook(self._scale),
            convolution.register_forward_hook(self._restore),
        )
        vars(norm)["forward"] = self._normalize

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._restore()
        del vars(self._norm)["forward"]

    def _scale(self, convolution: nn.Module, _inputs: Any) -> None:
        if not self._norm.training:
            # An attribute hides the parameter of its name.
            vars(convolution).update(zip(("weight", "bias"), _scaled(convolution, self._norm), strict=True))

    def _restore(self, *_: Any) -> None:
        for name in ("weight", "bias"):
            vars(self._convolution).pop(name, None)

    def _normalize(self, x: torch.Tensor) -> torch.Tensor:
        return nn.BatchNorm2d.forward(self._norm, x) if self._norm.training else x


def _gives(folded: nn.Module, example: torch.Tensor, expected: tuple[torch.Tensor, ...]) -> bool:
    try:
        with torch.inference_mode():
            outputs = _as_tuple(folded(example))
    except (AttributeError, RuntimeError, TypeError):  # the network looks up what the normalization had
        return False
    return all(
        bool(torch.linalg.vector_norm(a - b) <= TOLERANCE * torch.linalg.vector_norm(b))
        for a, b in zip(outputs, expected, strict=True)
    )


def _find_pairs(network: nn.Module, example: torch.Tensor) -> tuple[list[tuple[str, str]], tuple[torch.Tensor, ...]]:
    produced: dict[int, tuple[str, torch.Tensor, int]] = {}
    pairs: list[tuple[str, str]] = []
    hooks = []

    def after_convolution(name, output):
        # Kept alive, so that its id is not reused for another tensor.
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
    # A convolution or a normalization that runs twice has no single partner.
    unique = [
        (conv, norm)
        for conv, norm in pairs
        if sum(conv == other for other, _ in pairs) == 1 and sum(norm == other for _, other in pairs) == 1
    ]
    return unique, _as_tuple(outputs)


def _as_tuple(outputs: Any) -> tuple[torch.Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _version(tensor: torch.Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _fold(network: nn.Module, convolution: str, norm: str) -> None:
    conv = network.get_submodule(convolution)
    weight, bias = _scaled(conv, network.get_submodule(norm))
    conv.weight, conv.bias = nn.Parameter(weight, requires_grad=False), nn.Parameter(bias, requires_grad=False)
    parent, _, child = norm.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())


def _scaled(convolution: Any, norm: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute the weight and the bias with which a convolution does the work of the normalization after it."""
    scale = torch.rsqrt(norm.running_var + norm.eps) * (1 if norm.weight is None else norm.weight)
    bias = -norm.running_mean if convolution.bias is None else convolution.bias - norm.running_mean
    return convolution.weight * scale.view(-1, 1, 1, 1), bias * scale + (0 if norm.bias is None else norm.bias)
