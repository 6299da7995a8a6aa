"""The decision of a comparison: does what is compared help, by differences with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from featx.compare._folds import Fold
from featx.evaluation import fold_interval

HELPS, HURTS, UNDECIDED = "helps", "hurts", "undecided"

SampleScores = Sequence[np.ndarray]
"""For each fold the score of each of its test rows; their mean is the fold's score."""


@dataclass(frozen=True)
class Difference:
    """A mean with its interval.

    Attributes
    ----------
    mean, low, high : float
    """

    mean: float
    low: float
    high: float


UNKNOWN = Difference(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class HeldOut:
    """What the folds of a comparison hold out, which is what an interval must know of them.

    Attributes
    ----------
    units : list of ndarray
        For each fold what each of its test rows belongs to: its group, or itself. Rows of one unit are not
        independent evidence.
    share : float
        Number of test rows divided by number of training rows.
    """

    units: list[np.ndarray]
    share: float

    @classmethod
    def of(cls, folds: Sequence[Fold], groups: np.ndarray | None = None) -> HeldOut:
        """Describe folds.

        Parameters
        ----------
        folds : sequence of Fold
        groups : ndarray of shape (n,), default=None
            The group of each row; None takes each row as a group by itself.
        """
        units = [fold.test if groups is None else groups[fold.test] for fold in folds]
        return cls(units, sum(len(fold.test) for fold in folds) / sum(len(fold.train) for fold in folds))


@dataclass(frozen=True)
class Decision:
    """Whether something helps, and the evidence.

    Attributes
    ----------
    decision : {"helps", "hurts", "undecided"}
    differences : dict of str to Difference
        Each at the level.
    corrected : dict of str to Difference
        All of them together at the level (Bonferroni).
    level : float
    """

    decision: str
    differences: dict[str, Difference]
    corrected: dict[str, Difference]
    level: float

    @property
    def corrected_level(self) -> float:
        """The level of each corrected interval."""
        return 1 - (1 - self.level) / len(self.differences)


def decide(gains: Mapping[str, SampleScores], held_out: HeldOut, *, helps_if: str, level: float = 0.95) -> Decision:
    """Decide from the gains of several comparisons whether something helps or hurts.

    A claim about *all* comparisons is an intersection-union test, in which each of them may use the whole level
    (Berger 1982, "Multiparameter hypothesis testing and acceptance sampling", Technometrics 24). A claim that *any*
    comparison shows a gain, or a loss, is corrected for their number (Bonferroni).

    Parameters
    ----------
    gains : mapping of str to sequence of arrays
        For each comparison the `paired_gain` of what is asked about over what it is compared with.
    held_out : HeldOut
        What the folds hold out.
    helps_if : {"all", "any"}
        ``"all"``: it helps if all gains are positive, and hurts if any is negative, as one encoder that must beat
        every rival. ``"any"``: it helps if any gain is positive, and hurts if all are negative, as several methods of
        which one may be chosen.
    level : float, default=0.95
        Confidence level of the intervals.

    Returns
    -------
    Decision

    Examples
    --------
    >>> import numpy as np
    >>> from featx.compare._decision import HeldOut, decide
    >>> held_out = HeldOut([np.arange(20 * i, 20 * i + 20) for i in range(5)], share=0.25)
    >>> gains = {"hog": [np.arange(20) % 2] * 5, "pixels": [np.zeros(20)] * 5}
    >>> decide(gains, held_out, helps_if="all").decision, decide(gains, held_out, helps_if="any").decision
    ('undecided', 'helps')
    """
    corrected_level = 1 - (1 - level) / len(gains)
    each = {name: sample_interval(gain, held_out, level) for name, gain in gains.items()}
    corrected = {name: sample_interval(gain, held_out, corrected_level) for name, gain in gains.items()}
    if helps_if == "all":
        helps = all(gain.low > 0 for gain in each.values())
        hurts = any(gain.high < 0 for gain in corrected.values())
    else:
        helps = any(gain.low > 0 for gain in corrected.values())
        hurts = all(gain.high < 0 for gain in each.values())
    return Decision(HELPS if helps else HURTS if hurts else UNDECIDED, each, corrected, level)


def paired_gain(scores: SampleScores, baseline: SampleScores) -> list[np.ndarray]:
    """Subtract scores of the same rows, fold by fold.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.compare._decision import paired_gain
    >>> paired_gain([np.array([1.0, 0])], [np.array([0.0, 0])])
    [array([1., 0.])]
    """
    return [np.subtract(a, b) for a, b in zip(scores, baseline, strict=True)]


def sample_interval(scores: SampleScores, held_out: HeldOut, level: float = 0.95) -> Difference:
    """Average over folds, with an interval that counts both the test rows and the choice of training rows.

    It is `fold_interval` with the larger of two variances of a fold's score: what the folds show, and what the test
    rows, or whole groups of them, show. Few folds may agree by chance, and rows do not know of training. Student's t
    has as many degrees of freedom as there are rows or groups within folds, without them the number of folds minus 1.
    ``tests/benchmarks/verdict.py`` prints the error rates of this rule.

    Parameters
    ----------
    scores : sequence of arrays
        For each fold one score a test row, or a single one.
    held_out : HeldOut
        What the folds hold out.
    level : float, default=0.95
        Confidence level.

    Returns
    -------
    Difference
    """
    means = np.array([np.mean(score) for score in scores])
    within = [_spread(*pair) for pair in zip(scores, held_out.units, strict=True) if len(pair[0]) > 1]
    # Folds that test a row again know no more of it.
    different = len(np.unique(np.concatenate(held_out.units))) - 1
    degrees = min(sum(degrees for _, degrees in within), different)
    rows = np.mean([variance for variance, free in within if free]) if degrees else 0.0
    variance = max(means.var(ddof=1), rows)
    low, high = fold_interval(means, held_out.share, level, variance=variance, degrees_of_freedom=degrees or None)
    return Difference(float(means.mean()), low, high)


def error_reduction(scores: SampleScores, baseline: SampleScores, held_out: HeldOut, level: float = 0.95) -> Difference:
    """Estimate the share of the baseline's errors that is saved, 1 - error / baseline's error.

    The interval is that of the linearized ratio (the delta method); NaN where the baseline makes no error.
    """
    errors, others = ([1 - np.asarray(score) for score in each] for each in (scores, baseline))
    bottom = np.mean([np.mean(error) for error in others])
    if bottom <= 0:
        return UNKNOWN
    ratio = np.mean([np.mean(error) for error in errors]) / bottom
    linear = [1 - ratio - (a - ratio * b) / bottom for a, b in zip(errors, others, strict=True)]
    return sample_interval(linear, held_out, level)


def _spread(scores: np.ndarray, units: np.ndarray) -> tuple[float, int]:
    """Return the variance of the mean of one fold's rows, whole units of them, and its degrees of freedom."""
    _, codes = np.unique(units, return_inverse=True)
    sums = np.bincount(codes, scores - np.mean(scores))
    degrees = len(sums) - 1
    return float(np.sum(sums**2) / len(scores) ** 2 * len(sums) / max(degrees, 1)), degrees
