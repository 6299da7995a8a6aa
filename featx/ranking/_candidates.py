"""A user's encoders, layers and poolings -> the candidates of a ranking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import count
from pathlib import Path
from typing import Any

from sklearn.base import clone

from featx._image_encoder import ImageEncoder, extraction_of
from featx.encoders import Encoder, Weights, list_encoders, published_weights
from featx.exceptions import ParameterError
from featx.images import Preprocess

FEATURE = "feature"
LOGITS = "logits"
_SAID = ("encoder", "weights", "layers", "pooling")  # in words of their own


@dataclass(frozen=True)
class Candidate:
    """One network with one layer and pooling, or several layers side by side.

    Attributes
    ----------
    network : Network
    layers : tuple of str
        ``"feature"``, or nodes or portable names as the user gave them.
    pooling : str or None
        None of the feature, which is a vector already.
    """

    network: Network
    layers: tuple[str, ...]
    pooling: str | None

    @property
    def layer(self) -> str:
        """For people."""
        return "+".join(self.layers)

    @property
    def parameters(self) -> dict[str, Any]:
        """Of an `ImageEncoder` that gives this candidate's embeddings."""
        own = self.layers == (FEATURE,)
        return {
            **self.network.encoder.get_params(deep=False),
            "layers": None if own else list(self.layers),
            "pooling": self.pooling,
        }

    def encoder(self) -> ImageEncoder:
        """Such an `ImageEncoder`."""
        return ImageEncoder(**self.parameters)


@dataclass(frozen=True, eq=False)
class Network:
    """An encoder with its weights.

    Attributes
    ----------
    encoder : ImageEncoder
    name, weights : str
        For people.
    top1 : float
        ImageNet top-1 in percent; NaN where none was published.
    license : str
    download : bool
        Whether its weights were not on this machine.
    layers : tuple of str
    pooling : str or None
        Which the encoder had; `encoder` is without.
    """

    encoder: ImageEncoder
    name: str
    weights: str
    top1: float
    license: str
    download: bool
    layers: tuple[str, ...] = ("feature",)
    pooling: str | None = None


def find_networks(encoders: Any) -> list[Network]:
    """Resolve ``encoders=``.

    Parameters
    ----------
    encoders : "installed", or sequence of str, Encoder or ImageEncoder
        ``"installed"``: every registered network whose weights are on this machine.

    Raises
    ------
    ParameterError
        If it is none of these, or an encoder's parameters are not accepted.
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


def cross(network: Network, layers: Sequence[str] | None, poolings: Sequence[str]) -> list[Candidate]:
    """Every layer with every pooling; without layers what the encoder itself has, its feature mostly."""
    if layers is None:
        return [Candidate(network, network.layers, network.pooling)]
    return [
        Candidate(network, (layer,), pooling)
        for layer in layers
        for pooling in ((None,) if layer in (FEATURE, LOGITS) else poolings)
    ]


def distinct(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Without those that do the same in the same way as an earlier one."""
    seen = {}
    for candidate in candidates:
        rows = extraction_of(candidate.encoder()).fingerprints()
        seen.setdefault((rows, *_traits(candidate).values()), candidate)
    return list(seen.values())


def name_candidates(candidates: Sequence[Candidate]) -> list[str]:
    """Name each so that no two are the same, and no longer than that takes.

    Parameters
    ----------
    candidates : sequence of Candidate

    Returns
    -------
    list of str
        The network, and what differs between the candidates of this network: weights, layer and pooling by their
        values, other parameters of the `ImageEncoder` as ``preprocess=squash``; a number where nothing of it does.
    """
    alike: dict[str, list[int]] = {}
    for i, candidate in enumerate(candidates):
        alike.setdefault(candidate.network.name, []).append(i)
    names = [candidate.network.name for candidate in candidates]
    for rows in alike.values():
        traits = [_traits(candidates[i]) for i in rows]
        told = [key for key in traits[0] if len({trait[key] for trait in traits}) > 1]
        for i, trait in zip(rows, traits, strict=True):
            names[i] = " ".join(filter(None, [names[i], *(trait[key] for key in told)]))
    for name, n in Counter(names).items():  # two networks of one's own, with one name
        if n > 1:
            numbers = count(1)
            names = [f"{other} #{next(numbers)}" if other == name else other for other in names]
    return names


def _traits(candidate: Candidate) -> dict[str, str]:
    """What may differ between candidates of one network, in words."""
    network = candidate.network
    others = {key: value for key, value in candidate.parameters.items() if key not in _SAID}
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
