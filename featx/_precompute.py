"""Several layers of several encoders: one decode and one forward pass an encoder serve them all."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone

from featx._image_encoder import ImageEncoder, column_of, extraction_of
from featx.encoders import FEATURE, Encoder, EncoderSpec, published_weights
from featx.exceptions import ParameterError
from featx.extraction import embed_rows
from featx.store import Store

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("encoder", "weights", "layer", "pooling", "dim", "rows", "encoded", "seconds")


def precompute(
    X: Any,
    encoders: str | Encoder | ImageEncoder | Sequence[str | Encoder | ImageEncoder] = ("efficientnet_lite0",),
    layers: str | Sequence[str] | None = None,
    *,
    pooling: str | Sequence[str] = "avg",
    cache: bool | str | Path | Store = True,
    **encoder_parameters: Any,
) -> pd.DataFrame:
    """Fill the store: embed images by several encoders, at several layers.

    All layers and poolings of an encoder share one decode and one forward pass, and each has separate rows, which
    `ImageEncoder` with that layer and pooling finds.

    Parameters
    ----------
    X : container of images
        As for `ImageEncoder`.
    encoders : str, Encoder, ImageEncoder or sequence of them, default=("efficientnet_lite0",)
        The layers and the pooling of an ImageEncoder are not used, nor is its store.
    layers : str or sequence of str, default=None
        As for `ImageEncoder`, such as ``["middle", "late", "feature"]``; None is the network's own feature.
    pooling : str or sequence of str, default="avg"
        Each layer is pooled in each way; ``"feature"`` and ``"logits"`` are not pooled.
    cache : True, str, Path or Store, default=True
        As for `ImageEncoder`.
    **encoder_parameters
        Passed to each `ImageEncoder`.

    Returns
    -------
    pandas.DataFrame
        A row for each encoder, layer and pooling, with the columns

        - ``encoder``, ``weights``: as in `list_encoders`, ``""`` for the weights of an `Encoder`
        - ``layer``: as it was named; ``pooling``: ``""`` where there is none
        - ``dim``: length of an embedding
        - ``rows``: images that have one
        - ``encoded``: distinct images whose embedding is new in the store
        - ``seconds``: of the encoder's one pass, the same for its layers

    Raises
    ------
    ParameterError
        If nothing would be kept (``cache=False``), or a name is not known.
    ImageReadError
        If images are unusable; the others are in the store by then, for the encoders up to this one. With
        ``on_error="nan"`` it goes on.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_sample_images
    >>> from featx._precompute import precompute
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = precompute(load_sample_images().images, layers=["late", "feature"], cache=folder)
    >>> table[["layer", "dim", "rows", "encoded"]]
         layer   dim  rows  encoded
    0     late   112     2        2
    1  feature  1280     2        2
    """
    import pandas as pd

    if cache is False or cache is None:
        raise ParameterError(f"Got cache={cache!r}: nothing would be kept. Expected True, a folder or a store.")
    several = [encoders] if isinstance(encoders, str | Encoder | ImageEncoder) else list(encoders)
    chosen = [_with_parameters(encoder, {**encoder_parameters, "cache": cache}) for encoder in several]
    layers = FEATURE if layers is None else layers
    for encoder in chosen:  # a wrong name in the last one is no reason to encode the others first
        specs_of_layers(encoder, layers, pooling)
    rows = [row for encoder in chosen for row in _fill(X, encoder, layers, pooling)]
    return pd.DataFrame(rows, columns=_COLUMNS)


def embed_layers(
    X: Any,
    encoder: str | Encoder | ImageEncoder = "efficientnet_lite0",
    layers: str | Sequence[str] = (FEATURE,),
    pooling: str | Sequence[str] = "avg",
) -> dict[tuple[str, str | None], np.ndarray]:
    """Embed images at several layers, one decode and one forward pass for all of them.

    Each layer and pooling has separate rows in the store, the same as `ImageEncoder` with that one layer has.

    Parameters
    ----------
    X : container of images
        n of them, as for `ImageEncoder`.
    encoder : str, Encoder or ImageEncoder, default="efficientnet_lite0"
        An ImageEncoder brings its device, store, preprocessing and policies along; its own layers and pooling are
        not used.
    layers : str or sequence of str, default=("feature",)
        As for `ImageEncoder`; ``"feature"`` is the network's own feature.
    pooling : str or sequence of str, default="avg"
        As for `ImageEncoder`.

    Returns
    -------
    dict of (layer, pooling) to ndarray of shape (n, dim), float32
        The layer as it was named. ``"feature"`` and ``"logits"`` are not pooled: theirs is ``(layer, None)``, once.

    Raises
    ------
    ImageReadError
        If images are unusable; the others are in the store by then.
    ParameterError
        If there is no such layer or pooling, or none is given.

    Examples
    --------
    >>> from sklearn.datasets import load_sample_images
    >>> from featx._precompute import embed_layers
    >>> rows = embed_layers(load_sample_images().images, layers=["feature", "blocks.4"], pooling=["avg", "max"])
    >>> {key: array.shape for key, array in rows.items()}
    {('feature', None): (2, 1280), ('blocks.4', 'avg'): (2, 40), ('blocks.4', 'max'): (2, 40)}
    """
    encoder = as_image_encoder(encoder)
    if encoder.combine == "concat":
        raise ParameterError(
            "Got combine='concat'. Expected one embedding a row for each layer: 'mean', 'max', 'first'."
        )
    named = specs_of_layers(encoder, layers, pooling)
    # Two names may be one node.
    specs = list(dict.fromkeys(named.values()))
    extraction = replace(extraction_of(encoder), specs=tuple(specs))
    rows = embed_rows(extraction.embed, column_of(encoder, X), encoder.combine)
    ends = np.cumsum(extraction.dims())
    parts = dict(zip(specs, np.split(rows, ends[:-1], axis=1), strict=True))
    return {key: parts[spec] for key, spec in named.items()}


def specs_of_layers(
    encoder: ImageEncoder, layers: str | Sequence[str], pooling: str | Sequence[str]
) -> dict[tuple[str, str | None], EncoderSpec]:
    """Resolve each layer and pooling, in the order of the layers."""
    layers, poolings = ([names] if isinstance(names, str) else list(names) for names in (layers, pooling))
    if not layers or not poolings:
        raise ParameterError(f"Got layers={layers!r} and pooling={poolings!r}. Expected at least one of each.")
    specs = {}
    for layer in layers:
        for way in poolings:
            spec = extraction_of(clone(encoder).set_params(layers=layer, pooling=way)).spec
            specs[layer, spec.pooling] = spec
    return specs


def as_image_encoder(encoder: str | Encoder | ImageEncoder) -> ImageEncoder:
    """Wrap a name or an `Encoder` in an ImageEncoder with default parameters."""
    return encoder if isinstance(encoder, ImageEncoder) else ImageEncoder(encoder)


class _Counting:
    """A store that counts the rows it is given, by their fingerprint."""

    def __init__(self, store: Store):
        self._store = store
        self.get_many, self.lock = store.get_many, store.lock
        self.new: Counter[str] = Counter()

    def put_many(self, fingerprint: str, keys: np.ndarray, rows: np.ndarray, meta: Mapping[str, Any]) -> None:
        self._store.put_many(fingerprint, keys, rows, meta)
        self.new[fingerprint] += len(keys)

    def __sklearn_clone__(self) -> _Counting:
        return self


def _with_parameters(encoder: str | Encoder | ImageEncoder, parameters: dict[str, Any]) -> ImageEncoder:
    if isinstance(encoder, ImageEncoder):
        return clone(encoder).set_params(**parameters)
    return ImageEncoder(encoder, **parameters)


def _fill(X: Any, encoder: ImageEncoder, layers: Any, pooling: Any) -> list[dict[str, Any]]:
    kept = extraction_of(encoder).store
    assert kept is not None  # precompute refuses cache=False
    store = _Counting(kept)
    encoder = clone(encoder).set_params(cache=store)
    specs = specs_of_layers(encoder, layers, pooling)
    started = time.perf_counter()
    embeddings = embed_layers(X, encoder, layers, pooling)
    seconds = time.perf_counter() - started
    return [
        {
            "encoder": specs[layer, pooling].name,
            "weights": _weights_name(encoder),
            "layer": layer,
            "pooling": pooling or "",
            "dim": rows.shape[1],
            "rows": int((~np.isnan(rows[:, 0])).sum()),
            "encoded": store.new[specs[layer, pooling].fingerprint()],
            "seconds": seconds,
        }
        for (layer, pooling), rows in embeddings.items()
    ]


def _weights_name(encoder: ImageEncoder) -> str:
    if isinstance(encoder.encoder, Encoder):
        return ""
    published = published_weights(encoder.encoder, encoder.weights)
    return str(encoder.weights) if published is None else published.name
