"""precision_by_layer: which layers of a network lower precision than float32 costs most, on the user's images."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from featx._image_encoder import ImageEncoder, column_of, extraction_of
from featx._validate import check_choice
from featx.encoders import Encoder
from featx.exceptions import InputError, ParameterError
from featx.extraction import decode_some
from featx.precision._available import INT8

if TYPE_CHECKING:
    import torch

_IMAGES = 8
_EMULATED = ("bfloat16", "float16", INT8)
_BITS_7, _BITS_8 = 63, 127  # greatest integers of weights, as `quantize_encoder` has them
_LEVELS = 255  # steps of an input's range


def precision_by_layer(
    X: Any, encoder: str | Encoder | ImageEncoder = "efficientnet_lite0", precision: str = "bfloat16"
) -> pd.DataFrame:
    """Emulate lower precision layer by layer: which layers move the embeddings most, and what leaving them out gains.

    The network runs in float32 on the CPU, and what enters and leaves a layer is rounded, with its weights: it needs no
    processor that has the precision. Sums are in float32. Real runs also round between layers, so this finds layers and
    estimates distances; `compare_precisions` measures them.

    Parameters
    ----------
    X : container of images
        Images as for `ImageEncoder`; 8 of them are used, evenly spaced: the network encodes them twice for each layer.
    encoder : str, Encoder or ImageEncoder, default="efficientnet_lite0"
        The weights, layers and preprocessing of an ImageEncoder are used.
    precision : {"bfloat16", "float16", "int8"}, default="bfloat16"
        For ``"int8"`` the inputs and weights of convolutions and matrix products are rounded to the nearest of 256
        and 127 steps (channels that are convolved alone: 255). `quantize_encoder` rounds weights better than that.

    Returns
    -------
    DataFrame
        One row per layer that changes the embedding, the costliest first; the index is its node, as in `list_layers`,
        with the batch normalization that follows it. Columns:

        - ``relative_l2``: median of |z - z32| / |z32| with this layer alone in the precision
        - ``rest``: the same with this layer and those above it in float32, and all others in the precision
        - ``parameters``: number of parameters
        - ``multiply_adds``: its share of the layers' multiply-adds, from 0 to 1

        ``table.attrs["all"]`` is the relative L2 with all layers in the precision.

    Raises
    ------
    UnknownNameError
        If such a precision cannot be emulated.
    InputError
        If no image can be read.
    ParameterError
        If the encoder is a graph, as those in int8 are.

    Examples
    --------
    >>> import featx
    >>> from sklearn.datasets import load_sample_images
    >>> table = featx.precision_by_layer(load_sample_images().images)
    >>> table[["relative_l2", "multiply_adds"]].head(2).round(4)  # doctest: +SKIP
                             relative_l2  multiply_adds
    layer
    blocks.0.depthwise.conv       0.0232         0.0094
    stem.conv                     0.0095         0.0281
    """
    check_choice("precision", precision, _EMULATED)
    with_parameters = encoder if isinstance(encoder, ImageEncoder) else ImageEncoder(encoder)
    specs = extraction_of(with_parameters).specs
    if specs[0].graph is not None:
        raise ParameterError(f"Got {specs[0].name!r}, an OpenVINO graph. Expected an encoder with a torch module.")
    pixels = decode_some(specs[0], column_of(with_parameters, X), _IMAGES)
    if not pixels:
        raise InputError("Got no readable image. Expected at least one, better 8.")
    import torch

    from featx.runtimes import as_published, prepare

    with as_published(), torch.inference_mode():
        network, _ = prepare(specs)
        emulation = _Emulation(network, torch.from_numpy(np.stack(pixels)), precision)
        alone = {name: emulation.distance([name]) for name in emulation.layers}
        order = sorted(filter(alone.get, alone), key=lambda name: -alone[name])
        total = sum(emulation.multiply_adds[name] for name in order)
        rows = {
            name.removeprefix("network."): {
                "relative_l2": alone[name],
                "rest": emulation.distance(order[i + 1 :]),
                "parameters": sum(parameter.numel() for parameter in emulation.layers[name].parameters()),
                "multiply_adds": emulation.multiply_adds[name] / max(total, 1),
            }
            for i, name in enumerate(order)
        }
        everything = emulation.distance(order)
    columns = ["relative_l2", "rest", "parameters", "multiply_adds"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("layer")
    table.attrs["all"] = everything
    return table


class _Emulation:
    """A network in float32, of which some layers are rounded.

    Attributes
    ----------
    layers : dict of str to Module
        The layers with parameters that run, by node.
    multiply_adds : dict of str to int
        Those of each layer, for all images.
    """

    def __init__(self, network: torch.nn.Module, pixels: torch.Tensor, precision: str):
        self._network, self._pixels, self._precision = network, pixels, precision
        self._candidates = dict(_find_layers(network, matrices_only=precision == INT8))
        self.multiply_adds: dict[str, int] = {}
        with ExitStack() as hooks:
            for name, layer in self._candidates.items():
                hooks.callback(layer.register_forward_hook(self._counter(name)).remove)
            self._exact = self._embed()
        self.layers = {name: layer for name, layer in self._candidates.items() if name in self.multiply_adds}

    def distance(self, names: Collection[str]) -> float:
        """Compute the median relative L2 with these layers in the precision."""
        import torch

        with ExitStack() as rounded:
            for name in names:
                rounded.enter_context(_rounded(self.layers[name], self._precision))
            moved = torch.linalg.vector_norm(self._embed() - self._exact, dim=1)
        return float(np.median((moved / torch.linalg.vector_norm(self._exact, dim=1)).numpy()))

    def _embed(self) -> torch.Tensor:
        import torch

        return torch.cat(self._network(self._pixels), dim=1)

    def _counter(self, name: str) -> Callable:
        def count(layer: torch.nn.Module, _inputs: Any, output: Any) -> None:
            output = output[0] if isinstance(output, tuple) else output
            matrices = [parameter for parameter in layer.parameters() if parameter.dim() > 1]
            n = sum(matrix.numel() for matrix in matrices) * output.numel() // len(matrices[-1]) if matrices else 0
            self.multiply_adds[name] = self.multiply_adds.get(name, 0) + n

        return count


def _find_layers(network: torch.nn.Module, *, matrices_only: bool) -> Iterator[tuple[str, torch.nn.Module]]:
    """Yield the modules with parameters and without parts; an attention, which reads its parts' weights, is one."""
    from torch import nn

    whole: tuple[str, ...] = ()
    for name, module in network.named_modules():
        if name.startswith(whole):
            continue
        if isinstance(module, nn.MultiheadAttention):
            whole += (f"{name}.",)
        elif next(module.children(), None) is not None or next(module.parameters(), None) is None:
            continue
        if matrices_only and not isinstance(
            module, nn.MultiheadAttention | nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
        ):
            continue
        yield name, module


