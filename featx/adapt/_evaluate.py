"""Methods and draws -> what each gets right on target rows that it has not seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from featx.adapt._domains import Domains
from featx.adapt._methods import ORACLE, Task, build
from featx.adapt._routing import domain_routing
from featx.adapt._tuning import Rows, quiet, stack, tune
from featx.compare import Arm, Draw, Question, choose_candidate, learn, make_draws, make_head
from featx.evaluation import make_folds
from featx.exceptions import InputError
from featx.scores import ProxyADistance, proxy_a_distance

_FEWEST_TESTED = 4  # rows of the target in a draw


@dataclass
class Outcome:
    """What one method did.

    Attributes
    ----------
    value : object
        Of its parameter, None where it has none.
    score : float
        Of the unsupervised scorer.
    credits : list of ndarray
        For each draw which test rows were right; empty where the target has no labels.
    distances : list of float
        For each draw the proxy A-distance of the held-out rows, as the method sees them.
    view : (source, target) or None
        These rows in the first draw.
    pipeline : Pipeline or None
        The method with its parameter, not fitted.
    seconds : float
    """

    value: Any = None
    score: float = np.nan
    credits: list[np.ndarray] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)
    view: tuple[np.ndarray, np.ndarray] | None = None
    pipeline: Any = None
    seconds: float = 0.0

    @property
    def accuracy(self) -> float:
        return float(np.mean([credit.mean() for credit in self.credits])) if self.credits else np.nan


@dataclass(frozen=True)
class Split:
    """One draw of both domains: some rows adapt, the others test."""

    source: Draw
    target: Draw


def split_domains(domains: Domains, draws: int, seed: int) -> list[Split]:
    """Folds of source and target; those of the target know nothing of its labels.

    Raises
    ------
    InputError
        If a class of the source, or the whole target, is too small for so many draws.
    ParameterError
        If there are fewer than 3 draws.
    """
    rng = np.random.default_rng(seed)
    source = make_draws(domains.classes[domains.ys], draws, None, False, rng)
    if len(domains.Zt) < _FEWEST_TESTED * draws:
        raise InputError(
            f"Got {len(domains.Zt):,} usable rows in the target for draws={draws}. Expected "
            f"{_FEWEST_TESTED * draws:,} or more: lower draws, or add images."
        )
    target = make_draws(np.zeros(len(domains.Zt)), draws, None, True, rng)
    return [Split(*pair) for pair in zip(source, target, strict=True)]


def tested_splits(domains: Domains, splits: list[Split]) -> list[Split]:
    """All of them; without labels of the target, which alone need them all, the first."""
    return splits if domains.yt is not None else splits[:1]


def measure_gap(domains: Domains, splits: list[Split], seed: int) -> ProxyADistance:
    """How far the domains lie apart before any method, on the held-out rows on which methods are measured.

    Returns
    -------
    ProxyADistance
        Distance and error are means over draws; the p-value is that of all rows.
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
    """Tune each method once, without labels of the target, on the rows of the first draw that adapt; test it in each.

    Parameters
    ----------
    domains : Domains
    methods : tuple of str
    splits : list of Split
    scorer : str or scorer
    seed : int
    tick : callable
        Called after each fit that is tested.

    Returns
    -------
    dict of str to Outcome
        By method, and ``"oracle"`` where the target has labels, of two classes in each draw.
    """
    labelled = domains.yt is not None
    with domain_routing(), threadpool_limits(1, user_api="blas"):
        rows, folds = _tuning_rows(domains, splits[0])
        task = _make_task(domains, splits[0], folds, seed)
        outcomes = {}
        for name in methods:
            started = time.perf_counter()
            chosen = tune(name, task, rows, folds, scorer)
            outcomes[name] = Outcome(chosen.value, chosen.score, pipeline=build(name, chosen.value, task))
            for split in tested_splits(domains, splits):
                _test(domains, split, outcomes[name])
                tick()
            outcomes[name].seconds = time.perf_counter() - started
    if labelled and all(len(np.unique(domains.yt[split.target.train])) > 1 for split in splits):
        outcomes[ORACLE] = _ask_oracle(domains, splits)
    return outcomes


def _tuning_rows(domains: Domains, split: Split) -> tuple[Rows, list]:
    """Rows of the first draw that adapt, and two halves of them, each with its share of both domains."""
    ys = domains.ys[split.source.train]
    rows = stack(domains.Zs[split.source.train], ys, domains.Zt[split.target.train])
    source = make_folds(ys, 2)
    target = make_folds(np.zeros(len(split.target.train)), 2, regression=True)
    folds = [
        tuple(np.concatenate([a, len(ys) + b]) for a, b in zip(one, other, strict=True))
        for one, other in zip(source, target, strict=True)
    ]
    return rows, folds


def _make_task(domains: Domains, split: Split, folds: list, seed: int) -> Task:
    Z, y = domains.Zs[split.source.train], domains.ys[split.source.train]
    parts = [part for fold in folds for part in fold]
    smallest = min(min((part < len(y)).sum(), (part >= len(y)).sum()) for part in parts)
    return Task(_choose_head(Z, y), int(min(smallest, Z.shape[1])), seed)


def _choose_head(Z: np.ndarray, y: np.ndarray) -> Any:
    return choose_candidate(make_head("logistic"), Z, y, None, False, None)


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
            outcome.credits.append((predicted == domains.yt[split.target.test]).astype(float))
    view = seen[~theirs], seen[theirs]
    outcome.distances.append(proxy_a_distance(*view, n_permutations=1).distance)
    outcome.view = outcome.view or view


def _see(pipeline: Any, rows: Rows) -> np.ndarray:
    """Rows as the last step, or the last layer, sees them."""
    seen = rows.X
    for _, step in pipeline.steps[:-1]:  # a Pipeline refuses allow_source where no step asks for it
        seen = step.transform(seen, sample_domain=rows.domain, allow_source=True)
    last = pipeline[-1].base_estimator_
    return last.features(seen) if hasattr(last, "features") else seen


def _ask_oracle(domains: Domains, splits: list[Split]) -> Outcome:
    """What the same head does with the labels of the target."""
    draws = [split.target for split in splits]
    arm = Arm(ORACLE, domains.Zt.__getitem__, make_head("logistic"))
    found = learn(arm, Question(domains.yt, None, False), draws, len(domains.Zt), int)
    return Outcome(credits=found.credits, seconds=arm.seconds)
