"""Does adaptation help? Tables and a sentence from what each method got right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from featx.adapt._evaluate import Outcome
from featx.adapt._methods import METHODS, ORACLE, SOURCE
from featx.compare import HELPS, HURTS, UNDECIDED, Decision, Difference, credit_interval, decide
from featx.evaluation import unit_of

if TYPE_CHECKING:
    import pandas as pd

Outcomes = Mapping[str, Outcome]
_ACCURACY = unit_of("accuracy")
_BENCHMARK = (
    "In published benchmarks too, many methods that are tuned without target labels gain nothing over the source alone "
    "(arXiv:2407.11676)."
)


def decide_methods(outcomes: Outcomes) -> Decision | None:
    """Each method against the source alone; None where the target has no labels.

    `decide` asks it the other way round: does the source beat every method, does some method beat the source. So the
    differences are turned, and the words.
    """
    if not outcomes[SOURCE].credits:
        return None
    others = {name: outcomes[name].credits for name in _adapted(outcomes)}
    found = decide(outcomes[SOURCE].credits, others)
    word = {HELPS: HURTS, HURTS: HELPS}.get(found.word, UNDECIDED)
    turned = ({name: _turn(gain) for name, gain in gains.items()} for gains in (found.differences, found.corrected))
    return Decision(word, *turned, found.level)


def summary_table(outcomes: Outcomes, decision: Decision | None) -> pd.DataFrame:
    """A row for each method, as `AdaptationReport.summary` has it."""
    import pandas as pd

    nothing = Difference(np.nan, np.nan, np.nan)
    rows = {}
    for name, outcome in outcomes.items():
        score = credit_interval(outcome.credits) if outcome.credits else nothing
        gain = nothing if decision is None else decision.corrected.get(name, nothing)
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


def say(outcomes: Outcomes, decision: Decision | None) -> str:
    """The verdict: its word, the best method, and the evidence with figures."""
    if decision is None:
        return (
            f"{UNDECIDED}: without labels of the target no gain can be known. {_preferred(outcomes)}; label some "
            "images of the target, drawn at random, and pass yt."
        )
    leader = _most_accurate(outcomes, decision)
    gain, level = decision.corrected[leader], decision.corrected_level
    if decision.word == HURTS:
        gain, level = decision.differences[leader], decision.level
    text = (
        f"{decision.word}: accuracy {outcomes[leader].accuracy:.3f} with {leader}, the best method, against "
        f"{outcomes[SOURCE].accuracy:.3f} for the source alone ({_points(gain, level)})"
    )
    if ORACLE in outcomes:
        text += f"; {outcomes[ORACLE].accuracy:.3f} with labels of the target"
    return f"{text}. {_blind_gain(outcomes, decision)}"


def choose_blindly(outcomes: Outcomes) -> str:
    """What has the best unsupervised score, the source too; of equal ones the simplest."""
    names = [SOURCE, *_adapted(outcomes)]
    return max(names, key=lambda name: np.nan_to_num(outcomes[name].score, nan=-np.inf))


def best_method(outcomes: Outcomes, decision: Decision | None) -> str:
    """The most accurate method; the source where adaptation hurts; without labels, what has the best score."""
    if decision is None:
        return choose_blindly(outcomes)
    return SOURCE if decision.word == HURTS else _most_accurate(outcomes, decision)


def _most_accurate(outcomes: Outcomes, decision: Decision) -> str:
    """Where adaptation helps, of those methods that surely do."""
    names = _adapted(outcomes)
    if decision.word == HELPS:
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
    """What the choice without labels is worth, by the labels that it did not see."""
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
    """``shrinkage=0.5``; empty where nothing is tuned."""
    return f"{METHODS[name].parameter}={outcome.value:g}" if outcome.value is not None else ""


def _adapted(outcomes: Outcomes) -> list[str]:
    return [name for name in outcomes if name not in (SOURCE, ORACLE)]


def _turn(gain: Difference) -> Difference:
    return Difference(-gain.mean, -gain.high, -gain.low)
