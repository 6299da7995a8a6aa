"""Does transfer help? Decided from what each arm got right in each draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

HELPS, HURTS, UNDECIDED = "helps", "hurts", "undecided"

Credits = Sequence[np.ndarray]
Groups = Sequence[np.ndarray] | None


@dataclass(frozen=True)
class Difference:
    """Pretrained minus another arm, with its interval.

    Attributes
    ----------
    mean, low, high : float
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Decision:
    """What the differences say.

    Attributes
    ----------
    word : {"helps", "hurts", "undecided"}
    differences : dict of str to Difference
        By arm, each at the level.
    corrected : dict of str to Difference
        By arm, all of them together at the level.
    level : float
    """

    word: str
    differences: dict[str, Difference]
    corrected: dict[str, Difference]
    level: float

    @property
    def corrected_level(self) -> float:
        return 1 - (1 - self.level) / len(self.differences)


def decide(pretrained: Credits, others: Mapping[str, Credits], level: float = 0.95, groups: Groups = None) -> Decision:
    """Compare the pretrained arm with every other one.

    It helps if it beats *every* other arm: an intersection-union test, in which each comparison may use the whole
    level (Berger 1982, "Multiparameter hypothesis testing and acceptance sampling", Technometrics 24). It hurts if
    *some* arm beats it, with Bonferroni's correction for their number.

    Parameters
    ----------
    pretrained : sequence of arrays
        For each draw what each of its test rows is credited, so that their mean is the draw's score: 1 or 0 for right
        or wrong. One number a draw, the score itself, does too.
    others : mapping of str to such sequences
        The same draws and rows for each other arm.
    level : float, default=0.95
    groups : sequence of arrays, default=None
        For each draw the group of each of its test rows: rows of one group are no independent evidence.

    Returns
    -------
    Decision

    Examples
    --------
    >>> import numpy as np
    >>> from featx.compare._verdict import decide
    >>> right, half = np.ones(20), np.arange(20) % 2
    >>> decide([right] * 5, {"hog": [half] * 5}).word
    'helps'
    """
    gains = {name: _minus(pretrained, credits) for name, credits in others.items()}
    differences = {name: credit_interval(gain, level, groups) for name, gain in gains.items()}
    corrected_level = 1 - (1 - level) / len(others)
    corrected = {name: credit_interval(gain, corrected_level, groups) for name, gain in gains.items()}
    if all(difference.low > 0 for difference in differences.values()):
        word = HELPS
    elif any(difference.high < 0 for difference in corrected.values()):
        word = HURTS
    else:
        word = UNDECIDED
    return Decision(word, differences, corrected, level)


def credit_interval(credits: Credits, level: float = 0.95, groups: Groups = None) -> Difference:
    """Mean over draws, with an interval that counts both the test rows and the draws of training rows.

    Draws share training rows, so the variance of their mean is taken as (1/J + n_test/n_train) s^2 (Nadeau & Bengio
    2003, "Inference for the generalization error", Machine Learning 52, section 3); for folds n_test/n_train is
    1/(J - 1). s^2 is the larger of what the draws' scores and what the test rows, or whole groups of them, show: few
    draws may agree by chance, and rows do not know of training. Student's t has as many degrees of freedom as there are
    rows or groups within draws, without them J - 1. ``tests/benchmarks/verdict.py`` has the rates that this gives.
    """
    means = np.array([np.mean(credit) for credit in credits])
    n, groups = len(means), groups or [np.arange(len(credit)) for credit in credits]
    within = [_spread(*pair) for pair in zip(credits, groups, strict=True) if len(pair[0]) > 1]
    free = sum(degrees for _, degrees in within)
    rows = np.mean([variance for variance, degrees in within if degrees]) if free else 0.0
    half = t(free or n - 1).ppf((1 + level) / 2) * np.sqrt(max(means.var(ddof=1), rows) * (1 / n + 1 / (n - 1)))
    return Difference(float(means.mean()), float(means.mean() - half), float(means.mean() + half))


def _spread(credit: np.ndarray, groups: np.ndarray) -> tuple[float, int]:
    """Variance of the mean of one draw's rows, whole groups of them, and its degrees of freedom."""
    _, codes = np.unique(groups, return_inverse=True)
    sums = np.bincount(codes, credit - np.mean(credit))
    free = len(sums) - 1
    return float(np.sum(sums**2) / len(credit) ** 2 * len(sums) / max(free, 1)), free


def error_reduction(pretrained: Credits, other: Credits, level: float = 0.95, groups: Groups = None) -> Difference:
    """Share of the other arm's errors that transfer saves, 1 - err_pretrained / err_other.

    The interval is that of the ratio made linear (the delta method); NaN where the other arm makes no error.
    """
    errors, others = ([1 - np.asarray(credit) for credit in credits] for credits in (pretrained, other))
    bottom = np.mean([np.mean(error) for error in others])
    if bottom <= 0:
        return Difference(np.nan, np.nan, np.nan)
    ratio = np.mean([np.mean(error) for error in errors]) / bottom
    linear = [1 - ratio - (a - ratio * b) / bottom for a, b in zip(errors, others, strict=True)]
    return credit_interval(linear, level, groups)


def _minus(first: Credits, second: Credits) -> list[np.ndarray]:
    return [np.subtract(a, b) for a, b in zip(first, second, strict=True)]
