"""Outcomes -> the tables and the sentence that people read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from featx.compare._arms import PRETRAINED
from featx.compare._learn import Outcome
from featx.compare._verdict import HELPS, HURTS, Decision, Difference, credit_interval, decide, error_reduction
from featx.evaluation import ScoreUnit

if TYPE_CHECKING:
    import pandas as pd

Outcomes = Mapping[tuple[str, int], Outcome]


def curve_table(outcomes: Outcomes) -> pd.DataFrame:
    """A row for each arm, size and draw: its score."""
    import pandas as pd

    rows = [
        (arm, size, draw, score)
        for (arm, size), outcome in outcomes.items()
        for draw, score in enumerate(outcome.scores)
    ]
    return pd.DataFrame(rows, columns=["arm", "size", "draw", "score"])


def interval_table(outcomes: Outcomes, capped: bool = True) -> pd.DataFrame:
    """A row for each arm and size: mean score with its interval, which ends at 1 where scores do."""
    import pandas as pd

    rows = []
    for (arm, size), outcome in outcomes.items():
        rows.append((arm, size, *_score(outcome, capped).values()))
    return pd.DataFrame(rows, columns=["arm", "size", "score", "low", "high"])


def efficiency_table(outcomes: Outcomes) -> pd.DataFrame:
    """Labels that each other arm needs for what the pretrained arm does with n; inf where it does not get there.

    Curves are made monotone and interpolated on log n.
    """
    import pandas as pd

    curves = interval_table(outcomes).pivot(index="size", columns="arm", values="score").cummax()
    sizes, goals = np.log(curves.index.to_numpy(float)), curves.pop(PRETRAINED)
    return pd.DataFrame(
        {arm: [_labels_for(goal, sizes, curves[arm].to_numpy()) for goal in goals] for arm in curves},
        index=goals.index,
    )


def decide_outcomes(outcomes: Outcomes) -> Decision:
    """The decision at the largest size."""
    last = _largest(outcomes)
    others = {arm: outcome.credits for arm, outcome in last.items() if arm != PRETRAINED}
    return decide(last[PRETRAINED].credits, others, groups=last[PRETRAINED].groups)


def summary_table(outcomes: Outcomes, decision: Decision, seconds: Mapping[str, float], errors: bool) -> pd.DataFrame:
    """A row for each arm at the largest size, as `TransferReport.summary` has it.

    ``errors`` says whether 1 - score is an error, of which a share can be saved.
    """
    import pandas as pd

    last, labels, rows = _largest(outcomes), efficiency_table(outcomes), {}
    for arm, outcome in last.items():
        row = _score(outcome, errors)
        if arm != PRETRAINED:
            row |= _interval("difference", decision.differences[arm])
            if errors:
                saved = error_reduction(last[PRETRAINED].credits, outcome.credits, groups=outcome.groups)
                row |= _interval("error_reduction", saved)
            row["label_efficiency"] = labels_text(labels[arm])
        rows[arm] = {**row, "seconds": seconds[arm]}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("arm")
    return table[[name for name in table if name != "seconds"] + ["seconds"]]


def labels_text(labels: pd.Series) -> str:
    """``820 for 126``: the arm needs 820 labels for what the pretrained arm does with 126, in the middle of the curve.

    ``≤ 40`` where its fewest are enough, a lesser n where only that was reached, ``> 4,000 for 40`` where none was.
    """
    middle = labels.iloc[: (len(labels) + 1) // 2]
    reached = middle[np.isfinite(middle)]
    if len(reached):
        at_most = "≤ " if np.isclose(reached.iloc[-1], labels.index[0]) else ""
        return f"{at_most}{reached.iloc[-1]:,.0f} for {reached.index[-1]:,}"
    return f"> {labels.index[-1]:,} for {labels.index[0]:,}"


def say(outcomes: Outcomes, decision: Decision, unit: ScoreUnit) -> str:
    """The verdict: its word, and the evidence with figures."""
    last, size = _largest(outcomes), max(size for _, size in outcomes)
    word, corrected = decision.word, decision.word == HURTS
    scores = {arm: outcome.scores.mean() for arm, outcome in last.items()}
    rival = _rival(decision, scores)
    gain = (decision.corrected if corrected else decision.differences)[rival]
    level = decision.corrected_level if corrected else decision.level
    text = (
        f"{word}: {unit.name} {scores[PRETRAINED]:.3f} against {scores[rival]:.3f} for {rival} with {size:,} labels "
        f"({unit.format(gain.mean)}, {100 * level:.3g} % interval {unit.figure(gain.low)} to {unit.figure(gain.high)})"
    )
    if word == HELPS:
        needed, n = labels_text(efficiency_table(outcomes)[rival]).split(" for ")
        return f"{text}. For what transfer does with {n} labels, {rival} needs {needed.replace('>', 'more than')}."
    if word == HURTS:
        return f"{text}. Another encoder, layer or preprocessing may fit this task better."
    return f"{text}. More labelled images would narrow the interval."


def _labels_for(goal: float, log_sizes: np.ndarray, scores: np.ndarray) -> float:
    above = np.flatnonzero(scores >= goal)
    if not len(above):
        return np.inf
    i = above[0]
    if i == 0:
        return float(np.exp(log_sizes[0]))
    share = (goal - scores[i - 1]) / (scores[i] - scores[i - 1])
    return float(np.exp(log_sizes[i - 1] + share * (log_sizes[i] - log_sizes[i - 1])))


def _largest(outcomes: Outcomes) -> dict[str, Outcome]:
    largest = max(size for _, size in outcomes)
    return {arm: outcome for (arm, size), outcome in outcomes.items() if size == largest}


def _rival(decision: Decision, scores: Mapping[str, float]) -> str:
    """The arm that decides: the best, or, where it is undecided, the one that is least surely beaten."""
    if decision.word == HELPS:
        return max(decision.differences, key=lambda arm: scores[arm])
    if decision.word == HURTS:
        return min(decision.corrected, key=lambda arm: decision.corrected[arm].high)
    return min(decision.differences, key=lambda arm: decision.differences[arm].low)


def _score(outcome: Outcome, capped: bool) -> dict[str, float]:
    interval = credit_interval(outcome.credits, groups=outcome.groups)
    return {"score": interval.mean, "low": interval.low, "high": min(interval.high, 1.0) if capped else interval.high}


def _interval(name: str, value: Difference) -> dict[str, float]:
    return {name: value.mean, f"{name}_low": value.low, f"{name}_high": value.high}
