"""Methods side by side, and domains in a plane, drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from featx._optional import import_optional
from featx.adapt._methods import ORACLE, SOURCE

if TYPE_CHECKING:
    import pandas as pd

_BLUE, _ORANGE, _GREY = "#0072B2", "#E69F00", "#999999"


def draw_methods(summary: pd.DataFrame, ax: Any = None) -> Any:
    """Draw a row a method: accuracy with its interval, and a line at the source alone.

    Parameters
    ----------
    summary : DataFrame
        As `AdaptationReport.summary`; where no accuracy is known, unsupervised scores are drawn.
    ax : matplotlib Axes, default=None
        None makes a figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    import_optional("matplotlib", extra="report", purpose="A plot")
    from matplotlib.figure import Figure

    ax = Figure(figsize=(6.5, 0.4 * len(summary) + 1.1)).add_subplot() if ax is None else ax
    known = summary["accuracy"].notna().any()
    values = summary["accuracy" if known else "unsupervised_score"]
    for i, name in enumerate(summary.index):
        color = _GREY if name in (SOURCE, ORACLE) else _BLUE
        if known:
            ax.plot([summary["low"].iloc[i], summary["high"].iloc[i]], [i, i], "-", color=color, lw=2)
        ax.plot([values.iloc[i]], [i], "o", color=color, ms=7)
    ax.axvline(values[SOURCE], color=_GREY, lw=1, ls=":", zorder=0)
    ax.set_yticks(range(len(summary)), list(summary.index))
    ax.invert_yaxis()
    ax.set_xlabel("accuracy on the target" if known else "unsupervised score (larger is better)")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="x", alpha=0.25)
    return ax


def draw_views(views: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Any:
    """Draw source and target in the plane of their two largest principal components, a panel a view.

    Parameters
    ----------
    views : mapping of str to (source, target)
        Rows by title.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import_optional("matplotlib", extra="report", purpose="A plot")
    from matplotlib.figure import Figure
    from sklearn.decomposition import PCA

    figure = Figure(figsize=(4.2 * len(views), 3.6), layout="constrained")
    panels = figure.subplots(1, len(views), squeeze=False)[0]
    for ax, (title, (source, target)) in zip(panels, views.items(), strict=True):
        rows = np.pad(np.vstack([source, target]), ((0, 0), (0, 1)))  # of one column there is no plane
        plane = PCA(2, random_state=0).fit_transform(rows)
        for rows, color, label in ((plane[: len(source)], _BLUE, "source"), (plane[len(source) :], _ORANGE, "target")):
            ax.scatter(*rows.T, s=14, color=color, alpha=0.6, lw=0, label=label)
        ax.set_title(title, fontsize=11)
        ax.set_xticks([])
        ax.set_yticks([])
    panels[0].legend(frameon=False)
    return figure
