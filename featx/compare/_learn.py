"""Learning curves: one head on every feature set, at every size, in every fold."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring
from sklearn.preprocessing import FunctionTransformer

from featx._pipeline import image_pipeline
from featx.compare._folds import Fold
from featx.evaluation import make_folds
from featx.exceptions import FeatxError

# From strong to weak regularization: a tie goes to the stronger.
_GRIDS = {
    "logistic": [{"C": 10.0**k, "tol": 1e-3, "max_iter": 200} for k in range(-4, 1)],
    "svm": [{"C": 10.0**k} for k in range(-1, 4)],
    "ridge": [{"alpha": 10.0**k} for k in range(5, -2, -1)],
}
_FOLDS = 3
_ONE_SPLIT_FROM = 1000


@dataclass(frozen=True)
class Head:
    """A head with each strength of its regularization.

    Attributes
    ----------
    prepare : transformer
        A step before all candidates.
    candidates : list of estimators
        From strong to weak regularization.
    """

    prepare: Any
    candidates: list[Any]


def make_head(head: Any) -> Head:
    """Give a named head its grid; one that needs none, or an estimator, stays as it is.

    Parameters
    ----------
    head : str or estimator
        As for `image_pipeline`.

    Returns
    -------
    Head

    Raises
    ------
    UnknownNameError
        If a head of that name does not exist.
    """
    _, (_, scaler), (_, estimator) = image_pipeline(head).steps
    if not isinstance(head, str) or head not in _GRIDS:  # "probe" chooses for itself, "prototype" has nothing to choose
        return Head(scaler, [estimator])
    return Head(scaler, [clone(estimator).set_params(**values) for values in _GRIDS[head]])


def plain_head(estimator: Any) -> Head:
    """Wrap an estimator that takes what it is given."""
    return Head(FunctionTransformer(), [estimator])


def choose_candidate(
    head: Head, Z: Any, y: np.ndarray, groups: np.ndarray | None, regression: bool, scoring: Any
) -> Any:
    """Choose the candidate that is best within these training rows.

    By three folds; by one split of 1,000 rows or more, which is enough to distinguish powers of ten.
    """
    if len(head.candidates) == 1:
        return head.candidates[0]
    folds = _inner_folds(y, groups, regression)
    if not folds:
        return head.candidates[len(head.candidates) // 2]
    scores = np.mean([_scores(head, Z, y, train, test, scoring) for train, test in folds], axis=0)
    return head.candidates[int(np.nan_to_num(scores, nan=-np.inf).argmax())]


def fit_quietly(estimator: Any, Z: Any, y: np.ndarray, **metadata: Any) -> Any:
    """Fit a clone without a warning that lbfgs stopped early, which it does at weak regularization."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return clone(estimator).fit(Z, y, **metadata)


@dataclass
class FeatureSet:
    """What a head gets to see of the images.

    Attributes
    ----------
    name : str
    take : callable
        Positions -> what the estimator gets of these rows.
    head : Head
        One of its candidates is chosen at each size.
    seconds : float
        Time spent on its features and its fits.
    """

    name: str
    take: Callable[[np.ndarray], Any]
    head: Head
    seconds: float = 0.0


@dataclass
class Outcome:
    """What a head predicted from one feature set at one size.

    Attributes
    ----------
    sample_scores : list of ndarray
        For each fold the score of each test row; their mean is the fold's score.
    predicted, confidence : list of ndarray
        For each fold; the confidence is the largest probability, NaN where the head has none.
    """

    sample_scores: list[np.ndarray] = field(default_factory=list)
    predicted: list[np.ndarray] = field(default_factory=list)
    confidence: list[np.ndarray] = field(default_factory=list)

    @property
    def scores(self) -> np.ndarray:
        return np.array([scores.mean() for scores in self.sample_scores])