@contextmanager
def _rounded(layer: torch.nn.Module, precision: str) -> Iterator[None]:
    """Run a layer in less: its parameters, and what goes in and comes out."""
    import torch

    if precision == INT8:
        own_channels = getattr(layer, "groups", 1) > 1 and layer.groups == layer.in_channels
        steps = _BITS_8 if own_channels else _BITS_7

        def of_weights(x: torch.Tensor) -> torch.Tensor:
            return _round_rows(x, steps) if x.dim() > 1 else x

        def of_inputs(x: torch.Tensor) -> torch.Tensor:
            return _round_range(x, by_channel=own_channels)

        def of_outputs(x: torch.Tensor) -> torch.Tensor:
            return x
    else:
        kind = getattr(torch, precision)

        def of_weights(x: torch.Tensor) -> torch.Tensor:
            return x.to(kind).float()

        of_inputs = of_outputs = of_weights

    before = [(parameter, parameter.data) for parameter in layer.parameters()]
    for parameter, data in before:
        parameter.data = of_weights(data)
    hooks = [
        layer.register_forward_pre_hook(lambda _layer, inputs: _map(of_inputs, inputs)),
        layer.register_forward_hook(lambda _layer, _inputs, output: _map(of_outputs, output)),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for parameter, data in before:
            parameter.data = data


def _map(function: Callable, value: Any) -> Any:
    import torch

    if isinstance(value, tuple):
        return tuple(_map(function, part) for part in value)
    return function(value) if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def _round_rows(weights: torch.Tensor, steps: int) -> torch.Tensor:
    """Round weights to integers of a scale for each output channel, symmetric around zero."""
    scale = weights.abs().flatten(1).amax(1).clamp_min(1e-30).view(-1, *[1] * (weights.dim() - 1)) / steps
    return (weights / scale).round() * scale


def _round_range(inputs: torch.Tensor, *, by_channel: bool) -> torch.Tensor:
    """Round inputs to 256 steps between the least and the greatest, of each channel or of all; zero is one of them."""
    axes = [axis for axis in range(inputs.dim()) if not (by_channel and axis == 1)]
    low, high = inputs.amin(axes, keepdim=True).clamp_max(0), inputs.amax(axes, keepdim=True).clamp_min(0)
    scale = ((high - low) / _LEVELS).clamp_min(1e-30)
    zero = (low / scale).round()
    return ((inputs / scale).round() - zero).clamp(0, _LEVELS).add(zero) * scale
