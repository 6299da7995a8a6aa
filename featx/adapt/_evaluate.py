"""Methods and folds -> what each gets right on target rows that it has not seen; tuned without a label of these."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score

from featx._blas import one_blas_thread
from featx.adapt._domains import Domains
from featx.adapt._methods import ORACLE, Setting, build, candidates, domain_routing
from featx.compare import (
    FeatureSet,
    Fold,
    Problem,
    choose_candidate,
    fix_cv,
    keep_rows,
    learn,
    make_head,
    nested_folds,
)
from featx.evaluation import Folds, make_folds
from featx.exceptions import InputError, ParameterError, UnknownNameError
from featx.scores import ProxyADistance, proxy_a_distance

SCORERS = {
    "circular": "CircularValidation",
    "importance": "ImportanceWeightedScorer",
    "entropy": "PredictionEntropyScorer",
    "neighborhood": "SoftNeighborhoodDensity",
    "mixval": "MixValScorer",
}

_FEWEST_TESTED = 4  # rows of the target in a fold


@dataclass
class Outcome:
    """What one method did.

    Attributes
    ----------
    value : object
        The value of its parameter, None where it has none.
    score : float
        The unsupervised score of that choice, larger is better.
    sample_scores : list of ndarray
        For each fold which test rows were right, 1 or 0; empty where the target has no labels.
    distances : list of float
        For each fold the proxy A-distance of the held-out rows, as the method sees them.
    view : (source, target) or None
        These rows in the first fold.
    pipeline : Pipeline or None
        The method with its parameter, not fitted.
    seconds : float
    """

    value: Any = None
    score: float = np.nan
    sample_scores: list[np.ndarray] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)
    view: tuple[np.ndarray, np.ndarray] | None = None
    pipeline: Any = None
    seconds: float = 0.0

    @property
    def accuracy(self) -> float:
        return float(np.mean([scores.mean() for scores in self.sample_scores])) if self.sample_scores else np.nan


@dataclass(frozen=True)
class Split:
    """One fold of both domains: some rows adapt, the others test."""

    source: Fold
    target: Fold


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
        1 for the source, -1 for the target: skada's MixVal requires these numbers.
    """

    X: np.ndarray
    y: np.ndarray
    domain: np.ndarray


def stack(Zs: np.ndarray, ys: np.ndarray, Zt: np.ndarray) -> Rows:
    """Stack rows of both domains; the target has no labels from here on."""
    return Rows(
        np.vstack([Zs, Zt]),
        np.concatenate([ys, np.full(len(Zt), -1)]),
        np.repeat([1, -1], [len(Zs), len(Zt)]),
    )


def keep_domain_rows(cv: Any, source_rows: np.ndarray, target_rows: np.ndarray, n: int, m: int) -> Any:
    """Renumber splits of all rows, the source's before the target's, for those that can be used.

    Parameters
    ----------
    cv : int, splitter or list of (train, test)
        The first two stay as they are.
    source_rows, target_rows : ndarray of int
        Positions of the rows that can be used.
    n, m : int
        Numbers of rows of source and target.
    """
    if not isinstance(cv, list):
        return cv
    splits = fix_cv(cv, np.zeros(n + m), regression=True)
    return keep_rows(splits, np.concatenate([source_rows, n + target_rows]), n + m)


def split_domains(domains: Domains, cv: Any, seed: int) -> list[Split]:
    """Divide source and target into folds; those of the target do not depend on its labels.

    Parameters
    ----------
    domains : Domains
        The rows.
    cv : int, splitter or list of (train, test)
        Positions are those of all rows, the source's before the target's.
    seed : int
        Draws the folds.

    Raises
    ------
    InputError
        If a class of the source, or the whole target, is too small for so many folds.
    ParameterError
        If there are fewer than 3 folds, or not as many of each domain.
    """
    rng = np.random.default_rng(seed)
    y, blank = domains.classes[domains.ys], np.zeros(len(domains.Zt))
    if isinstance(cv, list):
        n = len(domains.Zs)
        source_cv: Any = [tuple(part[part < n] for part in map(np.asarray, parts)) for parts in cv]
        target_cv: Any = [tuple(part[part >= n] - n for part in map(np.asarray, parts)) for parts in cv]
    else:
        source_cv, target_cv = fix_cv(cv, y), fix_cv(cv, blank, regression=True)
    source = nested_folds(y, source_cv, None, False, rng)
    if isinstance(target_cv, int) and len(domains.Zt) < _FEWEST_TESTED * target_cv:
        raise InputError(
            f"Got {len(domains.Zt):,} usable rows in the target for cv={cv}. Expected {_FEWEST_TESTED * target_cv:,} "
            "or more: lower cv, or add images."
        )
    target = nested_folds(blank, target_cv, None, True, rng)
    if len(source) != len(target):
        raise ParameterError(
            f"Got cv={cv!r} with {len(source)} folds of the source and {len(target)} of the target. Expected as many."
        )
    splits = [Split(*pair) for pair in zip(source, target, strict=True)]
    _check_enough(domains, splits)
    return splits


