"""From a user's parameters to encoder specs; a registered name imports no torch."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from featx._validate import check_choice
from featx.encoders._encoder import Encoder
from featx.encoders._registry import get_architecture, published_weights
from featx.encoders._spec import DECODES, FEATURE, LOGITS, POOLINGS, PRECISIONS, STAGES, Architecture, EncoderSpec
from featx.encoders._trace import name_stages, trace
from featx.encoders._views import with_views
from featx.encoders._weights import (
    build_from_file,
    build_published,
    build_random,
    build_skeleton,
    hash_file,
    is_weights_path,
)
from featx.exceptions import ParameterError, UnknownNameError
from featx.images import FITS, Preprocess

if TYPE_CHECKING:
    import torch

_RANDOM = re.compile(r"random(?::([0-9]{1,18}))?")


def resolve(
    encoder: str | Encoder,
    *,
    weights: str | Path = "default",
    layers: str | Sequence[str] | None = None,
    pooling: str | None = None,
    preprocess: str | Preprocess = "default",
    precision: str = "float32",
    decode: str = "exact",
    views: str | None = None,
    executor: str | None = None,
) -> tuple[EncoderSpec, ...]:
    """Turn a user's parameters into specs, one for each layer.

    Parameters
    ----------
    encoder, weights, layers, pooling, preprocess, precision, decode, views
        As in `ImageEncoder`.
    executor : str, default=None
        Runtime and kind of device (``"torch:cuda"``), which decide the numbers of a reduced precision.

    Returns
    -------
    tuple of EncoderSpec
        One spec for each layer.

    Raises
    ------
    ParameterError
        If a value is not accepted; the error for an unknown name lists its close matches.
    """
    base = _resolve_encoder(encoder, weights, preprocess)
    check_choice("precision", precision, PRECISIONS)
    check_choice("decode", decode, tuple(DECODES))
    if base.graph is not None and precision != "float32":
        raise ParameterError(f"Got precision={precision!r} with {base.name!r}, a graph in a file. Expected 'float32'.")
    base = replace(base, precision=precision, decode=decode, executor=None if precision == "float32" else executor)
    base = with_views(base, views)
    check_choice("pooling", pooling, (None, *POOLINGS))
    nodes = _resolve_layers(base, encoder, layers, pooling)
    return (base,) if nodes is None else tuple(_at_layer(base, node, pooling) for node in nodes)


def _resolve_layers(
    base: EncoderSpec, encoder: str | Encoder, layers: str | Sequence[str] | None, pooling: str | None
) -> list[str] | None:
    """Turn ``layers=`` into the names of nodes; None is the encoder's own feature."""
    if layers is None:
        if pooling is not None:
            raise ParameterError(
                f"Got pooling={pooling!r} without layers. Expected pooling=None: the encoder's own feature is a vector "
                "already; name the nodes to pool in layers=."
            )
        return None
    if base.graph is not None and layers != FEATURE:
        raise ParameterError(
            f"Got layers={layers!r} with {base.name!r}, a graph in a file. Expected None: it has only its own feature."
        )
    names = [layers] if isinstance(layers, str) else list(layers) if isinstance(layers, Iterable) else []
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ParameterError(f"Got layers={layers!r}. Expected a node's name, or a list of them, or None.")
    nodes = [to_node(name, encoder) for name in names]
    if len(set(nodes)) < len(nodes):
        raise ParameterError(f"Got layers={layers!r}, which names a node twice: {', '.join(nodes)}.")
    return nodes


def _at_layer(base: EncoderSpec, layer: str, pooling: str | None) -> EncoderSpec:
    if layer in (FEATURE, LOGITS):
        return replace(base, layer=layer, dim=base.dim if layer == FEATURE else None)
    # None is "avg": both must find the same rows.
    return replace(base, layer=layer, pooling=pooling or "avg", dim=None)


def _resolve_encoder(encoder: str | Encoder, weights: str | Path, preprocess: str | Preprocess) -> EncoderSpec:
    if isinstance(encoder, Encoder):
        if weights != "default":
            raise ParameterError(f"Got weights={str(weights)!r} with a featx.Encoder, which has its own; leave it out.")
        return encoder.spec(_check_preprocess(preprocess, encoder.preprocess))
    if not isinstance(encoder, str):
        raise ParameterError(
            f"Got encoder=<{type(encoder).__module__}.{type(encoder).__qualname__}>. Expected a name of "
            "featx.list_encoders() or a featx.Encoder; wrap your module with "
            "featx.Encoder.from_module(module, preprocess=featx.Preprocess(...))."
        )
    architecture = get_architecture(encoder)
    return _resolve_weights(encoder, architecture, weights, preprocess)


