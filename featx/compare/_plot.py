"""Learning curves, drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from featx._optional import import_optional
from featx.compare._arms import PRETRAINED

if TYPE_CHECKING:
    import pandas as pd

# Okabe and Ito's, which people who see few colours tell apart.
_PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#0072B2", "#999999")
_ACCENT = "#1c1c1a"


def draw_curves(intervals: pd.DataFrame, scoring: str, ax: Any = None) -> Any:
    """Draw mean scores with their intervals over log n.

    Parameters
    ----------
    intervals : DataFrame
        Columns arm, size, score, low, high.
    scoring : str
        Names the axis.
    ax : matplotlib Axes, default=None
        None makes a figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    import_optional("matplotlib", extra="report", purpose="A plot")
    from matplotlib.figure import Figure

    ax = Figure(figsize=(7.5, 4.2)).add_subplot() if ax is None else ax
    for i, (arm, rows) in enumerate(intervals.groupby("arm", sort=False)):
        first = arm == PRETRAINED
        color = _ACCENT if first else _PALETTE[i % len(_PALETTE)]
        ax.plot(
            rows["size"], rows["score"], "o-", color=color, label=arm, lw=2.4 if first else 1.5, ms=4, zorder=2 + first
        )
        ax.fill_between(rows["size"], rows["low"], rows["high"], color=color, alpha=0.12, lw=0)
    sizes = sorted(intervals["size"].unique())
    ax.set_xscale("log")
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ax.set_xticks([], minor=True)
    ax.margins(y=0.05)
    ax.set_xlabel("training images")
    ax.set_ylabel(scoring)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", alpha=0.25)
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return ax
