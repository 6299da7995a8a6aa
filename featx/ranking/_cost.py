"""What a candidate costs: time, memory, and the bytes that a bundle of it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from featx._image_encoder import ImageEncoder, extraction_of
from featx.encoders import EncoderSpec, network_size
from featx.extraction import decode_some, decoding_rate, network_rate
from featx.ranking._candidates import Candidate

_TIMED = 64  # images
_BYTES = 4  # of a float32
_MB = 1e6


@dataclass(frozen=True)
class Size:
    """Megabytes (10^6 bytes) in float32.

    Attributes
    ----------
    memory_mb : float
        Of weights, and of the two largest maps of an image that are there at once.
    bundle_mb : float
        Of the weights that a bundle holds: those up to the layer.
    """

    memory_mb: float
    bundle_mb: float


@dataclass
class Clock:
    """Times the pixel path and the networks on the user's images.

    Attributes
    ----------
    images : container of images
    """

    images: Any
    _decoded: dict[tuple, tuple[np.ndarray, float]] = field(default_factory=dict)

    def images_per_second(self, candidate: Candidate) -> float:
        """Rate of decoding and encoding together, each timed alone: 1 / (1/decode + 1/encode)."""
        extraction = extraction_of(candidate.encoder())
        n_threads = extraction.options.n_threads
        pixels, decoding = self._decode(extraction.specs, n_threads)
        if not len(pixels):
            return float("nan")
        runtime = extraction.runtime()
        runtime.run(pixels[:1])
        return 1 / (1 / decoding + 1 / network_rate(runtime, pixels, n_threads))

    def _decode(self, specs: Sequence[EncoderSpec], n_threads: int) -> tuple[np.ndarray, float]:
        """Some pixels, and the rate at which they come; networks of one preprocessing share both."""
        key = (specs[0].preprocess, specs[0].decode)
        if key not in self._decoded:
            some = decode_some(specs[0], self.images, _TIMED)
            rate = decoding_rate(specs[0], self.images, n_threads, _TIMED) if some else float("nan")
            self._decoded[key] = (np.stack(some) if some else np.empty(0), rate)
        return self._decoded[key]


def size_of(candidate: Candidate) -> Size:
    """How large a candidate's network is, up to its layer."""
    specs = extraction_of(candidate.encoder()).specs
    if specs[0].graph is not None:
        size = specs[0].graph.stat().st_size / _MB
        return Size(size, size)
    size = network_size(specs)
    weights = size.parameters * _BYTES / _MB
    return Size(weights + size.activations * _BYTES / _MB, weights)


def has_logits(encoder: ImageEncoder) -> bool:
    """Whether a network has a classifier of its source's classes."""
    return extraction_of(encoder).spec.classifier is not None
