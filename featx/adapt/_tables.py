"""Outcomes -> the decision, tables, sentences and plots of an adaptation report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from featx._optional import import_optional
from featx.adapt._evaluate import Outcome
from featx.adapt._methods import METHODS, ORACLE, SOURCE
from featx.compare import (
    HELPS,
    HURTS,
    UNDECIDED,
    UNKNOWN,
    Decision,
    Difference,
    HeldOut,
    Table,
    decide,
    paired_gain,
    sample_interval,
)
from featx.evaluation import unit_of

if TYPE_CHECKING:
    import pandas as pd

Outcomes = Mapping[str, Outcome]
"""By method."""

_ACCURACY = unit_of("accuracy")
_BENCHMARK = (
    "In published benchmarks too, many methods that are tuned without target labels gain nothing over the source alone "
    "(arXiv:2407.11676)."
)
_COLUMNS = ["method", "accuracy", "95 % interval", "gain", "interval", "chosen", "score", "proxy A", "time"]
_BLUE, _ORANGE, _GRAY = "#0072B2", "#E69F00", "#999999"


def decide_methods(outcomes: Outcomes, held_out: HeldOut) -> Decision | None:
    """Decide whether some method beats the source alone; None where the target has no labels."""
    source = outcomes[SOURCE].sample_scores
    if not source:
        return None
    gains = {name: paired_gain(outcomes[name].sample_scores, source) for name in _adapted(outcomes)}
    return decide(gains, held_out, helps_if="any")


def summary_table(outcomes: Outcomes, decision: Decision | None, held_out: HeldOut) -> pd.DataFrame:
    """Tabulate each method, as `AdaptationReport.summary` has it."""
    import pandas as pd

    rows = {}
    for name, outcome in outcomes.items():
        score = sample_interval(outcome.sample_scores, held_out) if outcome.sample_scores else UNKNOWN
        gain = UNKNOWN if decision is None else decision.corrected.get(name, UNKNOWN)
        rows[name] = {
            "accuracy": score.mean,
            "low": np.clip(score.low, 0, 1),
            "high": np.clip(score.high, 0, 1),
            "difference": gain.mean,
            "difference_low": gain.low,
            "difference_high": gain.high,
            "parameter": parameter_text(name, outcome),
            "unsupervised_score": outcome.score,
            "proxy_a": float(np.mean(outcome.distances)) if outcome.distances else np.nan,
            "seconds": outcome.seconds,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


def write_verdict(outcomes: Outcomes, decision: Decision | None) -> list[str]:
    """Write the decision, the best method and the evidence with figures, then what choosing blindly is worth."""
    if decision is None:
        return [
            f"{UNDECIDED}: without labels of the target no gain can be known.",
            f"{_preferred(outcomes)}; label some images of the target, chosen at random, and pass y_target.",
        ]
    leader = _most_accurate(outcomes, decision)
    gain, level = decision.corrected[leader], decision.corrected_level
    if decision.decision == HURTS:
        gain, level = decision.differences[leader], decision.level
    text = (
        f"{decision.decision}: accuracy {outcomes[leader].accuracy:.3f} with {leader}, the best method, against "
        f"{outcomes[SOURCE].accuracy:.3f} for the source alone ({_points(gain, level)})"
    )
    if ORACLE in outcomes:
        text += f"; {outcomes[ORACLE].accuracy:.3f} with labels of the target"
    return [f"{text}.", _blind_gain(outcomes, decision)]


def choose_blindly(outcomes: Outcomes) -> str:
    """Choose what has the best unsupervised score, the source too; of equal ones the simplest."""
    names = [SOURCE, *_adapted(outcomes)]
    return max(names, key=lambda name: np.nan_to_num(outcomes[name].score, nan=-np.inf))


def best_method(outcomes: Outcomes, decision: Decision | None) -> str:
    """Choose the most accurate method; the source where adaptation hurts; without labels, by the unsupervised score."""
    if decision is None:
        return choose_blindly(outcomes)
    return SOURCE if decision.decision == HURTS else _most_accurate(outcomes, decision)


def _most_accurate(outcomes: Outcomes, decision: Decision) -> str:
    """Choose the most accurate method; where adaptation helps, of those that surely do."""
    names = _adapted(outcomes)
    if decision.decision == HELPS:
        names = [name for name in names if decision.corrected[name].low > 0]
    return max(names, key=lambda name: outcomes[name].accuracy)


def _preferred(outcomes: Outcomes) -> str:
    promised = choose_blindly(outcomes)
    scores = f"{outcomes[promised].score:.3f}"
    if scores == "nan":  # the best one, so all of them
        return "No method has an unsupervised score that is a number"
    if promised == SOURCE:
        return f"The unsupervised score prefers the source alone ({scores})"
    return f"The unsupervised score prefers {promised} ({scores}, source {outcomes[SOURCE].score:.3f})"


def _blind_gain(outcomes: Outcomes, decision: Decision) -> str:
    """Write what the choice without labels is worth, by the labels that it did not see."""
    promised, text = choose_blindly(outcomes), "Without labels the unsupervised score would choose"
    if promised == SOURCE:
        text += " the source alone"
    else:
        gain = decision.corrected[promised]
        text += f" {promised}: {outcomes[promised].accuracy:.3f} ({_points(gain, decision.corrected_level)})"
        if gain.low > 0:
            return f"{text}."
    return f"{text}: tuned so, no gain is shown here. {_BENCHMARK}"


def _points(gain: Difference, level: float) -> str:
    low, high = _ACCURACY.figure(gain.low), _ACCURACY.figure(gain.high)
    return f"{_ACCURACY.format(gain.mean)}, {100 * level:.3g} % interval {low} to {high}"


def parameter_text(name: str, outcome: Outcome) -> str:
    """Write ``shrinkage=0.5``; empty where nothing is tuned."""
    return f"{METHODS[name].parameter}={outcome.value:g}" if outcome.value is not None else ""


def _adapted(outcomes: Outcomes) -> list[str]:
    return [name for name in outcomes if name not in (SOURCE, ORACLE)]


def page_table(summary: pd.DataFrame, best: str) -> Table:
    """Write the summary as text, without the columns that are empty, as most are without labels of the target."""
    rows = [_row(str(name), row) for name, row in summary.iterrows()]
    known = [i for i in range(len(_COLUMNS)) if any(row[i] for row in rows)]
    columns = [_COLUMNS[i] for i in known]
    return Table(columns, [[row[i] for i in known] for row in rows], list(summary.index).index(best))


def draw_methods(summary: pd.DataFrame, ax: Any = None) -> Any:
    """Draw a row a method: accuracy with its interval, and a line at the source alone.

    Parameters
    ----------
    summary : DataFrame
        As `AdaptationReport.summary`; where no accuracy is known, unsupervised scores are drawn.
    ax : matplotlib Axes, default=None
        Where to draw; None makes a new figure.

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
        color = _GRAY if name in (SOURCE, ORACLE) else _BLUE
        if known:
            ax.plot([summary["low"].iloc[i], summary["high"].iloc[i]], [i, i], "-", color=color, lw=2)
        ax.plot([values.iloc[i]], [i], "o", color=color, ms=7)
    ax.axvline(values[SOURCE], color=_GRAY, lw=1, ls=":", zorder=0)
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
    panels: Any = figure.subplots(1, len(views), squeeze=False)[0]
    for ax, (title, (source, target)) in zip(panels, views.items(), strict=True):
        rows = np.pad(np.vstack([source, target]), ((0, 0), (0, 1)))  # one column alone has no plane
        plane = PCA(2, random_state=0).fit_transform(rows)
        for rows, color, label in ((plane[: len(source)], _BLUE, "source"), (plane[len(source) :], _ORANGE, "target")):
            ax.scatter(*rows.T, s=14, color=color, alpha=0.6, lw=0, label=label)
        ax.set_title(title, fontsize=11)
        ax.set_xticks([])
        ax.set_yticks([])
    panels[0].legend(frameon=False)
    return figure


def _row(name: str, row: pd.Series) -> list[str]:
    points = [_text(100 * row[column], "+.1f") for column in ("difference", "difference_low", "difference_high")]
    return [
        name,
        _text(row["accuracy"], ".3f"),
        _span(_text(row["low"], ".3f"), _text(row["high"], ".3f")),
        points[0],
        _span(*points[1:]),
        row["parameter"],
        _text(row["unsupervised_score"], ".3f"),
        _text(row["proxy_a"], ".2f"),
        f"{row['seconds']:,.1f} s",
    ]


def _text(value: float, form: str) -> str:
    return "" if np.isnan(value) else format(value, form).replace("-", "\N{MINUS SIGN}")


def _span(low: str, high: str) -> str:
    return f"{low} to {high}" if low else ""
