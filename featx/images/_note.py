"""What is odd about an image that can be used."""

from __future__ import annotations

from PIL import Image

BLANK = "blank: "
_DARK = 15


def note_on(image: Image.Image) -> str:
    """Say what its pixels let one suspect.

    Parameters
    ----------
    image : PIL.Image.Image
        RGB.

    Returns
    -------
    str
        It begins with `BLANK` if all pixels are of one color; "" where there is nothing to say.

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