def _check_enough(domains: Domains, splits: Sequence[Split]) -> None:
    for split in splits:
        if len(split.target.test) < _FEWEST_TESTED or len(split.target.train) < 2 or len(split.source.test) < 2:
            raise InputError(
                f"Got a fold that tests {len(split.source.test)} rows of the source and {len(split.target.test)} of "
                f"the target. Expected 2 and {_FEWEST_TESTED} or more, and 2 of each that adapt: lower cv."
            )
        codes, counts = np.unique(domains.ys[split.source.train], return_counts=True)
        if counts.min() < 2:
            rare = domains.classes[codes[counts.argmin()]]
            raise InputError(
                f"Got a fold with one training image of class {str(rare)!r} of the source. Expected two or more, for "
                "tuning: lower cv, or leave the class out."
            )


def tested_splits(domains: Domains, splits: list[Split]) -> list[Split]:
    """Return all splits; the first alone where the target has no labels, which alone need them all."""
    return splits if domains.yt is not None else splits[:1]


def measure_gap(domains: Domains, splits: list[Split], seed: int) -> ProxyADistance:
    """Measure how far the domains lie apart before any method, on the held-out rows on which methods are measured.

    Returns
    -------
    ProxyADistance
        Distance and error are means over folds; the p-value is that of all rows.
    """
    found = [
        proxy_a_distance(domains.Zs[split.source.test], domains.Zt[split.target.test], n_permutations=1)
        for split in tested_splits(domains, splits)
    ]
    p_value = proxy_a_distance(domains.Zs, domains.Zt, random_state=seed).p_value
    distance, error = (float(np.mean([getattr(one, name) for one in found])) for name in ("distance", "error"))
    return ProxyADistance(distance, p_value, error)


def compare_methods(
    domains: Domains,
    methods: tuple[str, ...],
    splits: list[Split],
    scorer: Any,
    seed: int,
    tick: Callable[[], Any],
) -> dict[str, Outcome]:
    """Tune each method once, without labels of the target, on the rows of the first fold that adapt; test it in each.

    Parameters
    ----------
    domains : Domains
        The rows.
    methods : tuple of str
        As returned by `check_methods`.
    splits : list of Split
        As returned by `split_domains`.
    scorer : str or scorer
        As returned by `check_scorer`.
    seed : int
        Seed of the methods.
    tick : callable
        Called after each fit that is tested.

    Returns
    -------
    dict of str to Outcome
        By method, and ``"oracle"`` where the target has labels, of two classes in each fold.
    """
    with domain_routing(), one_blas_thread():
        rows, folds = _tuning_rows(domains, splits[0])
        setting = _make_setting(domains, splits[0], folds, seed)
        outcomes: dict[str, Outcome] = {}
        for name in methods:
            started = time.perf_counter()
            value, score = tune(name, setting, rows, folds, scorer)
            outcomes[name] = Outcome(value, score, pipeline=build(name, value, setting))
            for split in tested_splits(domains, splits):
                _test(domains, split, outcomes[name])
                tick()
            outcomes[name].seconds = time.perf_counter() - started
    yt = domains.yt
    if yt is not None and all(len(np.unique(yt[split.target.train])) > 1 for split in splits):
        outcomes[ORACLE] = _learn_oracle(domains.Zt, yt, splits)
    return outcomes


def _tuning_rows(domains: Domains, split: Split) -> tuple[Rows, Folds]:
    """Return the rows of the first fold that adapt, and two halves of them, each with its share of both domains."""
    ys = domains.ys[split.source.train]
    rows = stack(domains.Zs[split.source.train], ys, domains.Zt[split.target.train])
    source = make_folds(ys, 2)
    target = make_folds(np.zeros(len(split.target.train)), 2, regression=True)
    folds = [
        (np.concatenate([train, len(ys) + other_train]), np.concatenate([test, len(ys) + other_test]))
        for (train, test), (other_train, other_test) in zip(source, target, strict=True)
    ]
    return rows, folds


