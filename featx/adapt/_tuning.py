"""One parameter, chosen without a label of the target."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score

from featx.adapt._methods import Task, build, candidates
from featx.exceptions import ParameterError, UnknownNameError

SCORERS = {
    "circular": "CircularValidation",
    "importance": "ImportanceWeightedScorer",
    "entropy": "PredictionEntropyScorer",
    "neighborhood": "SoftNeighborhoodDensity",
    "mixval": "MixValScorer",
}


@dataclass(frozen=True)
class Rows:
    """Rows of both domains as skada takes them.

    Attributes
    ----------
    X : ndarray of shape (n, dim)
        The source's, then the target's.
    y : ndarray of int
        Classes of the source, -1 for the target.
    domain : ndarray of int
        1 for the source, -1 for the target, which skada's MixVal calls them.
    """

    X: np.ndarray
    y: np.ndarray
    domain: np.ndarray


@dataclass(frozen=True)
class Chosen:
    """What tuning found.

    Attributes
    ----------
    value : object
        Of the method's parameter; None where it has none.
    score : float
        Unsupervised, larger is better.
    """

    value: Any
    score: float


def stack(Zs: np.ndarray, ys: np.ndarray, Zt: np.ndarray) -> Rows:
    """Rows of both domains; the target has no labels here, and nowhere further down."""
    return Rows(
        np.vstack([Zs, Zt]),
        np.concatenate([ys, np.full(len(Zt), -1)]),
        np.repeat([1, -1], [len(Zs), len(Zt)]),
    )


def check_scorer(scorer: Any) -> Any:
    """A name as it is, or a scorer of skada's.

    Raises
    ------
    UnknownNameError
        If there is no such scorer.
    ParameterError
        If it is a class.
    """
    if isinstance(scorer, type):
        raise ParameterError(
            f"Got scorer={scorer.__name__}, a class. Expected one of its objects: {scorer.__name__}()."
        )
    if not callable(scorer) and not (isinstance(scorer, str) and scorer in SCORERS):
        raise UnknownNameError("scorer", scorer, SCORERS, "Or pass one of skada.metrics.")
    return scorer


def tune(name: str, task: Task, rows: Rows, folds: list, scorer: Any) -> Chosen:
    """The value of a method's parameter whose mean unsupervised score is best; inside `domain_routing`.

    Parameters
    ----------
    name : str
    task : Task
    rows : Rows
    folds : list of (train, test)
    scorer : str or scorer

    Returns
    -------
    Chosen
        Of equal ones the first.
    """
    scorer = make_scorer(scorer, task.seed)
    scores = {}
    for value in candidates(name, task):
        with quiet():
            found = cross_val_score(
                build(name, value, task),
                rows.X,
                rows.y,
                cv=folds,
                scoring=scorer,
                params={"sample_domain": rows.domain},
                error_score="raise",
            )
        scores[value] = float(np.mean(found))
    best = max(scores, key=lambda value: np.nan_to_num(scores[value], nan=-np.inf))
    return Chosen(best, scores[best])


@contextmanager
def quiet() -> Iterator[None]:
    """What a poor parameter brings about is no news: solvers that stop early, predictions of one class."""
    with warnings.catch_warnings():
        for category in (ConvergenceWarning, UserWarning, RuntimeWarning, FutureWarning):
            warnings.simplefilter("ignore", category)
        yield


def make_scorer(scorer: Any, seed: int) -> Any:
    """The scorer of that name, of skada's; inside `domain_routing`."""
    if callable(scorer):
        return scorer
    from skada import metrics

    given = {"random_state": seed} if scorer == "mixval" else {}
    return getattr(metrics, SCORERS[scorer])(**given)