def _check_preprocess(preprocess: str | Preprocess, default: Preprocess) -> Preprocess:
    default = default.scaled_as(None)
    if isinstance(preprocess, Preprocess):
        return preprocess.scaled_as(default)
    if preprocess == "default":
        return default
    if preprocess in FITS:
        # The whole image, also where the reference squashes and then crops.
        return replace(default, fit=preprocess, resize=default.resize if preprocess == "crop" else None)
    raise ParameterError(
        f"Got preprocess={preprocess!r}. Expected 'default', {', '.join(map(repr, FITS))} (the default with another "
        "fit) or a featx.Preprocess."
    )


def _resolve_weights(
    name: str, architecture: Architecture, weights: str | Path, preprocess: str | Preprocess
) -> EncoderSpec:
    if not isinstance(weights, str | Path):
        raise ParameterError(f"Got weights={weights!r}. Expected a name, the path of a file, or 'random'.")
    default = architecture.weights[0]
    chosen = _check_preprocess(preprocess, default.preprocess)
    build: Callable[[], torch.nn.Module]
    if random := _RANDOM.fullmatch(str(weights)):
        seed = int(random[1] or 0)
        identity, license = f"random:{seed}:torch-{importlib.metadata.version('torch')}", "none"
        build = partial(build_random, architecture, seed, chosen.size)
    elif (published := published_weights(name, weights)) is not None:
        chosen = _check_preprocess(preprocess, published.preprocess)
        identity, license = published.identity, published.license
        build = partial(build_published, architecture, published.name, chosen.size)
    elif is_weights_path(weights):
        path = Path(weights).expanduser().absolute()
        sha256 = hash_file(path)
        identity, license = f"sha256:{sha256}", "unknown"
        build = partial(build_from_file, architecture, path, chosen.size, sha256)
    else:
        names = ["default", *(entry.name for entry in architecture.weights), "random", "random:7"]
        raise UnknownNameError("weights", weights, names, "Or pass the path of a .pth or .safetensors file.")
    return EncoderSpec(
        name=name,
        architecture=architecture.name,
        weights=identity,
        preprocess=chosen,
        dim=architecture.dim,
        license=license,
        classifier=architecture.classifier,
        build=build,
    )


def to_node(layer: str, encoder: str | Encoder) -> str:
    """Find the node that a portable name stands for; any other name is a node's already.

    Parameters
    ----------
    layer : str
        A portable name or a node's.
    encoder : str or Encoder
        The stages of a registered name are known without torch.

    Returns
    -------
    str
        The node's name.

    Raises
    ------
    ParameterError
        If the network has no node to stand for it.

    Examples
    --------
    >>> from featx.encoders import to_node
    >>> to_node("late", "resnet50"), to_node("layer2.0", "resnet50")
    ('layer3', 'layer2.0')
    """
    if layer not in STAGES:
        return layer
    stages = stages_of(encoder)
    if not stages:
        raise ParameterError(f"Got layer {layer!r}; {encoder} has no node before its output. Expected layers=None.")
    return stages[layer]


def stages_of(encoder: str | Encoder) -> dict[str, str]:
    """Map the portable names to the nodes that they stand for; empty where there are no nodes."""
    if isinstance(encoder, Encoder):
        return encoder.stages
    architecture = get_architecture(encoder)
    return dict(zip(STAGES, architecture.stages, strict=True)) if architecture.stages else _find(architecture)


def build_on(architecture: Architecture, size: int, device: str) -> torch.nn.Module:
    """Build a registered network with random weights on the CPU, or without memory on the meta device."""
    if device == "cpu":
        return build_random(architecture, 0, size)
    return build_skeleton(architecture.build, size)


@lru_cache(maxsize=64)
def _find(architecture: Architecture) -> dict[str, str]:
    size = architecture.weights[0].preprocess.size
    return name_stages(trace(partial(build_on, architecture, size), architecture.classifier, size), size)
