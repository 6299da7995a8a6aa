"""rank_encoders: candidates on the user's task, best first, with their cost."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd

from featx._precompute import embed_layers
from featx.auditing import warn_of_copies
from featx.evaluation import fold_interval, make_folds
from featx.exceptions import ImageWarning
from featx.images import as_column
from featx.ranking._candidates import LOGITS, Candidate, cross, distinct, find_networks, name_candidates
from featx.ranking._cheap import PROBE, cheap_scores, check_scores, need_logits
from featx.ranking._compare import agreement, in_words, on_frontier
from featx.ranking._cost import Clock, Size, has_logits, size_of
from featx.ranking._halving import Budget, rounds, survivors
from featx.ranking._task import Task, take

logger = logging.getLogger("featx")


@dataclass
class _Entry:
    """A candidate and what is known of it by now."""

    candidate: Candidate
    name: str
    scores: dict[str, float] = field(default_factory=dict)
    folds: np.ndarray = field(default_factory=lambda: np.full(1, np.nan))
    dim: int = 0
    n_images: int = 0


def rank_encoders(
    X: Any,
    y: Any,
    encoders: Any = "installed",
    *,
    layers: Sequence[str] | None = None,
    poolings: Sequence[str] = ("avg",),
    scores: Sequence[str] = ("knn", "logme", "hscore", "probe"),
    scoring: Any = None,
    groups: Any = None,
    cv: Any = 5,
    estimator: Any = None,
    task: str = "auto",
    budget: Any = None,
) -> pd.DataFrame:
    """Try encoders, layers and poolings on a task: a table, best first, with what each costs.

    Each image is decoded and encoded once for all layers and poolings of an encoder, and never again: a second
    ranking reads the store.

    Parameters
    ----------
    X : container of images
        n of them, as for `ImageEncoder`; or a frame, where `estimator` picks the images' column itself.
    y : array of shape (n,)
        Classes, or numbers to predict.
    encoders : "installed", or sequence of str, Encoder or ImageEncoder, default="installed"
        ``"installed"``: all of `list_encoders` whose weights are on this machine. An ImageEncoder brings its
        parameters along.
    layers : sequence of str, default=None
        ``"feature"``, ``"early"``, ``"middle"``, ``"late"``, ``"last"``, or nodes of `list_layers`; None is what
        each encoder has, its own feature.
    poolings : sequence of str, default=("avg",)
        Of the layers.
    scores : sequence of str, default=("knn", "logme", "hscore", "probe")
        And "lda", "leep", "nce"; see `featx.transfer`. ``"probe"`` is the honest one, cross-validated; without it
        the first decides. Of numbers only "logme" and "probe" are computed.
    scoring : as for `cross_val_score`, default=None
        Of the probe. Differences are told in points (hundredths) where the best score is 1, otherwise in the score's
        own unit.
    groups : array of shape (n,), default=None
        Images of one group are in one fold, and "knn" and "lda", which test each image on all others, leave out its
        group; the other scores test nothing. Without them, a warning says if images of equal content are in several
        folds; `featx.audit` finds near copies too.
    cv : int, splitter or iterable, default=5
    estimator : estimator, default=None
        What the probe trains: on embeddings, or a pipeline with an `ImageEncoder` in it, which each candidate takes
        the place of. None is a scaler and logistic regression, for numbers ridge.
    task : {"auto", "classification", "regression"}, default="auto"
        What y holds. ``"auto"``: a classifier or a regressor as `estimator` decides. Without one, text, bools and
        categories are classes, numbers with fractions are to be predicted; whole ones too if most values occur in
        fewer rows than there are folds, and a warning says so.
    budget : str or number of seconds, default=None
        ``"10min"``: candidates meet on an eighth of the images, then a quarter, a half and all; those that cannot win
        (their distance to the best is beyond its interval) leave, and the worse half where time is short.

    Returns
    -------
    DataFrame
        A row for each candidate, best first:

        - ``name``: what tells it from all others; parameters of `ImageEncoder` in which they differ are part of it
        - ``encoder``, ``weights``, ``layer``, ``pooling``
        - the scores; ``probe``, and ``probe_low`` to ``probe_high``, its 95 % interval (Student's t over folds,
          corrected for their overlap: Nadeau & Bengio 2003)
        - ``top1``: ImageNet top-1 in percent, the score that needs no data
        - ``dim``; ``images_per_second`` of decoding and encoding, measured here on some of the images; ``seconds``
          for all of X, if none were known
        - ``memory_mb``: weights, and the two largest maps of an image; ``bundle_mb``: weights up to that layer
        - ``license``; ``download``: whether the weights had to be fetched
        - ``frontier``: no other candidate is as good and faster
        - ``images``: how many it was scored on, fewer than all where a budget ended its race

        ``table.attrs["sentence"]`` says what the best gains for its time, ``table.attrs["agreement"]`` how far each
        cheap score, and ``top1``, ranks the candidates as the probe does (weighted Kendall tau).

    Raises
    ------
    UnknownNameError
        If there is no such score, encoder, layer, pooling or task.
    InputError
        If labels are missing, one class is all there is, or a class has fewer images than there are folds.
    ImageErrors
        If images are unusable. With ``ImageEncoder(on_error="nan")`` they are left out, and a warning says so.

    Examples
    --------
    >>> import featx
    >>> from sklearn.datasets import load_digits
    >>> images, y = load_digits(return_X_y=True)
    >>> images = list((images[:60].reshape(-1, 8, 8) * 15.9).astype("uint8"))
    >>> table = featx.rank_encoders(images, y[:60], ["efficientnet_lite0"], layers=["feature", "early"], cv=3)
    >>> table[["layer", "probe", "images_per_second"]]  # doctest: +SKIP
         layer     probe  images_per_second
    0  feature  0.766667              101.2
    1    early  0.716667              390.4
    """
    limit = Budget(budget)
    asked = Task(X, y, estimator, scoring, task, cv, stacklevel=2)
    names = check_scores(scores, asked.regression)
    race = _Race(asked, names, groups, cv)
    candidates = [candidate for network in find_networks(encoders) for candidate in cross(network, layers, poolings)]
    race.run(distinct(candidates), limit)
    return _tabulate(race, PROBE if PROBE in names else names[0])


class _Race:
    """Candidates that are scored on the same rows and folds."""

    def __init__(self, task: Task, scores: Sequence[str], groups: Any, cv: Any):
        self.task = task
        self.scores = scores
        self._groups = None if groups is None else np.asarray(groups)
        self._cv = cv if isinstance(cv, int) or hasattr(cv, "split") else list(cv)
        self.entries: list[_Entry] = []
        self.test_share = 0.0
        self._warned = False
        make_folds(task.y, self._cv, self._groups, regression=task.regression)  # what is wrong is said before the work

    def run(self, candidates: Sequence[Candidate], budget: Budget) -> None:
        """Score them, in rounds where there is a budget."""
        names = name_candidates(candidates)
        self.entries = racing = [_Entry(*pair) for pair in zip(candidates, names, strict=True)]
        n_folds = self._cv if isinstance(self._cv, int) else 5
        parts = rounds(self.task.y, budget, n_folds=n_folds, regression=self.task.regression)
        for i, rows in enumerate(parts):
            started = time.monotonic()
            names = ", ".join(entry.name for entry in racing)
            logger.info("round=%d of=%d images=%d candidates: %s", i + 1, len(parts), len(rows), names)
            self._score(racing, rows)
            if i + 1 < len(parts):
                # The next round has about twice the images, of which half are new.
                halve = 2 * (time.monotonic() - started) > budget.left() / (len(parts) - i - 1)
                going = survivors([entry.folds for entry in racing], self.test_share, halve=halve)
                racing = [racing[j] for j in sorted(going)]
                if budget.left() <= 0:
                    return

    def _score(self, entries: Sequence[_Entry], rows: np.ndarray) -> None:
        good, folds = None, []
        for _, same in groupby(entries, key=attrgetter("candidate.network")):
            same = list(same)
            embedded, logits = self._embed([entry.candidate for entry in same], rows)
            if good is None:  # an image is unreadable for all
                good = self._readable(rows, next(iter(embedded.values())))
                folds = self._folds(rows[good])
                Z = next(iter(embedded.values()))[good]
                self._warned = self._warned or bool(warn_of_copies(Z, folds, stacklevel=4))
            for entry in same:
                Z = embedded[entry.candidate][good]
                self._score_one(entry, Z, None if logits is None else logits[good], rows[good], folds)

    def _embed(self, candidates: Sequence[Candidate], rows: np.ndarray) -> tuple[dict, np.ndarray | None]:
        """Embeddings of each candidate, and the source's own logits, in one pass of their network."""
        encoder = candidates[0].network.encoder
        layers = [layer for candidate in candidates for layer in candidate.layers]
        if wants := need_logits(self.scores) and has_logits(encoder):
            layers.append(LOGITS)
        poolings = list(dict.fromkeys(candidate.pooling or "avg" for candidate in candidates))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImageWarning)  # said once, below
            parts = embed_layers(take(self.task.images, rows), encoder, list(dict.fromkeys(layers)), poolings)
        embedded = {
            candidate: np.concatenate([_part(parts, layer, candidate.pooling) for layer in candidate.layers], axis=1)
            for candidate in candidates
        }
        return embedded, parts[LOGITS, None] if wants else None

    def _readable(self, rows: np.ndarray, Z: np.ndarray) -> np.ndarray:
        good = np.isfinite(Z).all(axis=1)
        if not good.all():
            warnings.warn(
                f"{(~good).sum():,} of {len(rows):,} images cannot be used and are left out of the ranking.",
                ImageWarning,
                stacklevel=5,
            )
        return good

    def _folds(self, rows: np.ndarray) -> list:
        if isinstance(self._cv, list):  # folds of the user's own are of all rows
            folds = [tuple(np.flatnonzero(np.isin(rows, part)) for part in fold) for fold in self._cv]
        else:
            groups = None if self._groups is None else self._groups[rows]
            folds = make_folds(self.task.y[rows], self._cv, groups, regression=self.task.regression)
        self.test_share = float(np.mean([len(test) / len(train) for train, test in folds]))
        return folds

    def _score_one(self, entry: _Entry, Z: np.ndarray, logits: Any, rows: np.ndarray, folds: list) -> None:
        entry.dim, entry.n_images = Z.shape[1], len(rows)
        groups = None if self._groups is None else self._groups[rows]
        entry.scores = cheap_scores(self.scores, Z, logits, self.task.y[rows], self.task.regression, groups)
        if PROBE in self.scores:
            entry.folds = self.task.fold_scores(entry.candidate, Z, rows, folds)
            entry.scores[PROBE] = float(entry.folds.mean())


