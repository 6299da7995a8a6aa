"""In what a difference of two scores is told: points, or the metric's own unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Beginnings of scikit-learn's names of scores whose best is 1, of scorers and of functions alike.
_SHARES = (
    "accuracy",
    "average_precision",
    "balanced_accuracy",
    "d2_",
    "explained_variance",
    "f1",
    "jaccard",
    "precision",
    "r2",
    "recall",
    "roc_auc",
    "top_k_accuracy",
)


@dataclass(frozen=True)
class ScoreUnit:
    """How differences of a score are written.

    Attributes
    ----------
    name : str
        Of the score, for people.
    is_share : bool
        Whether the best is 1, so that 0.01 is a point.
    sense : str
        What more of it means, "" for a share.

    Examples
    --------
    >>> from featx.evaluation._unit import unit_of
    >>> accuracy, error = unit_of(None), unit_of("neg_mean_absolute_error")
    >>> accuracy.tell(0.125), error.tell(2.0354)
    ('+12.5 points', '+2.035 neg_mean_absolute_error (higher is better: it is minus the error)')
    """

    name: str
    is_share: bool
    sense: str = ""

    def figure(self, value: float, signed: bool = True) -> str:
        """A difference without its unit."""
        sign = "+" if signed else ""
        return f"{100 * value:{sign}.1f}" if self.is_share else f"{value:{sign}.4g}"

    def tell(self, value: float, half: float | None = None) -> str:
        """A difference, with half of its interval's width where that is known, and with its unit."""
        spread = "" if half is None else f" +- {self.figure(half, signed=False)}"
        return f"{self.figure(value)}{spread} {'points' if self.is_share else self.name + self.sense}"


def unit_of(scoring: Any, regression: bool = False) -> ScoreUnit:
    """Tell the unit of a score.

    Parameters
    ----------
    scoring : str, callable or None
        As for `cross_val_score`; None is accuracy, or R2 for numbers.
    regression : bool, default=False

    Examples
    --------
    >>> from featx.evaluation._unit import unit_of
    >>> unit_of("roc_auc").is_share, unit_of("neg_log_loss").is_share, unit_of(None, regression=True).name
    (True, False, 'R2')
    """
    if scoring is None:
        return ScoreUnit("R2" if regression else "accuracy", True)
    if isinstance(scoring, str):
        name, negated = scoring, scoring.startswith("neg_")
    else:  # of make_scorer, or a function of one's own
        function = getattr(scoring, "_score_func", scoring)
        negated = getattr(scoring, "_sign", 1) < 0
        name = ("neg_" if negated else "") + getattr(function, "__name__", "score")
        if function is scoring:
            return ScoreUnit(name, False, " (higher is better)")
    if name.startswith(_SHARES):
        return ScoreUnit(name, True)
    return ScoreUnit(name, False, f" (higher is better{': it is minus the error' if negated else ''})")
