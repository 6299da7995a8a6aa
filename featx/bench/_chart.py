"""Results as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from featx._optional import import_optional
from featx.bench._result import BenchResult
from featx.exceptions import UnknownNameError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg", ".pdf")
_OURS, _LIMIT, _THEIRS = "#1b6ca8", "#cfe2f1", "#b9bec4"
_TEXT, _QUIET = "#22272e", "#6b737c"
_HEIGHT = 0.34  # inches a bar


def check_chart(path: str | Path) -> None:
    """Refuse what could not be drawn: a format that is not known, or no matplotlib."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise UnknownNameError("format of a chart", Path(path).suffix, SUFFIXES)
    import_optional("matplotlib", extra="plot", purpose="A chart")


def draw_chart(results: Sequence[BenchResult], path: str | Path) -> None:
    """Draw images/s as bars, a panel for each result.

    Parameters
    ----------
    results : sequence of BenchResult
    path : str or Path
        ``.png``, ``.svg`` or ``.pdf``.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    check_chart(path)
    from matplotlib.figure import Figure

    bars = [_bars(result) for result in results]
    heights = [len(panel) + 1.4 for panel in bars]
    figure = Figure(figsize=(8, _HEIGHT * sum(heights) + 0.9), facecolor="white", layout="constrained")
    figure.get_layout_engine().set(h_pad=0.1, w_pad=0.12)
    axes = figure.subplots(len(results), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, result, panel in zip(axes, results, bars, strict=True):
        _draw_panel(axis, result, panel)
    figure.suptitle("Images/s, from files to embeddings", x=0.015, ha="left", size=13, weight="bold", color=_TEXT)
    where = f"{results[0].runtime} on {results[0].device}, {results[0].n_threads} threads, {results[0].precision}"
    figure.supxlabel(f"featx: {where}. Pale: the limit that its own parts set.", size=8, color=_QUIET)
    figure.savefig(path, dpi=160)


def _bars(result: BenchResult) -> list[tuple[str, float]]:
    """Name and rate of whoever has one, the fastest first; without peers, of the parts."""
    if not result.peers:
        parts = {"decode alone": "decode", "encode alone": "encode", "featx": "whole"}
        return [(name, result.rate(part)) for name, part in parts.items()]
    peers = [(f"{peer.name} {peer.version}".strip(), peer.rate) for peer in result.peers if not peer.reason]
    return sorted([("featx", result.rate("whole")), *peers], key=lambda bar: -bar[1])


def _draw_panel(axis: Axes, result: BenchResult, bars: list[tuple[str, float]]) -> None:
    names, rates = zip(*bars, strict=True)
    ours = names.index("featx")
    longest = max(*rates, result.limit)
    axis.barh([ours], [result.limit], color=_LIMIT, height=0.72)
    axis.barh(range(len(bars)), rates, color=[_OURS if name == "featx" else _THEIRS for name in names], height=0.72)
    for i, (name, rate) in enumerate(bars):
        end = max(rate, result.limit) if name == "featx" else rate
        slower = rates[ours] / rate if result.peers else 0
        color = _TEXT if i == ours else _QUIET
        axis.text(end + longest / 100, i, _label(rate, slower), va="center", size=9, color=color)
    axis.set_title(result.encoder, loc="left", size=10, weight="bold", color=_TEXT)
    axis.set(xlim=(0, 1.15 * longest), ylim=(len(bars) - 0.4, -0.6), xticks=[])
    axis.set_yticks(range(len(bars)), names, size=9)
    for label, name in zip(axis.get_yticklabels(), names, strict=True):
        label.set(color=_TEXT if name == "featx" else _QUIET, weight="bold" if name == "featx" else "normal")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def _label(rate: float, slower: float) -> str:
    number = f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"
    return f"{number}   {slower:.1f}\N{MULTIPLICATION SIGN} slower" if slower > 1 else number