def _part(parts: dict, layer: str, pooling: str | None) -> np.ndarray:
    return parts[layer, pooling] if (layer, pooling) in parts else parts[layer, None]


def _tabulate(race: _Race, reference: str) -> pd.DataFrame:
    """The table, its frontier, its agreement and its sentence."""
    clock = Clock(race.task.images)
    rates = {id(entry): clock.images_per_second(entry.candidate) for entry in race.entries}
    # Who raced further is ahead of who left.
    order = sorted(race.entries, key=lambda entry: (-entry.n_images, -_ranked(entry.scores[reference])))
    table = pd.DataFrame([_row(entry, race, rates[id(entry)]) for entry in order])
    finished = table["images"] == table["images"].max()
    score = table[reference].where(finished).to_numpy(float)
    table.insert(len(table.columns) - 1, "frontier", on_frontier(score, table["images_per_second"].to_numpy()))
    finalists = [entry for entry, done in zip(order, finished, strict=True) if done]
    labels = [entry.name for entry in finalists]
    cheap = [name for name in (*race.scores, "top1") if name != reference]
    table.attrs["agreement"] = agreement(table[finished], cheap, reference)
    if reference == PROBE:
        rates_of_finalists = table.loc[finished, "images_per_second"].to_numpy()
        folds = [entry.folds for entry in finalists]
        table.attrs["sentence"] = in_words(labels, folds, rates_of_finalists, race.test_share, race.task.unit)
    else:
        table.attrs["sentence"] = f"{labels[0]}: the best by {reference}, which is no measure of accuracy"
    return table


def _row(entry: _Entry, race: _Race, rate: float) -> dict[str, Any]:
    candidate, network = entry.candidate, entry.candidate.network
    low, high = fold_interval(entry.folds, race.test_share)
    probe = {f"{PROBE}_low": low, f"{PROBE}_high": high} if PROBE in race.scores else {}
    size: Size = size_of(candidate)
    return {
        "name": entry.name,
        "encoder": network.name,
        "weights": network.weights,
        "layer": candidate.layer,
        "pooling": candidate.pooling or "",
        **{name: entry.scores[name] for name in race.scores},
        **probe,
        "top1": network.top1,
        "dim": entry.dim,
        "images_per_second": rate,
        "seconds": len(as_column(race.task.images)) / rate if rate else float("nan"),
        "memory_mb": size.memory_mb,
        "bundle_mb": size.bundle_mb,
        "license": network.license,
        "download": network.download,
        "images": entry.n_images,
    }


def _ranked(score: float) -> float:
    return -np.inf if np.isnan(score) else score
