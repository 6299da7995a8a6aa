"""A reliability diagram, as SVG: how often labels were right against how sure the model was of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

DIAGRAM = "calibration.svg"
_LEFT, _TOP, _SIDE = 56, 16, 264  # of the square, in pixels


def diagram(bins: Sequence[Mapping[str, Any]]) -> str:
    """Draw how often labels were right against how sure the model was of them, as SVG.

    Parameters
    ----------
    bins : sequence of mapping
        As `reliability` returns them.

    Returns
    -------
    str
        A picture of 360 x 340 pixels; the area of a circle goes with the rows of its bin.
    """
    shapes = [*_axes(), *_points(bins)]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 360 340" width="360" height="340" '
        'font-family="sans-serif" font-size="11" fill="#222" role="img"><title>Reliability diagram</title>\n'
        + "\n".join(shapes)
        + "\n</svg>\n"
    )


def _at(x: float, y: float) -> tuple[float, float]:
    """Find where two shares are in the picture."""
    return round(_LEFT + _SIDE * x, 1), round(_TOP + _SIDE * (1 - y), 1)


def _axes() -> Iterator[str]:
    yield (
        f'<rect width="360" height="340" fill="#fff"/><rect x="{_LEFT}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}" '
        'fill="none" stroke="#888"/>'
    )
    for tick in range(0, 101, 25):
        (x, bottom), (start, y) = _at(tick / 100, 0), _at(0, tick / 100)
        yield (
            f'<text x="{x}" y="{bottom + 17}" text-anchor="middle">{tick} %</text>'
            f'<text x="{start - 6}" y="{y + 4}" text-anchor="end">{tick} %</text>'
        )
    (x1, y1), (x2, y2) = _at(0, 0), _at(1, 1)
    yield f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#888" stroke-dasharray="4 4"/>'
    yield (
        f'<text x="{_LEFT + _SIDE / 2}" y="{_TOP + _SIDE + 40}" text-anchor="middle">probability of the label</text>'
        f'<text transform="translate(12 {_TOP + _SIDE / 2}) rotate(-90)" text-anchor="middle">labels that were right'
        "</text>"
    )


def _points(bins: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    most = max(entry["rows"] for entry in bins)
    points = [_at(entry["probability"], entry["right"]) for entry in bins]
    line = " ".join(f"{x},{y}" for x, y in points)
    yield f'<polyline points="{line}" fill="none" stroke="#2563eb" stroke-width="1.5"/>'
    for (x, y), entry in zip(points, bins, strict=True):
        radius = round(3 + 7 * (entry["rows"] / most) ** 0.5, 1)
        told = (
            f"{entry['rows']:,} images said with {100 * entry['probability']:.0f} %: {100 * entry['right']:.0f} % right"
        )
        yield (
            f'<circle cx="{x}" cy="{y}" r="{radius}" fill="#2563eb" fill-opacity="0.6"><title>{escape(told)}</title>'
            "</circle>"
        )
