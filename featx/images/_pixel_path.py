"""From a source to an encoder's pixels: the exact way, and one that is faster on large photos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featx.images._decode import MAX_PIXELS
from featx.images._preprocess import Preprocess
from featx.images._read import to_pixels
from featx.images._source import load

# A JPEG is decoded at a fraction of its size only where this many times the pixels that are needed are left:
# with 2, embeddings move by 2 to 3 % (relative L2), with 1 by a multiple of that.
_SPARE = 2


@dataclass(frozen=True)
class PixelPath:
    """How a source becomes pixels.

    Parameters
    ----------
    preprocess : Preprocess
    decode : {"exact", "fast"}, default="exact"
        ``"fast"`` decodes a JPEG at 1/2, 1/4 or 1/8 of its size where that leaves
        twice the pixels that are needed: libjpeg's inverse cosine transform then
        works on fewer coefficients. All else is as in ``"exact"``.
    max_pixels : int, default=89_000_000

    Examples
    --------
    >>> import numpy as np
    >>> from featx.images import PixelPath, Preprocess
    >>> digest, pixels = PixelPath(Preprocess(size=8))(np.zeros((20, 30), "uint8"))
    >>> pixels.shape
    (8, 8, 3)
    """

    preprocess: Preprocess
    decode: str = "exact"
    max_pixels: int = MAX_PIXELS

    def __call__(self, source: object) -> tuple[bytes, np.ndarray]:
        """Digest and uint8 pixels (size, size, 3) of a source.

        Raises
        ------
        DecodeError
            With the reason why the source cannot be used.
        """
        digest, image = load(source, self.max_pixels, self.at_least)
        return digest, self.preprocess(image)

    def pixels(self, source: object) -> np.ndarray:
        """Only the pixels, where the digest is known."""
        return self.preprocess(to_pixels(source, self.max_pixels, self.at_least))

    @property
    def at_least(self) -> int | None:
        """Pixels that a side of a JPEG keeps; None: all."""
        needed = self.preprocess.resize or self.preprocess.size
        return _SPARE * needed if self.decode == "fast" else None
