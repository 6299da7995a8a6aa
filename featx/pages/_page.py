"""Templates, figures and images -> one HTML file."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from featx._atomic import atomic_file
from featx._optional import import_optional
from featx._version import __version__
from featx.exceptions import ParameterError
from featx.images import DecodeError, load

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HERE = Path(__file__).parent
_QUALITY = 80
_SMALL = 48


def write_page(path: str | Path, template: Path, **values: Any) -> Path:
    """Render a template to a file; whole, or not at all.

    Parameters
    ----------
    path : str or Path
        An older file of that name is replaced.
    template : Path
        A Jinja file that extends ``base.html``, which has the style. Values are escaped.
    **values
        What the template names.

    Returns
    -------
    Path
        The path of the page.

    Raises
    ------
    ParameterError
        If it cannot be written.
    MissingDependencyError
        If Jinja is not installed.
    """
    jinja2 = import_optional("jinja2", extra="report", purpose="A page")
    path = Path(path)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, _HERE]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template(template.name).render(version=__version__, **values)
    try:
        with atomic_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ParameterError(f"{path.absolute()} cannot be written: {error.strerror or error}.") from error
    return path


def figure(chart: Figure) -> str:
    """Draw a matplotlib figure as SVG, to be put into a page (marked ``| safe`` in its template).

    Parameters
    ----------
    chart : matplotlib.figure.Figure
        Its background becomes the page's.

    Returns
    -------
    str
        ``<svg ...>``
    """
    buffer = io.StringIO()
    chart.savefig(buffer, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]


def thumbnail(source: object, side: int = 96) -> str:
    """Draw an image small.

    Parameters
    ----------
    source : str, Path, bytes, PIL.Image.Image or uint8 ndarray
        The image.
    side : int, default=96
        The largest length of its longer side, in pixels. Smaller images keep their size, and those of up to 48
        pixels their exact pixels.

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
    buffer, kind = io.BytesIO(), "png" if max(image.size) <= _SMALL else "jpeg"
    if kind == "png":
        image.save(buffer, "PNG", optimize=True)
    else:
        image.save(buffer, "JPEG", quality=_QUALITY)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
