"""Outcomes -> the tables, the sentences and the plot of a transfer report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from featx._optional import import_optional
from featx.compare._decision import (
    HELPS,
    HURTS,
    Decision,
    Difference,
    HeldOut,
    decide,
    error_reduction,
    paired_gain,
    sample_interval,
)
from featx.compare._features import BOTH, PRETRAINED, TABLE
from featx.compare._learn import Outcome
from featx.evaluation import ScoreUnit

if TYPE_CHECKING:
    import pandas as pd

Outcomes = Mapping[tuple[str, int], Outcome]
"""By feature set and size."""

# Okabe and Ito's, which people who see few colors can distinguish.
_PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#0072B2", "#999999")
_ACCENT = "#1c1c1a"


def decide_transfer(outcomes: Outcomes, held_out: HeldOut) -> Decision:
    """Decide at the largest size: the pretrained features must beat all others of the images."""
    last = at_largest(outcomes)
    pretrained = last[PRETRAINED].sample_scores
    rivals = last.keys() - {PRETRAINED, TABLE, BOTH}
    gains = {name: paired_gain(pretrained, one.sample_scores) for name, one in last.items() if name in rivals}
    return decide(gains, held_out, helps_if="all")


def curve_table(outcomes: Outcomes) -> pd.DataFrame:
    """Tabulate the score of each feature set, size and fold."""
    import pandas as pd

    rows = [
        (name, size, fold, score)
        for (name, size), outcome in outcomes.items()
        for fold, score in enumerate(outcome.scores)
    ]
    return pd.DataFrame(rows, columns=["feature_set", "size", "fold", "score"])


def interval_table(outcomes: Outcomes, held_out: HeldOut, capped: bool = True) -> pd.DataFrame:
    """Tabulate the mean score of each feature set and size with its interval, which ends at 1 where scores do."""
    import pandas as pd

    rows = [(name, size, *_score(outcome, held_out, capped).values()) for (name, size), outcome in outcomes.items()]
    return pd.DataFrame(rows, columns=["feature_set", "size", "score", "low", "high"])


def efficiency_table(outcomes: Outcomes) -> pd.DataFrame:
    """Tabulate the labels that each feature set needs for what the pretrained one does with n; inf if it never does.

    Curves are made monotone and interpolated on log n.
    """
    import pandas as pd

    rows = [(name, size, outcome.scores.mean()) for (name, size), outcome in outcomes.items()]
    means = pd.DataFrame(rows, columns=["feature_set", "size", "score"])
    curves = means.pivot(index="size", columns="feature_set", values="score").cummax()
    sizes, goals = np.log(curves.index.to_numpy(float)), curves.pop(PRETRAINED)
    return pd.DataFrame(
        {name: [_labels_for(goal, sizes, curves[name].to_numpy()) for goal in goals] for name in curves},
        index=goals.index,
    )


def summary_table(
    outcomes: Outcomes, decision: Decision, held_out: HeldOut, seconds: Mapping[str, float], errors: bool
) -> pd.DataFrame:
    """Tabulate each feature set at the largest size, as `TransferReport.summary` has it.

    Parameters
    ----------
    outcomes : mapping of (str, int) to Outcome
        By feature set and size.
    decision : Decision
        As returned by `decide_transfer`.
    held_out : HeldOut
        What the folds hold out.
    seconds : mapping of str to float
        By feature set.
    errors : bool
        Whether 1 - score is an error, of which a share can be saved.
    """
    import pandas as pd

    last, labels, rows = at_largest(outcomes), efficiency_table(outcomes), {}
    for name, outcome in last.items():
        row: dict[str, Any] = _score(outcome, held_out, errors)
        if name != PRETRAINED:
            gain = paired_gain(last[PRETRAINED].sample_scores, outcome.sample_scores)
            row |= _interval("difference", sample_interval(gain, held_out))
            if errors:
                saved = error_reduction(last[PRETRAINED].sample_scores, outcome.sample_scores, held_out)
                row |= _interval("error_reduction", saved)
            row["label_efficiency"] = labels_text(labels[name])
        rows[name] = {**row, "seconds": seconds[name]}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("feature_set")
    return table[[name for name in table if name != "seconds"] + ["seconds"]]


def labels_text(labels: pd.Series) -> str:
    """Write ``820 for 126``: 820 labels are needed for what the pretrained features do with 126, in mid-curve.

    ``≤ 40`` where the fewest are enough, a lesser n where only that was reached, ``> 4,000 for 40`` where none was.
    """
    middle = labels.iloc[: (len(labels) + 1) // 2]
    reached = middle[np.isfinite(middle)]
    if len(reached):
        at_most = "≤ " if np.isclose(reached.iloc[-1], labels.index[0]) else ""
        return f"{at_most}{reached.iloc[-1]:,.0f} for {reached.index[-1]:,}"
    return f"> {labels.index[-1]:,} for {labels.index[0]:,}"


def write_verdict(outcomes: Outcomes, decision: Decision, unit: ScoreUnit) -> list[str]:
    """Write the decision and the evidence with figures, then what follows from it."""
    last, size = at_largest(outcomes), largest_size(outcomes)
    word, corrected = decision.decision, decision.decision == HURTS
    scores = {name: float(outcome.scores.mean()) for name, outcome in last.items()}
    rival = _rival(decision, scores)
    gain = (decision.corrected if corrected else decision.differences)[rival]
    level = decision.corrected_level if corrected else decision.level
    evidence = (
        f"{word}: {unit.name} {scores[PRETRAINED]:.3f} against {scores[rival]:.3f} for {rival} with {size:,} labels "
        f"({unit.format(gain.mean)}, {100 * level:.3g} % interval {unit.figure(gain.low)} to {unit.figure(gain.high)})."
    )
    if word == HELPS:
        needed, n = labels_text(efficiency_table(outcomes)[rival]).split(" for ")
        return [evidence, f"For what transfer does with {n} labels, {rival} needs {needed.replace('>', 'more than')}."]
    if word == HURTS:
        return [evidence, "Another encoder, layer or preprocessing may fit this task better."]
    return [evidence, "More labeled images would narrow the interval."]


def at_largest(outcomes: Outcomes) -> dict[str, Outcome]:
    """Return the outcomes at the largest size, by feature set."""
    largest = largest_size(outcomes)
    return {name: outcome for (name, size), outcome in outcomes.items() if size == largest}


def largest_size(outcomes: Outcomes) -> int:
    """Return the largest number of training images."""
    return max(size for _, size in outcomes)


def draw_curves(intervals: pd.DataFrame, scoring: str, ax: Any = None) -> Any:
    """Draw mean scores with their intervals over log n.

    Parameters
    ----------
    intervals : DataFrame
        Columns feature_set, size, score, low, high.
    scoring : str
        Label of the axis.
    ax : matplotlib Axes, default=None
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    import_optional("matplotlib", extra="report", purpose="A plot")
    from matplotlib.figure import Figure

    ax = Figure(figsize=(7.5, 4.2)).add_subplot() if ax is None else ax
    for i, (name, rows) in enumerate(intervals.groupby("feature_set", sort=False)):
        first = name == PRETRAINED
        color, width = _ACCENT if first else _PALETTE[i % len(_PALETTE)], 2.4 if first else 1.5
        ax.plot(rows["size"], rows["score"], "o-", color=color, label=name, lw=width, ms=4, zorder=2 + first)
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


