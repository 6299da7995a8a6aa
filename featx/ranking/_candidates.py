"""The candidates of a ranking: encoders, layers and poolings, their names, and what they cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone

from featx._image_encoder import ImageEncoder, column_of, extraction_of
from featx._validate import check_choice
from featx._warnings import warn
from featx.encoders import (
    FEATURE,
    LOGITS,
    Encoder,
    EncoderSpec,
    Weights,
    list_encoders,
    network_size,
    published_weights,
)
from featx.exceptions import FeatxWarning, ParameterError
from featx.extraction import decode_some, decoding_rate, network_rate
from featx.images import ImageColumn, Preprocess
from featx.precision import EVERY_PRECISION, INT8, UNAVAILABLE, in_precision

_NAMED = ("encoder", "weights", "layers", "pooling")  # parts of a candidate's name without "parameter="
_TIMED = 64  # images
_BYTES = 4  # per float32
_MB = 1e6


@dataclass(frozen=True)
class Candidate:
    """One network with one layer and pooling, or several layers side by side.

    Attributes
    ----------
    network : Network
        The network.
    layers : tuple of str
        ``"feature"``, or nodes or portable names as the user gave them.
    pooling : str or None
        How layers are pooled; None for the feature, which is a vector already.
    """

    network: Network
    layers: tuple[str, ...]
    pooling: str | None

    @property
    def layer(self) -> str:
        """Name of the layers, for people."""
        return "+".join(self.layers)

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of an `ImageEncoder` that gives the embeddings of this candidate."""
        own = self.layers == (FEATURE,)
        return {
            **self.network.encoder.get_params(deep=False),
            "layers": None if own else list(self.layers),
            "pooling": self.pooling,
        }

    def encoder(self) -> ImageEncoder:
        """Make an `ImageEncoder` that gives the embeddings of this candidate."""
        return ImageEncoder(**self.parameters)


@dataclass(frozen=True, eq=False)
class Network:
    """An encoder with its weights.

    Attributes
    ----------
    encoder : ImageEncoder
        The encoder, without layers and pooling.
    name, weights : str
        Names for people.
    top1 : float
        ImageNet top-1 accuracy in percent; NaN if none was published.
    license : str
        License of the weights.
    download : bool
        Whether the weights were not on this machine.
    layers : tuple of str
        Layers of the encoder that the user gave.
    pooling : str or None
        Pooling of the encoder that the user gave.
    given : ImageEncoder or None
        The encoder in float32, of which this one is the version in int8.
    """

    encoder: ImageEncoder
    name: str
    weights: str
    top1: float
    license: str
    download: bool
    layers: tuple[str, ...] = ("feature",)
    pooling: str | None = None
    given: ImageEncoder | None = None

    @property
    def precision(self) -> str:
        """The precision that it runs in."""
        return self.encoder.precision if self.given is None else INT8


def find_networks(encoders: Any) -> list[Network]:
    """Resolve ``encoders=``.

    Parameters
    ----------
    encoders : "installed", or sequence of str, Encoder or ImageEncoder
        ``"installed"`` stands for every registered network whose weights are on this machine.

    Returns
    -------
    list of Network

    Raises
    ------
    ParameterError
        If it is none of these, or parameters of an encoder are invalid.
    """
    if isinstance(encoders, str) and encoders == "installed":
        here = list_encoders().query("local")[["name", "weights"]]
        encoders = [ImageEncoder(name, weights=weights) for name, weights in here.itertuples(index=False)]
    elif isinstance(encoders, str | Encoder | ImageEncoder):
        encoders = [encoders]
    elif not isinstance(encoders, Iterable):
        raise ParameterError(f"Got encoders={encoders!r}. Expected 'installed', or a list of encoders.")
    encoders = list(encoders)
    if not encoders:
        raise ParameterError("Got no encoder. Expected one or more, or encoders='installed'.")
    return [_network(encoder) for encoder in encoders]


