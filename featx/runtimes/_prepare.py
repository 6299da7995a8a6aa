"""A network made ready to run: built, tried on an image, channels last, batch normalization folded."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from featx._process import float32_mode
from featx.encoders import EncoderSpec, build_network
from featx.exceptions import FeatxError, ParameterError

# How much float32 may differ between runtimes, in relative L2; rounding differs by less, a wrong graph by more.
TOLERANCE = 1e-4


def prepare(specs: Sequence[EncoderSpec]) -> tuple[torch.nn.Module, tuple[int, ...]]:
    """Build a network on the CPU, try it and fold its batch normalizations.

    Parameters
    ----------
    specs : sequence of EncoderSpec
        Layers of one network.

    Returns
    -------
    network : Module
        Takes uint8 (n, size, size, 3) and returns a tuple of float32 (n, dim).
    dims : tuple of int
        Length of the embedding of each layer.

    Raises
    ------
    ParameterError
        If the network cannot take images of the size that the preprocessing makes.
    """
    with as_published():
        example = example_batch(specs, 2)
        network, dims = _build(specs, example[:1])
        return fold_batch_norms(network, example, keep={f"network.{spec.layer}" for spec in specs}), dims


@contextmanager
def as_published() -> Iterator[None]:
    """Compute on the CPU in IEEE float32, whatever the process has set for other work."""
    with torch.device("cpu"), torch.autocast("cpu", enabled=False), float32_mode("ieee", "cpu"):
        yield


def example_batch(specs: Sequence[EncoderSpec], n: int) -> torch.Tensor:
    """Draw noise, the same each time: uint8 (n, size, size, 3)."""
    size = specs[0].preprocess.size
    generator = torch.Generator("cpu").manual_seed(0)
    return torch.randint(0, 256, (n, size, size, 3), dtype=torch.uint8, generator=generator, device="cpu")


def _build(specs: Sequence[EncoderSpec], example: torch.Tensor) -> tuple[torch.nn.Module, tuple[int, ...]]:
    """Build a network and try it: channels last, which is faster, unless it requires the other layout."""
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


def relative_l2(got: np.ndarray, wanted: np.ndarray) -> float:
    """Compute how far numbers are from those that are wanted, relative to these; infinite where others are finite."""
    if not np.array_equal(np.isfinite(got), np.isfinite(wanted)):
        return np.inf
    got, wanted = np.nan_to_num(got), np.nan_to_num(wanted)
    return float(np.linalg.norm(got - wanted)) / max(float(np.linalg.norm(wanted)), 1e-12)


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


def _gives(folded: nn.Module, example: torch.Tensor, expected: tuple[torch.Tensor, ...]) -> bool:
    try:
        with torch.inference_mode():
            outputs = folded(example)
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