def _labels_for(goal: float, log_sizes: np.ndarray, scores: np.ndarray) -> float:
    above = np.flatnonzero(scores >= goal)
    if not len(above):
        return np.inf
    i = above[0]
    if i == 0:
        return float(np.exp(log_sizes[0]))
    share = (goal - scores[i - 1]) / (scores[i] - scores[i - 1])
    return float(np.exp(log_sizes[i - 1] + share * (log_sizes[i] - log_sizes[i - 1])))


def _rival(decision: Decision, scores: Mapping[str, float]) -> str:
    """Return the features that decide: the best, or, where it is undecided, those that are least surely beaten."""
    if decision.decision == HELPS:
        return max(decision.differences, key=lambda name: scores[name])
    if decision.decision == HURTS:
        return min(decision.corrected, key=lambda name: decision.corrected[name].high)
    return min(decision.differences, key=lambda name: decision.differences[name].low)


def _score(outcome: Outcome, held_out: HeldOut, capped: bool) -> dict[str, float]:
    interval = sample_interval(outcome.sample_scores, held_out)
    return {"score": interval.mean, "low": interval.low, "high": min(interval.high, 1.0) if capped else interval.high}


def _interval(name: str, value: Difference) -> dict[str, float]:
    return {name: value.mean, f"{name}_low": value.low, f"{name}_high": value.high}