def in_precisions(
    networks: Sequence[Network], precisions: Sequence[str] | None, layers: Sequence[str] | None, images: Any
) -> list[Network]:
    """Multiply networks by precisions, and warn of those that do not run here.

    Parameters
    ----------
    networks : sequence of Network
        The networks.
    precisions : sequence of str or None
        Names as for `compare_precisions`. None leaves each network in its own.
    layers : sequence of str or None
        The layers to try; a network in int8 has its feature alone.
    images : container of images
        Those on which int8 is calibrated.

    Returns
    -------
    list of Network

    Raises
    ------
    UnknownNameError
        If there is no such precision.
    ParameterError
        If no network runs in any of them.
    """
    if precisions is None:
        return list(networks)
    for precision in precisions:
        check_choice("precision", precision, EVERY_PRECISION)
    found = []
    for network in networks:
        for precision in precisions:
            try:
                found.append(_in_precision(network, precision, layers, images))
            except UNAVAILABLE as error:
                warn(f"{network.name} in {precision} is left out of the ranking: {error}", FeatxWarning)
    if not found:
        raise ParameterError(f"Got precisions={list(precisions)!r}. Expected one that runs here: see the warnings.")
    return found


def _in_precision(network: Network, precision: str, layers: Sequence[str] | None, images: Any) -> Network:
    if precision != INT8:
        return replace(network, encoder=in_precision(network.encoder, precision, images))
    asked = network.layers if layers is None else layers
    if tuple(asked) != (FEATURE,):
        raise ParameterError(f"Got layers={list(asked)!r}. Expected layers=None: int8 has the network's feature alone.")
    return replace(network, encoder=in_precision(network.encoder, precision, images), given=network.encoder)


def cross(network: Network, layers: Sequence[str] | None, poolings: Sequence[str]) -> list[Candidate]:
    """Combine every layer with every pooling; without layers return the encoder's layers, by default its feature."""
    if layers is None:
        return [Candidate(network, network.layers, network.pooling)]
    return [
        Candidate(network, (layer,), pooling)
        for layer in layers
        for pooling in ((None,) if layer in (FEATURE, LOGITS) else poolings)
    ]


