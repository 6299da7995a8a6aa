"""Arms, draws and sizes -> what each arm predicts: paired learning curves."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.metrics import check_scoring
from threadpoolctl import threadpool_limits

from featx.compare._draws import Draw
from featx.compare._head import Head, choose_candidate, fit_quietly


@dataclass
class Arm:
    """One way to see the images.

    Attributes
    ----------
    name : str
    take : callable
        Positions -> what the estimator gets of these rows.
    head : Head
        Of whose candidates one is chosen at each size.
    seconds : float
        For its features and its fits.
    """

    name: str
    take: Callable[[np.ndarray], Any]
    head: Head
    seconds: float = 0.0


@dataclass
class Outcome:
    """What one arm did at one size.

    Attributes
    ----------
    credits : list of ndarray
        For each draw what each test row is credited; their mean is the draw's score.
    predicted, confidence : list of ndarray
        For each draw; the confidence is the largest probability, NaN where the head has none.
    groups : list of ndarray or None
        For each draw the group of each test row; None where all stand alone.
    """

    credits: list[np.ndarray] = field(default_factory=list)
    predicted: list[np.ndarray] = field(default_factory=list)
    confidence: list[np.ndarray] = field(default_factory=list)
    groups: list[np.ndarray] | None = None

    @property
    def scores(self) -> np.ndarray:
        return np.array([credit.mean() for credit in self.credits])


@dataclass(frozen=True)
class Question:
    """What is asked of every arm.

    Attributes
    ----------
    y : ndarray
    groups : ndarray or None
    regression : bool
    scoring : as for `cross_val_score`
    """

    y: np.ndarray
    groups: np.ndarray | None
    regression: bool
    scoring: Any = None


def learn(arm: Arm, question: Question, draws: Sequence[Draw], size: int, tick: Callable[[], Any]) -> Outcome:
    """Train an arm on the first `size` rows of each draw, and test it.

    The regularisation is chosen within the training rows of the first draw, and kept for the others, which test some of
    these rows: over 180 simulated tasks that moved no mean score beyond its noise, 0.4 points.

    Parameters
    ----------
    arm : Arm
    question : Question
    draws : sequence of Draw
    size : int
    tick : callable
        Called after each draw.

    Returns
    -------
    Outcome
    """
    started, outcome, y = time.perf_counter(), Outcome(), question.y
    if question.groups is not None:
        outcome.groups = [question.groups[draw.test] for draw in draws]
    chosen = None
    with threadpool_limits(arm.head.threads, user_api="blas"):
        for draw in draws:
            train = draw.train[:size]
            features = arm.take(train)
            if chosen is None:
                groups = None if question.groups is None else question.groups[train]
                chosen = choose_candidate(arm.head, features, y[train], groups, question.regression, question.scoring)
            prepare = clone(arm.head.prepare)
            fitted = fit_quietly(chosen, prepare.fit_transform(features), y[train])
            _test(fitted, prepare.transform(arm.take(draw.test)), y[draw.test], question, outcome)
            tick()
    arm.seconds += time.perf_counter() - started
    return outcome


def _test(fitted: Any, features: Any, y: np.ndarray, question: Question, outcome: Outcome) -> None:
    predicted = np.asarray(fitted.predict(features))
    if question.scoring is not None:
        credit = np.array([check_scoring(fitted, question.scoring)(fitted, features, y)], float)
    elif question.regression:
        predicted = predicted.reshape(y.shape)
        credit = _explained(predicted, y)
    else:
        credit = (predicted == y).astype(float)
    outcome.credits.append(credit)
    outcome.predicted.append(predicted)
    sure = fitted.predict_proba(features).max(axis=1) if hasattr(fitted, "predict_proba") else np.full(len(y), np.nan)
    outcome.confidence.append(sure)


def _explained(predicted: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Each row's part in R2, whose mean is R2."""
    spread = np.maximum(((y - y.mean(axis=0)) ** 2).mean(axis=0), np.finfo(float).tiny)
    parts = 1 - (predicted - y) ** 2 / spread
    return parts if parts.ndim == 1 else parts.mean(axis=1)
