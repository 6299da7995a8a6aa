"""The weight of an image column beside the other columns: chosen by an estimator, on folds that keep look-alikes apart.

Hundreds of image features beside three others swamp them, and what is lost by that no estimator gets back: a ridge
shrinks all columns alike. A weight in front of a standardized block is a penalty of its own for it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.base import clone, is_classifier
from sklearn.cluster import KMeans
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GroupKFold

from featx._blas import one_blas_thread
from featx.evaluation import Folds

# Powers of two: a tree's thresholds scale with them exactly, so that it predicts the same at all but 0.
WEIGHTS = (0.0, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
_N_FOLDS = 5
_N_CLUSTERINGS = 2
_CLUSTER = 5  # rows a cluster, on average
_MOST_CLUSTERS = 1000
_LEAST = 1e-6  # a probability counts as this at least

Blocks = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Training and test rows -> the features of both, from what the training rows alone show."""
Features = Callable[[float], tuple[np.ndarray, np.ndarray]]


def choose_weights(
    table: np.ndarray | None,
    images: Sequence[Blocks],
    y: np.ndarray,
    estimator: Any,
    folds: Folds,
) -> list[float]:
    """Choose the weight of each image column, one after the other, without those that come later.

    The smallest weight is chosen that is within one standard error of the best, by its difference to the best from
    fold to fold (Breiman et al. 1984, "Classification and Regression Trees", section 3.4.3).

    Parameters
    ----------
    table : ndarray of shape (n, n_columns) or None
        The other columns' features.
    images : sequence of callable
        For each image column its features, of total variance 1.
    y : ndarray of shape (n,) or (n, outputs)
        Classes or numbers.
    estimator : estimator
        What the features are for; it is cloned.
    folds : list of (train, test)
        As `apart` or a splitter gives them.

    Returns
    -------
    list of float
        Each one of `WEIGHTS`. 0 is not among the candidates where nothing else is known of a row.
    """
    chosen: list[float] = []
    with warnings.catch_warnings(), one_blas_thread():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a weight that is too large is among the candidates
        for image in images:
            least = 1 if table is None and not any(chosen) else 0
            candidates = WEIGHTS[least:]
            scores: list[list[float]] = []
            for train, test in folds:
                if (y[train] == y[train][0]).all():
                    continue
                others = zip(chosen, images, strict=False)
                known = _side_by_side(table, [(weight, block) for weight, block in others if weight], train, test)
                features = _joined(known, image(train, test))
                if not scores and _ignores_scale(estimator, features, y[train]):
                    candidates = (*candidates[: 1 - least], 1.0)
                sides = y[train], y[test]
                scores.append([_score(estimator, features(weight), sides) for weight in candidates])
            chosen.append(candidates[_smallest_within_error(np.array(scores))] if len(scores) > 1 else float(least))
    return chosen


