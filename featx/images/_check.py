"""Images -> which of them cannot be used and why, and what is odd about the others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from PIL import Image

from featx._machine import count_threads
from featx.images._cell import is_missing
from featx.images._decode import MAX_PIXELS, DecodeError, open_header
from featx.images._doors import open_column
from featx.images._pixel_path import load
from featx.images._read import read_cell

if TYPE_CHECKING:
    import pandas as pd

BLANK = "blank: "
_DARK = 15


def check_images(X: Any, *, max_pixels: int = MAX_PIXELS, n_jobs: int | None = -1) -> pd.DataFrame:
    """Decode every image, and say which ones cannot be used and why.

    Parameters
    ----------
    X : container of images
        As for `ImageEncoder`.
    max_pixels : int, default=89_000_000
        Larger images are refused.
    n_jobs : int, default=-1
        Threads: -1 is one for each processor, None is 1, as in scikit-learn.

    Returns
    -------
    pandas.DataFrame
        Columns image, ok, error ("" where it is ok), format, mode, width,
        height, digest (hex; equal for equal content), note (what is odd about
        an image that is ok: it is blank, all of one color, or so dark that it
        may be 12-bit data in 16 bits; "" elsewhere); the index is that of
        `X`. Width and height are those of the upright image.

    Examples
    --------
    >>> import featx
    >>> featx.check_images(["nowhere.jpg"])["error"].tolist()
    ['no such file']
    """
    import pandas as pd

    column = open_column(X)
    with ThreadPoolExecutor(count_threads(n_jobs)) as pool:
        records = list(pool.map(lambda source: _check(source, max_pixels), column.sources))
    columns = ["ok", "error", "format", "mode", "width", "height", "digest", "note"]
    table = pd.DataFrame(records, columns=columns, index=column.index)
    table.insert(0, "image", pd.Series(list(column.sources), table.index, dtype=object))
    return table.astype({"ok": bool, "width": "Int64", "height": "Int64"})


def _check(source: Any, max_pixels: int) -> tuple:
    if is_missing(source):
        return False, f"missing ({source!r})", None, None, None, None, None, ""
    header = (None, None, None, None)
    try:
        data = read_cell(source)
        image = open_header(data) if isinstance(data, bytes) else None
        if image is not None:
            header = (image.format, image.mode, *image.size)
        digest, rgb = load(data, max_pixels)
    except DecodeError as error:
        return False, str(error), *header, None, ""
    return True, "", header[0], header[1] or getattr(source, "mode", None), *rgb.size, digest.hex(), note_on(rgb)


def note_on(image: Image.Image) -> str:
    """Describe what is suspicious about an image's pixels.

    Parameters
    ----------
    image : PIL.Image.Image
        An image of mode RGB.

    Returns
    -------
    str
        A note that begins with `BLANK` if all pixels have one color; "" for an ordinary image.

    Examples
    --------
    >>> from PIL import Image
    >>> from featx.images import note_on
    >>> note_on(Image.new("RGB", (4, 3), "white"))
    'blank: every pixel is (255, 255, 255)'
    """
    extrema = image.getextrema()
    if all(low == high for low, high in extrema):
        return f"{BLANK}every pixel is {tuple(low for low, _ in extrema)}"
    if all(high <= _DARK for _, high in extrema):
        return (
            f"dark: no value above {_DARK} of 255, as where a file of 16 bits holds 12-bit data: scale it to its range"
        )
    return ""
