"""An image -> a small picture inside a page."""

from __future__ import annotations

import base64
import io

from PIL import Image

from featx.images import DecodeError, load

_QUALITY = 80
_SMALL = 48


def thumbnail(source: object, side: int = 96) -> str:
    """Draw an image small.

    Parameters
    ----------
    source : str, Path, bytes, PIL.Image.Image or uint8 ndarray
    side : int, default=96
        Pixels of its longer side at most; smaller images keep their size, and up to 48 pixels their exact pixels.

    Returns
    -------
    str
        A ``data:`` URI for ``<img src=...>``; "" for an image that cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.pages import thumbnail
    >>> thumbnail(np.zeros((8, 8), "uint8"))[:22]
    'data:image/png;base64,'
    """
    try:
        _, image = load(source, at_least=side)
    except DecodeError:
        return ""
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    kind, options = ("PNG", {"optimize": True}) if max(image.size) <= _SMALL else ("JPEG", {"quality": _QUALITY})
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
