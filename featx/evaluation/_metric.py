"""Metrics: the unit in which a difference of two scores is reported, and accuracy with ties."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

# How scikit-learn's names of scores begin whose best value is 1; scorers and functions share them.
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
_TIE = 1e-9


@dataclass(frozen=True)
class ScoreUnit:
    """How differences of a score are written.

    Attributes
    ----------
    name : str
        Name of the score, for people.
    is_share : bool
        Whether the best value is 1, so that a hundredth is a point.
    sense : str
        What a larger value means; empty for a share.

    Examples
    --------
    >>> from featx.evaluation import unit_of
    >>> accuracy, error = unit_of(None), unit_of("neg_mean_absolute_error")
    >>> accuracy.format(0.125), error.format(2.0354)
    ('+12.5 points', '+2.035 neg_mean_absolute_error (higher is better: it is minus the error)')
    """

    name: str
    is_share: bool
    sense: str = ""

    def figure(self, value: float, signed: bool = True) -> str:
        """Format a difference without its unit."""
        sign = "+" if signed else ""
        return f"{100 * value:{sign}.1f}" if self.is_share else f"{value:{sign}.4g}"

    def format(self, value: float, half: float | None = None) -> str:
        """Format a difference with its unit, and with half the width of its interval if that is known."""
        spread = "" if half is None else f" +- {self.figure(half, signed=False)}"
        return f"{self.figure(value)}{spread} {'points' if self.is_share else self.name + self.sense}"


def unit_of(scoring: Any, regression: bool = False) -> ScoreUnit:
    """Find the unit of a score.

    Parameters
    ----------
    scoring : str, callable or None
        As for `sklearn.model_selection.cross_val_score`. None is accuracy, or R2 for regression.
    regression : bool, default=False
        Whether numbers are predicted, not classes.

    Returns
    -------
    ScoreUnit

    Examples
    --------
    >>> from featx.evaluation import unit_of
    >>> unit_of("roc_auc").is_share, unit_of("neg_log_loss").is_share, unit_of(None, regression=True).name
    (True, False, 'R2')
    """
    if scoring is None:
        return ScoreUnit("R2" if regression else "accuracy", True)
    if isinstance(scoring, str):
        name, negated = scoring, scoring.startswith("neg_")
    else:  # made by make_scorer, or a user's function
        function = getattr(scoring, "_score_func", scoring)
        negated = getattr(scoring, "_sign", 1) < 0
        name = ("neg_" if negated else "") + getattr(function, "__name__", "score")
        if function is scoring:
            return ScoreUnit(name, False, " (higher is better)")
    if name.startswith(_SHARES):
        return ScoreUnit(name, True)
    return ScoreUnit(name, False, f" (higher is better{': it is minus the error' if negated else ''})")


def tied_accuracy(evidence: np.ndarray, codes: np.ndarray) -> float:
    """Compute the accuracy of predictions in which classes may be tied.

    A row whose own class is one of m tied classes counts 1/m, so the result depends neither on the order of the rows
    nor on the names of the classes.

    Parameters
    ----------
    evidence : ndarray of shape (n, n_classes)
        The class with the largest value is predicted; -inf excludes a class.
    codes : ndarray of shape (n,)
        The true classes, as columns of `evidence`.

    Returns
    -------
    float
        From 0 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.evaluation import tied_accuracy
    >>> tied_accuracy(np.array([[2.0, 1.0], [1.0, 1.0]]), np.array([0, 1]))
    0.75
    """
    most = evidence.max(axis=1, keepdims=True)
    best = evidence >= most - _TIE * np.abs(most)
    return float((best[np.arange(len(codes)), codes] / best.sum(axis=1)).mean())
