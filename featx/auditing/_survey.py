"""One look at every image: can it be read, what is its digest, what does it look like from afar."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from featx._machine import count_threads
from featx.auditing._copies import shrink
from featx.auditing._look import LOOK_SHAPE, few_pixels
from featx.images import BLANK, DecodeError, is_missing, load, note_on

_AT_LEAST = 64
_SAMPLED = 100


@dataclass(frozen=True)
class Survey:
    """What one decode of every image tells.

    Attributes
    ----------
    errors : list of str
        Why an image cannot be used; "" for those that can.
    digests : list of bytes
        Equal for equal content; b"" where there is an error.
    looks : ndarray of shape (n, 3, 192), uint8
        Of `few_pixels`; 0 where there is an error.
    sample : dict of int to PIL.Image.Image
        Up to 100 of the images, evenly spread, small.
    blank : ndarray of shape (n,), bool
        Whether all pixels are of one color.
    """

    errors: list[str]
    digests: list[bytes]
    looks: np.ndarray
    sample: dict[int, Image.Image]
    blank: np.ndarray


def survey(sources: Sequence[Any], max_pixels: int, n_jobs: int | None = None) -> Survey:
    """Decode every image once, in threads."""
    chosen = set(np.linspace(0, len(sources) - 1, min(_SAMPLED, len(sources))).astype(int).tolist())

    def look(i: int) -> tuple[str, bytes, np.ndarray, Image.Image | None, bool]:
        try:
            if is_missing(sources[i]):
                raise DecodeError(f"missing ({sources[i]!r})")
            # Large JPEGs at a fraction of their size, but those that are copied.
            digest, image = load(sources[i], max_pixels, None if i in chosen else _AT_LEAST)
        except DecodeError as error:
            return str(error), b"", np.zeros(LOOK_SHAPE, np.uint8), None, False
        blank = note_on(image).startswith(BLANK)
        return "", digest, few_pixels(image), shrink(image) if i in chosen and not blank else None, blank

    with ThreadPoolExecutor(count_threads(n_jobs)) as pool:
        errors, digests, looks, images, blank = zip(*pool.map(look, range(len(sources))), strict=True)
    sample = {i: image for i, image in enumerate(images) if image is not None}
    return Survey(list(errors), list(digests), np.array(looks), sample, np.array(blank))