@dataclass(frozen=True)
class Problem:
    """What every feature set must predict.

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

    def of_rows(self, rows: np.ndarray) -> Problem:
        """Return the same problem for some of the rows."""
        return replace(self, y=self.y[rows], groups=None if self.groups is None else self.groups[rows])


def learn(features: FeatureSet, problem: Problem, folds: Sequence[Fold], size: int, tick: Callable[[], Any]) -> Outcome:
    """Train a head on the first `size` rows of each fold, and test it.

    The regularization is chosen within the training rows of the first fold, and kept for the others, which test some
    of these rows: over 180 simulated tasks that changed no mean score by more than its noise, 0.4 points.

    Parameters
    ----------
    features : FeatureSet
        Its `seconds` grow by what this takes.
    problem : Problem
        What is predicted.
    folds : sequence of Fold
        Which rows train and which test.
    size : int
        Number of training rows.
    tick : callable
        Called after each fold.

    Returns
    -------
    Outcome
    """
    started, outcome, y = time.perf_counter(), Outcome(), problem.y
    chosen = None
    for fold in folds:
        train = fold.train[:size]
        Z = features.take(train)
        if chosen is None:
            groups = None if problem.groups is None else problem.groups[train]
            chosen = choose_candidate(features.head, Z, y[train], groups, problem.regression, problem.scoring)
        prepare = clone(features.head.prepare)
        fitted = fit_quietly(chosen, prepare.fit_transform(Z), y[train])
        examine(fitted, prepare.transform(features.take(fold.test)), y[fold.test], problem, outcome)
        tick()
    features.seconds += time.perf_counter() - started
    return outcome


def examine(fitted: Any, Z: Any, y: np.ndarray, problem: Problem, outcome: Outcome) -> None:
    """Add to an outcome what a fitted estimator predicts of one fold's test rows, and how well."""
    with warnings.catch_warnings():
        # Categories that are new are no news in folds; they are zeros.
        warnings.filterwarnings("ignore", "Found unknown categories", UserWarning)
        _examine(fitted, Z, y, problem, outcome)


def _examine(fitted: Any, Z: Any, y: np.ndarray, problem: Problem, outcome: Outcome) -> None:
    predicted = np.asarray(fitted.predict(Z))
    if problem.scoring is not None:
        scores = np.array([check_scoring(fitted, problem.scoring)(fitted, Z, y)], float)
    elif problem.regression:
        predicted = predicted.reshape(y.shape)
        scores = _explained(predicted, y)
    else:
        scores = (predicted == y).astype(float)
    outcome.sample_scores.append(scores)
    outcome.predicted.append(predicted)
    sure = fitted.predict_proba(Z).max(axis=1) if hasattr(fitted, "predict_proba") else np.full(len(y), np.nan)
    outcome.confidence.append(sure)


def _explained(predicted: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return each row's part in R2, whose mean is R2."""
    spread = np.maximum(((y - y.mean(axis=0)) ** 2).mean(axis=0), np.finfo(float).tiny)
    parts = 1 - (predicted - y) ** 2 / spread
    return parts if parts.ndim == 1 else parts.mean(axis=1)


def _inner_folds(y: np.ndarray, groups: np.ndarray | None, regression: bool) -> list:
    for as_numbers in (regression, True):  # rare classes cannot be stratified
        try:
            folds = make_folds(y, _FOLDS, groups, regression=as_numbers)
        except FeatxError:
            continue
        if regression:
            folds = [(train, test) for train, test in folds if len(test) > 1]  # R2 of one row is undefined
        else:
            folds = [(train, test) for train, test in folds if len(np.unique(y[train])) > 1 and len(test)]
        return folds[:1] if len(y) >= _ONE_SPLIT_FROM else folds
    return []


def _scores(head: Head, Z: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray, scoring: Any) -> list[float]:
    prepare = clone(head.prepare)
    inside, outside = prepare.fit_transform(Z[train]), prepare.transform(Z[test])
    fitted = (fit_quietly(candidate, inside, y[train]) for candidate in head.candidates)
    return [check_scoring(estimator, scoring)(estimator, outside, y[test]) for estimator in fitted]
