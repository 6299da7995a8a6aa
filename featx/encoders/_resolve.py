"""A user's parameters -> encoder specs; imports no torch for a registered name."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from featx.encoders._build import build_from_file, build_published, build_random
from featx.encoders._encoder import Encoder
from featx.encoders._portable import to_node
from featx.encoders._registry import get_architecture, published_weights
from featx.encoders._spec import DECODES, FEATURE, LOGITS, POOLINGS, PRECISIONS, Architecture, EncoderSpec
from featx.encoders._weights import hash_file, is_weights_path
from featx.exceptions import ParameterError, UnknownNameError
from featx.images import FITS, Preprocess

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
    executor: str | None = None,
) -> tuple[EncoderSpec, ...]:
    """Turn a user's parameters into specs, one for each layer.

    Parameters
    ----------
    encoder, weights, layers, pooling, preprocess, precision, decode
        As in `ImageEncoder`.
    executor : str, default=None
        Runtime and kind of device (``"torch:cuda"``), which decide the numbers of a reduced precision.

    Raises
    ------
    ParameterError
        If a value is none of the accepted ones; an unknown name is quoted with its close matches.
    """
    base = _resolve_encoder(encoder, weights, preprocess)
    for parameter, value, known in (("precision", precision, PRECISIONS), ("decode", decode, DECODES)):
        if value not in known:
            raise UnknownNameError(parameter, value, known)
    if base.graph is not None and precision != "float32":
        raise ParameterError(f"Got precision={precision!r} with {base.name!r}, a graph in a file. Expected 'float32'.")
    base = replace(base, precision=precision, decode=decode, executor=None if precision == "float32" else executor)
    if pooling is not None and pooling not in POOLINGS:
        raise UnknownNameError("pooling", pooling, POOLINGS)
    if layers is None:
        if pooling is not None:
            raise ParameterError(
                f"Got pooling={pooling!r} without layers. Expected pooling=None: the encoder's own feature is a vector "
                "already; name the nodes to pool in layers=."
            )
        return (base,)
    if base.graph is not None and layers != FEATURE:
        raise ParameterError(
            f"Got layers={layers!r} with {base.name!r}, a graph in a file, which has its own feature alone."
        )
    names = [layers] if isinstance(layers, str) else list(layers) if isinstance(layers, Iterable) else []
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ParameterError(f"Got layers={layers!r}. Expected a node's name, or a list of them, or None.")
    nodes = [to_node(name, encoder) for name in names]
    if len(set(nodes)) < len(nodes):
        raise ParameterError(f"Got layers={layers!r}, which names a node twice: {', '.join(nodes)}.")
    return tuple(_at_layer(base, node, pooling) for node in nodes)


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
            "featx.list_encoders() or a featx.Encoder; wrap a module of your own with "
            "featx.Encoder.from_module(module, preprocess=featx.Preprocess(...))."
        )
    architecture = get_architecture(encoder)
    return _resolve_weights(encoder, architecture, weights, preprocess)


def _check_preprocess(preprocess: str | Preprocess, default: Preprocess) -> Preprocess:
    if isinstance(preprocess, Preprocess):
        return preprocess
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
    licence = default.licence
    random = _RANDOM.fullmatch(str(weights))
    published = published_weights(name, weights)
    if random:
        seed = int(random[1] or 0)
        identity = f"random:{seed}:torch-{importlib.metadata.version('torch')}"
        build = partial(build_random, architecture, seed, chosen.size)
        licence = "none"
    elif published is not None:
        chosen = _check_preprocess(preprocess, published.preprocess)
        identity, licence = published.identity, published.licence
        build = partial(build_published, architecture, published.name, chosen.size)
    elif is_weights_path(weights):
        path = Path(weights).expanduser().absolute()
        sha256 = hash_file(path)
        identity, licence = f"sha256:{sha256}", "unknown"
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
        licence=licence,
        classifier=architecture.classifier,
        build=build,
    )