def apart(rows: np.ndarray, random_state: int) -> Folds:
    """Make folds by clustering rows: those that look alike are never on both sides.

    Rows may be related (copies, products of one family), which y then shows too: on random folds a photo would get a
    weight for telling what its neighbor's label is, which helps with no new family. Small clusters, five rows on
    average, and two clusterings: what they cannot separate, no rule that sees no groups can.

    Parameters
    ----------
    rows : ndarray of shape (n, dim)
        Embeddings, reduced.
    random_state : int
        Seed of the clusterings.

    Returns
    -------
    list of (train, test)
        5 folds of each of 2 clusterings; fewer of less than 5 distinct rows, and none of one.
    """
    n_clusters = min(max(_N_FOLDS, len(rows) // _CLUSTER), _MOST_CLUSTERS, len(np.unique(rows, axis=0)))
    if n_clusters < 2:
        return []
    folds: Folds = []
    for clustering in range(_N_CLUSTERINGS):
        model = KMeans(n_clusters, n_init=1, max_iter=50, random_state=random_state + clustering)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # on rows that are equal but for rounding
            clusters = model.fit_predict(rows)
        folds += by_groups(clusters)
    return folds


def by_groups(groups: np.ndarray) -> Folds:
    """Make up to 5 folds that keep groups together; none of a single group."""
    n = min(_N_FOLDS, len(np.unique(groups)))
    return list(GroupKFold(n).split(groups, groups=groups)) if n > 1 else []


def _side_by_side(
    table: np.ndarray | None, weighted: Sequence[tuple[float, Blocks]], train: np.ndarray, test: np.ndarray
) -> list[np.ndarray]:
    """Return the features of training and of test rows that are known: the table's, and images with their weights."""
    sides = [[np.empty((len(rows), 0)) if table is None else table[rows]] for rows in (train, test)]
    for weight, block in weighted:
        for side, rows in zip(sides, block(train, test), strict=True):
            side.append(weight * rows)
    return [np.hstack(side) for side in sides]


def _joined(known: list[np.ndarray], block: tuple[np.ndarray, np.ndarray]) -> Features:
    """Make a function: weight of a block -> the features of the training rows, and of the test rows."""

    def features(weight: float) -> tuple[np.ndarray, np.ndarray]:
        train, test = (np.hstack([left, weight * right]) for left, right in zip(known, block, strict=True))
        return train, test

    return features


def _ignores_scale(estimator: Any, features: Features, y: np.ndarray) -> bool:
    """Return whether an estimator predicts the same at a small and a large weight, as trees do."""
    answers = []
    for weight in (WEIGHTS[1], WEIGHTS[-1]):
        train, test = features(weight)
        model = clone(estimator).fit(train, y)
        answers.append(getattr(model, "predict_proba", model.predict)(test))
    return np.array_equal(*answers)


def _score(estimator: Any, features: tuple[np.ndarray, np.ndarray], targets: tuple[np.ndarray, np.ndarray]) -> float:
    """Return minus the loss on test rows: log loss, or squared errors of numbers as the regressor sees them."""
    (train, test), (y, truth) = features, targets
    model = clone(estimator).fit(train, y)
    if is_classifier(model):
        column = np.searchsorted(model.classes_, truth).clip(max=len(model.classes_) - 1)
        own = _probabilities(model, test)[np.arange(len(truth)), column]
        return float(np.log(np.where(model.classes_[column] == truth, own, 0).clip(_LEAST)).mean())
    if isinstance(model, TransformedTargetRegressor):  # in logarithms, say: errors of dollars are those of a few
        change = model.transformer_.transform
        predicted = model.regressor_.predict(test).reshape(len(test), -1)
        truth = change(truth.reshape(len(truth), -1))
        y = change(y.reshape(len(y), -1))
    else:
        predicted, truth, y = (part.reshape(len(part), -1) for part in (np.asarray(model.predict(test)), truth, y))
    spread = y.std(axis=0)
    return -float((((predicted - truth) / np.where(spread > 0, spread, 1)) ** 2).mean())


def _probabilities(model: Any, rows: np.ndarray) -> np.ndarray:
    """Return probabilities; of decision values the softmax, for accuracy by itself is too coarse to choose by."""
    if hasattr(model, "predict_proba"):
        return model.predict_proba(rows)
    if not hasattr(model, "decision_function"):
        return (model.predict(rows)[:, None] == model.classes_).astype(float)
    scores = model.decision_function(rows)
    return softmax(scores if scores.ndim > 1 else np.column_stack([np.zeros_like(scores), scores]), axis=1)


def _smallest_within_error(scores: np.ndarray) -> int:
    """Return the first candidate that is within a standard error of the best; scores are (n_folds, n_candidates)."""
    means = scores.mean(axis=0)
    best = int(means.argmax())
    short = scores[:, [best]] - scores
    # A second clustering tests the same rows again.
    error = short.std(axis=0, ddof=1) / np.sqrt(min(len(scores), _N_FOLDS))
    return int(np.flatnonzero(short.mean(axis=0) <= error)[0])