def distinct(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Drop candidates that do the same as an earlier one, with the same parameters."""
    seen: dict[tuple, Candidate] = {}
    for candidate in candidates:
        rows = extraction_of(candidate.encoder()).fingerprints()
        seen.setdefault((rows, *_traits(candidate).values()), candidate)
    return list(seen.values())


def name_candidates(candidates: Sequence[Candidate]) -> list[str]:
    """Give candidates distinct names, as short as possible.

    Parameters
    ----------
    candidates : sequence of Candidate
        The candidates of one ranking.

    Returns
    -------
    list of str
        The name of the network, followed by what differs between the candidates with this network: weights, layer and
        pooling by their values, and other parameters of the `ImageEncoder` as in ``preprocess=squash``. Names that are
        still equal get a number.
    """
    alike: dict[str, list[int]] = {}
    for i, candidate in enumerate(candidates):
        alike.setdefault(candidate.network.name, []).append(i)
    names = [candidate.network.name for candidate in candidates]
    for rows in alike.values():
        traits = [_traits(candidates[i]) for i in rows]
        different = [key for key in traits[0] if len({trait[key] for trait in traits}) > 1]
        for i, trait in zip(rows, traits, strict=True):
            names[i] = " ".join(filter(None, [names[i], *(trait[key] for key in different)]))
    for name, n in Counter(names).items():  # two of the user's networks, with one name
        if n > 1:
            numbers = count(1)
            names = [f"{other} #{next(numbers)}" if other == name else other for other in names]
    return names


def _traits(candidate: Candidate) -> dict[str, str]:
    """Describe what may differ between candidates of one network."""
    network = candidate.network
    given = network.encoder if network.given is None else network.given
    parameters = {**given.get_params(deep=False), "precision": network.precision}
    others = {key: value for key, value in parameters.items() if key not in _NAMED}
    return {
        "weights": network.weights,
        "layer": candidate.layer,
        "pooling": candidate.pooling or "",
        **{key: f"{key}={_short(value)}" for key, value in others.items()},
    }


def _short(value: Any) -> str:
    if not isinstance(value, Preprocess):
        return str(value)
    changed = [
        f"{field.name}={getattr(value, field.name)}"
        for field in fields(Preprocess)
        if getattr(value, field.name) != field.default
    ]
    return f"Preprocess({', '.join(changed)})"


def _network(encoder: Any) -> Network:
    encoder = clone(encoder) if isinstance(encoder, ImageEncoder) else ImageEncoder(encoder)
    specs = extraction_of(encoder).specs
    layers, pooling = tuple(spec.layer for spec in specs), specs[0].pooling
    published = _published(encoder)
    return Network(
        encoder.set_params(layers=None, pooling=None),
        specs[0].name,
        _weights_name(encoder, published),
        float("nan") if published is None or published.top1 is None else published.top1,
        specs[0].license,
        published is not None and not published.is_local(),
        layers,
        pooling,
    )


def _published(encoder: ImageEncoder) -> Weights | None:
    return published_weights(encoder.encoder, encoder.weights) if isinstance(encoder.encoder, str) else None


def _weights_name(encoder: ImageEncoder, published: Weights | None) -> str:
    if published is not None:
        return published.name
    if isinstance(encoder.weights, Path) or Path(encoder.weights).suffix:
        return Path(encoder.weights).name
    return "own" if isinstance(encoder.encoder, Encoder) else encoder.weights


@dataclass(frozen=True)
class Size:
    """Megabytes (10^6 bytes) in float32.

    Attributes
    ----------
    memory_mb : float
        Weights, and the two largest maps of an image that are in memory at once.
    bundle_mb : float
        Weights up to the layer, which a bundle holds.
    """

    memory_mb: float
    bundle_mb: float


def size_of(candidate: Candidate) -> Size:
    """Compute the size of a candidate's network, up to its layer."""
    specs = extraction_of(candidate.encoder()).specs
    if specs[0].graph is not None:
        file_mb = specs[0].graph.stat().st_size / _MB
        return Size(file_mb, file_mb)
    size = network_size(specs)
    weights = size.parameters * _BYTES / _MB
    return Size(weights + size.activations * _BYTES / _MB, weights)


def has_logits(encoder: ImageEncoder) -> bool:
    """Check whether a network has a classifier for the classes of its source."""
    return extraction_of(encoder).spec.classifier is not None


@dataclass
class Clock:
    """Measure the speed of decoding and of the networks on the user's images.

    Attributes
    ----------
    images : container of images
        The images, of which some are decoded.
    """

    images: Any
    _decoded: dict[tuple, tuple[np.ndarray, float]] = field(default_factory=dict)

    def images_per_second(self, candidate: Candidate) -> float:
        """Compute the rate of decoding and encoding together, 1 / (1/decode + 1/encode), from separate timings."""
        encoder = candidate.encoder()
        extraction, column = extraction_of(encoder), column_of(encoder, self.images)
        n_threads = extraction.options.n_threads
        pixels, decoding = self._decode(extraction.specs, column, n_threads)
        if not len(pixels):
            return float("nan")
        runtime = extraction.runtime()
        runtime.run(pixels[:1])
        return 1 / (1 / decoding + 1 / network_rate(runtime, pixels, n_threads))

    def _decode(self, specs: Sequence[EncoderSpec], column: ImageColumn, n_threads: int) -> tuple[np.ndarray, float]:
        """Decode some images and time it, once for all networks with the same preprocessing."""
        key = (specs[0].preprocess, specs[0].decode)
        if key not in self._decoded:
            some = decode_some(specs[0], column, _TIMED)
            rate = decoding_rate(specs[0], column, n_threads, _TIMED) if some else float("nan")
            self._decoded[key] = (np.stack(some) if some else np.empty(0), rate)
        return self._decoded[key]
