"""One cell (a path, bytes, a PIL image, a uint8 array, ...) -> its digest, and the pixels that an encoder takes.

Like ``_decode.py``, this file also runs, byte for byte, where there is nothing but numpy, Pillow and simplejpeg.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ._cell import Edges, Region
from ._decode import MAX_PIXELS
from ._preprocess import Preprocess
from ._read import read_cell, to_pixels
from ._resize import import_resizer, resize_exactly, resize_fast

DIGEST_BYTES = 16
# A JPEG is decoded at a fraction of its size only where this many times the pixels that are needed are left:
# with 2, embeddings move by 3 % (relative L2), with 1.5 by 4 %, with 1 by more.
_SPARE = 2
_FILE_TAG = b"featx:file:1\0"
_PIXELS_TAG = b"featx:pixels:1\0"
_REGION_TAG = b"featx:region:1\0"


def digest_file(data: bytes) -> bytes:
    """Digest of an encoded image: 16 bytes, by content alone."""
    digest = hashlib.sha256(_FILE_TAG)
    digest.update(data)
    return digest.digest()[:DIGEST_BYTES]


def digest_pixels(image: Image.Image) -> bytes:
    """Digest of RGB pixels: 16 bytes over shape and values."""
    width, height = image.size
    tag = _PIXELS_TAG + f"{height}x{width}\0".encode()
    return hashlib.sha256(tag + image.tobytes()).digest()[:DIGEST_BYTES]


def digest_region(digest: bytes, box: Edges) -> bytes:
    """Digest of a part of an image: 16 bytes over the image's digest and the box."""
    return hashlib.sha256(_REGION_TAG + digest + ",".join(map(str, box)).encode()).digest()[:DIGEST_BYTES]


def load(source: object, max_pixels: int = MAX_PIXELS, at_least: int | None = None) -> tuple[bytes, Image.Image]:
    """Read one source wholly.

    Parameters
    ----------
    source : object
        A cell, as for `open_cell`.
    max_pixels : int, default=89_000_000
        Larger images are refused before they are decoded.
    at_least : int, default=None
        JPEGs may be decoded at a fraction of their size, as in `decode`.

    Returns
    -------
    digest : bytes of length 16
        Of exactly the content that was decoded.
    image : PIL.Image.Image
        RGB.

    Raises
    ------
    DecodeError
        With the reason why this source cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.images import load
    >>> digest, image = load(np.zeros((4, 6), "uint8"))
    >>> len(digest), image.size
    (16, (6, 4))
    """
    data = read_cell(source)
    if isinstance(data, Region):
        digest, image = load(data.source, max_pixels)
        return digest_region(digest, data.box), data.cut(image)
    image = to_pixels(data, max_pixels, at_least)
    return digest_file(data) if isinstance(data, bytes) else digest_pixels(image), image


@dataclass(frozen=True)
class PixelPath:
    """How a source becomes pixels.

    Parameters
    ----------
    preprocess : Preprocess
    decode : {"exact", "fast", "fast:1"}, default="exact"
        ``"exact"`` has Pillow resize. ``"fast"`` has cykooz-resizer do that, and decodes a JPEG at 1/2, 1/4 or 1/8 of
        its size where that leaves twice the pixels that are needed: libjpeg's inverse cosine transform then works on
        fewer coefficients. ``"fast:1"`` does only the latter, as ``"fast"`` did when older bundles were exported.
    max_pixels : int, default=89_000_000

    Raises
    ------
    MissingDependencyError
        If ``"fast"`` is wanted and cykooz-resizer is not installed.

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

    def __post_init__(self) -> None:
        if self.decode == "fast":
            import_resizer()

    def __call__(self, source: object) -> tuple[bytes, np.ndarray]:
        """Digest and uint8 pixels (size, size, 3) of a source.

        Raises
        ------
        DecodeError
            With the reason why the source cannot be used.
        """
        digest, image = load(source, self.max_pixels, self.at_least)
        return digest, self._resized(image)

    def pixels(self, source: object) -> np.ndarray:
        """Only the pixels, where the digest is known."""
        return self._resized(to_pixels(source, self.max_pixels, self.at_least))

    def _resized(self, image: Image.Image) -> np.ndarray:
        return self.preprocess(image, resize_fast if self.decode == "fast" else resize_exactly)

    @property
    def at_least(self) -> int | None:
        """Pixels that a side of a JPEG keeps; None: all."""
        needed = self.preprocess.resize or self.preprocess.size
        return None if self.decode == "exact" else _SPARE * needed