def _make_setting(domains: Domains, split: Split, folds: Folds, seed: int) -> Setting:
    Z, y = domains.Zs[split.source.train], domains.ys[split.source.train]
    parts = [part for fold in folds for part in fold]
    smallest = min(min((part < len(y)).sum(), (part >= len(y)).sum()) for part in parts)
    head = choose_candidate(make_head("logistic"), Z, y, None, False, None)
    return Setting(head, int(min(smallest, Z.shape[1])), seed)


def _test(domains: Domains, split: Split, outcome: Outcome) -> None:
    pipeline = clone(outcome.pipeline)
    train = stack(domains.Zs[split.source.train], domains.ys[split.source.train], domains.Zt[split.target.train])
    test = stack(domains.Zs[split.source.test], domains.ys[split.source.test], domains.Zt[split.target.test])
    theirs = test.domain < 0
    with quiet():
        pipeline.fit(train.X, train.y, sample_domain=train.domain)
        seen = _see(pipeline, test)
        if domains.yt is not None:
            predicted = pipeline.predict(test.X[theirs], sample_domain=test.domain[theirs])
            outcome.sample_scores.append((predicted == domains.yt[split.target.test]).astype(float))
    view = seen[~theirs], seen[theirs]
    outcome.distances.append(proxy_a_distance(*view, n_permutations=1).distance)
    outcome.view = outcome.view or view


def _see(pipeline: Any, rows: Rows) -> np.ndarray:
    """Transform rows to what the last step, or the last layer, sees."""
    seen = rows.X
    for _, step in pipeline.steps[:-1]:  # a Pipeline refuses allow_source where no step asks for it
        seen = step.transform(seen, sample_domain=rows.domain, allow_source=True)
    last = pipeline[-1].base_estimator_
    return last.features(seen) if hasattr(last, "features") else seen


def _learn_oracle(Zt: np.ndarray, yt: np.ndarray, splits: list[Split]) -> Outcome:
    """Train the same head with the labels of the target."""
    features = FeatureSet(ORACLE, Zt.__getitem__, make_head("logistic"))
    found = learn(features, Problem(yt, None, False), [split.target for split in splits], len(Zt), lambda: None)
    return Outcome(sample_scores=found.sample_scores, seconds=features.seconds)


def check_scorer(scorer: Any) -> Any:
    """Check a scorer: a name, or one of skada's.

    Raises
    ------
    UnknownNameError
        If a scorer of that name does not exist.
    ParameterError
        If it is a class.
    """
    if isinstance(scorer, type):
        raise ParameterError(f"Got scorer={scorer.__name__}, a class. Expected an instance: {scorer.__name__}().")
    if not callable(scorer) and not (isinstance(scorer, str) and scorer in SCORERS):
        raise UnknownNameError("scorer", scorer, SCORERS, "Or pass one of skada.metrics.")
    return scorer


def tune(name: str, setting: Setting, rows: Rows, folds: Folds, scorer: Any) -> tuple[Any, float]:
    """Choose the value of a method's parameter whose mean unsupervised score is best; inside `domain_routing`.

    Parameters
    ----------
    name : str
        The method.
    setting : Setting
        What all pipelines share.
    rows : Rows
        Rows that adapt.
    folds : list of (train, test)
        Halves of these rows.
    scorer : str or scorer
        As returned by `check_scorer`.

    Returns
    -------
    value : object
        Of equally good ones the first; None where the method has no parameter.
    score : float
        Its unsupervised score, larger is better.
    """
    scorer = make_scorer(scorer, setting.seed)
    scores = {}
    for value in candidates(name, setting):
        with quiet():
            found = cross_val_score(
                build(name, value, setting),
                rows.X,
                rows.y,
                cv=folds,
                scoring=scorer,
                params={"sample_domain": rows.domain},
                error_score="raise",
            )
        scores[value] = float(np.mean(found))
    best = max(scores, key=lambda value: np.nan_to_num(scores[value], nan=-np.inf))
    return best, scores[best]


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what a poor parameter brings about: solvers that stop early, predictions of one class."""
    with warnings.catch_warnings():
        for category in (ConvergenceWarning, UserWarning, RuntimeWarning, FutureWarning):
            warnings.simplefilter("ignore", category)
        yield


def make_scorer(scorer: Any, seed: int) -> Any:
    """Make skada's scorer of that name; inside `domain_routing`."""
    if callable(scorer):
        return scorer
    from skada import metrics

    given = {"random_state": seed} if scorer == "mixval" else {}
    return getattr(metrics, SCORERS[scorer])(**given)
