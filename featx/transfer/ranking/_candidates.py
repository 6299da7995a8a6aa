"""A user's encoders, layers and poolings -> the candidates of a ranking."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sklearn.base import clone

from featx._image_encoder import ImageEncoder
from featx.encoders import Encoder, Weights, list_encoders, published_weights
from featx.exceptions import ParameterError

FEATURE = "feature"
LOGITS = "logits"


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
    licence : str
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
    licence: str
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


def _network(encoder: Any) -> Network:
    encoder = clone(encoder) if isinstance(encoder, ImageEncoder) else ImageEncoder(encoder)
    specs = encoder._specs()
    layers, pooling = tuple(spec.layer for spec in specs), specs[0].pooling
    published = _published(encoder)
    return Network(
        encoder.set_params(layers=None, pooling=None),
        specs[0].name,
        _weights_name(encoder, published),
        float("nan") if published is None or published.top1 is None else published.top1,
        specs[0].licence,
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
