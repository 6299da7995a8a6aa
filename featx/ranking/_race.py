"""The race of candidates: each is scored on the same rows and folds, in rounds if time is limited."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from numbers import Real
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd

from featx._precompute import embed_layers
from featx._validate import is_integer
from featx._warnings import warn
from featx.auditing import warn_of_copies
from featx.encoders import LOGITS
from featx.evaluation import Folds, as_array, fold_interval, make_folds
from featx.exceptions import ImageWarning, ParameterError
from featx.ranking._candidates import Candidate, has_logits, name_candidates
from featx.ranking._problem import PROBE, RankingProblem, cheap_scores, need_logits, take

logger = logging.getLogger("featx")

_SHARES = (1 / 8, 1 / 4, 1 / 2, 1)
_FEWEST = 20  # images of each class, or in total, that a first round needs


@dataclass
class Entry:
    """A candidate and its results so far.

    Attributes
    ----------
    candidate : Candidate
        The candidate.
    name : str
        Its name, distinct from all others.
    scores : dict of str to float
        Scores by name.
    folds : ndarray of shape (n_folds,)
        The probe's score in each fold.
    dim : int
        Length of an embedding.
    n_images : int
        Number of images of the last round in which it took part.
    """

    candidate: Candidate
    name: str
    scores: dict[str, float] = field(default_factory=dict)
    folds: np.ndarray = field(default_factory=lambda: np.full(1, np.nan))
    dim: int = 0
    n_images: int = 0


class Race:
    """Score candidates on the same rows and folds.

    Parameters
    ----------
    problem : RankingProblem
        Images and labels.
    scores : sequence of str
        Names of scores.
    groups : array of shape (n,) or None
        Rows of one group stay on one side of a fold.
    cv : int, splitter or iterable of (train, test)
        As for `make_folds`.

    Attributes
    ----------
    entries : list of Entry
        The candidates with their results.
    test_share : float
        n_test / n_train of a fold.
    """

    def __init__(self, problem: RankingProblem, scores: Sequence[str], groups: Any, cv: Any):
        self.problem = problem
        self.scores = scores
        self._groups = None if groups is None else as_array(groups)
        self._cv: Any = list(cv) if isinstance(cv, Iterable) and not hasattr(cv, "split") else cv
        self.entries: list[Entry] = []
        self.test_share = 0.0
        self._warned = False
        make_folds(problem.y, self._cv, self._groups, regression=problem.regression)  # reports errors before the work

    def run(self, candidates: Sequence[Candidate], budget: Budget) -> None:
        """Score candidates, in rounds if there is a budget."""
        named = zip(candidates, name_candidates(candidates), strict=True)
        self.entries = racing = [Entry(*pair) for pair in named]
        n_folds = self._cv if is_integer(self._cv) else 5
        parts = rounds(self.problem.y, budget, n_folds=n_folds, regression=self.problem.regression)
        for i, rows in enumerate(parts):
            started = time.monotonic()
            names = ", ".join(entry.name for entry in racing)
            logger.info("round=%d of=%d images=%d candidates: %s", i + 1, len(parts), len(rows), names)
            self._score(racing, rows)
            if i + 1 < len(parts):
                # The next round has about twice the images, half of which are new.
                halve = 2 * (time.monotonic() - started) > budget.left() / (len(parts) - i - 1)
                going = survivors([entry.folds for entry in racing], self.test_share, halve=halve)
                racing = [racing[j] for j in sorted(going)]
                if budget.left() <= 0:
                    return

    def _score(self, entries: Sequence[Entry], rows: np.ndarray) -> None:
        good: np.ndarray | None = None
        folds: Folds = []
        for _, group in groupby(entries, key=attrgetter("candidate.network")):
            same = list(group)
            embedded, logits = self._embed([entry.candidate for entry in same], rows)
            if good is None:  # an image is unreadable for all encoders
                first = next(iter(embedded.values()))
                good = self._readable(rows, first)
                folds = self._folds(rows[good])
                self._warned = self._warned or bool(warn_of_copies(first[good], folds))
            for entry in same:
                embeddings = embedded[entry.candidate][good]
                self._score_one(entry, embeddings, None if logits is None else logits[good], rows[good], folds)

    def _embed(self, candidates: Sequence[Candidate], rows: np.ndarray) -> tuple[dict, np.ndarray | None]:
        """Compute the embeddings of candidates, and the source's logits, in one pass of their network."""
        encoder = candidates[0].network.encoder
        layers = [layer for candidate in candidates for layer in candidate.layers]
        if wants := need_logits(self.scores) and has_logits(encoder):
            layers.append(LOGITS)
        poolings = list(dict.fromkeys(candidate.pooling or "avg" for candidate in candidates))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImageWarning)  # _readable warns once
            parts = embed_layers(take(self.problem.images, rows), encoder, list(dict.fromkeys(layers)), poolings)
        embedded = {
            candidate: np.concatenate([_part(parts, layer, candidate.pooling) for layer in candidate.layers], axis=1)
            for candidate in candidates
        }
        return embedded, parts[LOGITS, None] if wants else None

    def _readable(self, rows: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
        good = np.isfinite(embeddings).all(axis=1)
        if not good.all():
            warn(
                f"{(~good).sum():,} of {len(rows):,} images cannot be used and are left out of the ranking.",
                ImageWarning,
            )
        return good

    def _folds(self, rows: np.ndarray) -> Folds:
        if isinstance(self._cv, list):  # the user's folds refer to all rows
            folds = [
                (np.flatnonzero(np.isin(rows, train)), np.flatnonzero(np.isin(rows, test))) for train, test in self._cv
            ]
        else:
            groups = None if self._groups is None else self._groups[rows]
            folds = make_folds(self.problem.y[rows], self._cv, groups, regression=self.problem.regression)
        self.test_share = float(np.mean([len(test) / len(train) for train, test in folds]))
        return folds

    def _score_one(
        self, entry: Entry, embeddings: np.ndarray, logits: np.ndarray | None, rows: np.ndarray, folds: Folds
    ) -> None:
        entry.dim, entry.n_images = embeddings.shape[1], len(rows)
        groups = None if self._groups is None else self._groups[rows]
        y = self.problem.y[rows]
        entry.scores = cheap_scores(self.scores, embeddings, logits, y, self.problem.regression, groups)
        if PROBE in self.scores:
            entry.folds = self.problem.fold_scores(entry.candidate, embeddings, rows, folds)
            entry.scores[PROBE] = float(entry.folds.mean())


def _part(parts: dict, layer: str, pooling: str | None) -> np.ndarray:
    return parts[layer, pooling] if (layer, pooling) in parts else parts[layer, None]


class Budget:
    """The time that is left.

    Parameters
    ----------
    budget : None, str, number or timedelta
        None is no limit. A str is as for `pandas.Timedelta`, a number is in seconds.

    Raises
    ------
    ParameterError
        If it is not a positive time.
    """

    def __init__(self, budget: Any):
        self._until = None
        if budget is None:
            return
        try:
            seconds = float(budget) if isinstance(budget, Real) else pd.Timedelta(budget).total_seconds()
        except (TypeError, ValueError) as error:
            raise ParameterError(f"Got budget={budget!r}. Expected a time, such as '10min', or seconds.") from error
        if not seconds > 0:
            raise ParameterError(f"Got budget={budget!r}. Expected a time above 0.")
        self._until = time.monotonic() + seconds

    @property
    def limited(self) -> bool:
        """Whether there is a limit."""
        return self._until is not None

    def left(self) -> float:
        """Return the seconds that are left; infinity without a limit."""
        return np.inf if self._until is None else self._until - time.monotonic()


def rounds(y: np.ndarray, budget: Budget, *, n_folds: int, regression: bool) -> list[np.ndarray]:
    """Choose the rows of each round: each is a part of the next, and the last has all rows.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Classes, which are stratified, or numbers.
    budget : Budget
        Without a limit there is one round.
    n_folds : int
        The minimum number of rows of each class in every round is one more.
    regression : bool
        Whether y holds numbers to predict.

    Returns
    -------
    list of ndarray of int
        Sorted positions.
    """
    n = len(y)
    if not budget.limited:
        return [np.arange(n)]
    order = np.random.default_rng(0).permutation(n)
    if not regression:  # every round has the same share of each class
        codes = np.unique(y, return_inverse=True)[1]
        place: np.ndarray = np.empty(n)
        for code in np.unique(codes):
            rows = order[codes[order] == code]
            place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
        order = np.argsort(place, kind="stable")
    fewest = 1 if regression else min(np.unique(y, return_counts=True)[1]) / n
    shares = [share for share in _SHARES if share * n * fewest >= max(_FEWEST, n_folds + 1) or share == 1]
    return [np.sort(order[: round(share * n)]) for share in shares]


def survivors(folds: Sequence[np.ndarray], test_share: float, *, halve: bool) -> list[int]:
    """Choose the candidates that may still win: those whose interval of the distance to the best includes zero.

    Parameters
    ----------
    folds : sequence of ndarray of shape (n_folds,)
        The candidates' scores on the same folds.
    test_share : float
        n_test / n_train of a fold.
    halve : bool
        Whether to keep at most the better half of all.

    Returns
    -------
    list of int
        Positions, best first.
    """
    order = np.argsort([-scores.mean() for scores in folds], kind="stable").tolist()
    best = folds[order[0]]
    able = [i for i in order if i == order[0] or not fold_interval(best - folds[i], test_share)[0] > 0]
    return able[: -(-len(order) // 2)] if halve else able
