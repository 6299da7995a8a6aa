"""Templates and values -> one HTML file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featx._atomic import atomic_file
from featx._optional import import_optional
from featx._version import __version__
from featx.exceptions import ParameterError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HERE = Path(__file__).parent


def write_page(path: str | Path, template: Path, **values: Any) -> Path:
    """Render a template to a file; whole, or not at all.

    Parameters
    ----------
    path : str or Path
        An older file of that name is replaced.
    template : Path
        A file of Jinja that extends ``base.html``, which has the style and the macros. Values are escaped.
    **values
        What the template names.

    Returns
    -------
    Path
        Where it is.

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
