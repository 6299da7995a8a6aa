"""What a training reads of its images: embeddings for the probe, and what the tuned layers begin with."""

from __future__ import annotations

from typing import Any

import numpy as np

from featx._image_encoder import ImageEncoder, extraction_of
from featx._precompute import embed_layers
from featx.encoders import FEATURE
from featx.exceptions import InputError
from featx.finetune._pixels import read_pixels
from featx.finetune._tunable import Tunable
from featx.images import ImageColumn, as_column


def read_inputs(
    images: Any, encoder: ImageEncoder, tunable: Tunable, *, probe: bool
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Read images once: each is decoded, and passes the frozen layers, a single time.

    Parameters
    ----------
    images : container of images
        n of them.
    encoder : ImageEncoder
        Its store keeps embeddings and activations; its policies say what becomes of unusable images.
    tunable : Tunable
    probe : bool
        Whether embeddings are wanted.

    Returns
    -------
    inputs : ndarray of shape (n, ...)
        float32 activations of the tunable's node, or uint8 pixels.
    embeddings : ndarray of shape (n, dim), or None
    usable : ndarray of int
        Positions of the images that can be used.

    Raises
    ------
    ImageErrors
        If images are unusable, and the encoder's policy is "raise".
    InputError
        If none can be used.
    """
    node = tunable.node
    if node is None:
        column = as_column(images)
        extraction = extraction_of(encoder)
        inputs, good = read_pixels(column, extraction.spec, extraction.options)
        Z = _embed(column, encoder, good) if probe else None
    else:
        layers = dict.fromkeys([FEATURE, node] if probe else [node])
        found = {layer: rows for (layer, _), rows in embed_layers(images, encoder, list(layers), "flatten").items()}
        inputs, Z = found[node].reshape(-1, *tunable.shape), found.get(FEATURE)
        good = ~np.isnan(found[node][:, 0])
    if not good.any():
        raise InputError(f"Got {len(good):,} images, of which none can be used. featx.check_images(X) says why.")
    return inputs, Z, np.flatnonzero(good)


def _embed(column: ImageColumn, encoder: ImageEncoder, good: np.ndarray) -> np.ndarray | None:
    """Embeddings of those images that can be used: the others have been told of."""
    if not good.any():
        return None
    some = [source for source, usable in zip(column.sources, good, strict=True) if usable]
    found = np.asarray(encoder.transform(some))
    Z = np.full((len(good), found.shape[1]), np.nan, found.dtype)
    Z[good] = found
    return Z
