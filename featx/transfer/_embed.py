"""Several layers of one encoder, each on its own: one decode and one forward pass serve them all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import clone

from featx._image_encoder import ImageEncoder
from featx.encoders import Encoder, EncoderSpec
from featx.exceptions import ParameterError
from featx.extraction import embedding_dims, extract
from featx.images import as_column

FEATURE = "feature"


def embed_layers(
    images: Any,
    encoder: str | Encoder | ImageEncoder = "efficientnet_lite0",
    layers: str | Sequence[str] = (FEATURE,),
    poolings: str | Sequence[str] = ("avg",),
) -> dict[tuple[str, str | None], np.ndarray]:
    """Embed images at several layers, one decode and one forward pass for all of them.

    Each layer and pooling has rows of its own in the store, those that `ImageEncoder` with that one layer has.

    Parameters
    ----------
    images : container of images
        n of them, as for `ImageEncoder`.
    encoder : str, Encoder or ImageEncoder, default="efficientnet_lite0"
        An ImageEncoder brings its device, store, preprocessing and policies along; its own layers and pooling are
        not used.
    layers : str or sequence of str, default=("feature",)
        As for `ImageEncoder`; ``"feature"`` is the network's own feature.
    poolings : str or sequence of str, default=("avg",)
        As for `ImageEncoder`.

    Returns
    -------
    dict of (layer, pooling) to ndarray of shape (n, dim), float32
        The layer as it was named. ``"feature"`` and ``"logits"`` are not pooled: theirs is ``(layer, None)``, once.

    Raises
    ------
    ImageErrors
        If images are unusable; the others are in the store by then.
    ParameterError
        If there is no such layer or pooling, or none is given.

    Examples
    --------
    >>> from sklearn.datasets import load_sample_images
    >>> from featx.transfer._embed import embed_layers
    >>> rows = embed_layers(load_sample_images().images, layers=["feature", "blocks.4"], poolings=["avg", "max"])
    >>> {key: array.shape for key, array in rows.items()}
    {('feature', None): (2, 1280), ('blocks.4', 'avg'): (2, 40), ('blocks.4', 'max'): (2, 40)}
    """
    encoder = as_image_encoder(encoder)
    named = specs_of_layers(encoder, layers, poolings)
    # Two names may be one node.
    specs = list(dict.fromkeys(named.values()))
    store, options = encoder._store(), encoder._options()
    rows = extract(as_column(images), specs, store, options)
    ends = np.cumsum(embedding_dims(specs, store, options))
    parts = dict(zip(specs, np.split(rows, ends[:-1], axis=1), strict=True))
    return {key: parts[spec] for key, spec in named.items()}


def specs_of_layers(
    encoder: ImageEncoder, layers: str | Sequence[str], poolings: str | Sequence[str]
) -> dict[tuple[str, str | None], EncoderSpec]:
    """What each layer and pooling is, in the order of the layers."""
    layers, poolings = ([names] if isinstance(names, str) else list(names) for names in (layers, poolings))
    if not layers or not poolings:
        raise ParameterError(f"Got layers={layers!r} and poolings={poolings!r}. Expected at least one of each.")
    specs = {}
    for layer in layers:
        for pooling in poolings:
            at_layer = clone(encoder).set_params(layers=layer, pooling=pooling)
            (spec,) = at_layer._specs()
            specs[layer, spec.pooling] = spec
    return specs


def as_image_encoder(encoder: str | Encoder | ImageEncoder) -> ImageEncoder:
    """An encoder with its parameters; a name or an `Encoder` gets the defaults."""
    return encoder if isinstance(encoder, ImageEncoder) else ImageEncoder(encoder)
