"""The problem on which candidates are compared: images, labels, an estimator, and the scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from featx._pipeline import image_pipeline
from featx._validate import check_choice
from featx.evaluation import Folds, check_y, is_regression, unit_of
from featx.exceptions import ParameterError
from featx.images import as_column
from featx.ranking._candidates import Candidate
from featx.scores import hscore, knn_score, lda_score, leep_score, logme_score, nce_score
from featx.table import encoder_parameter, image_column

PROBE = "probe"
_OF_EMBEDDINGS: dict[str, Callable[..., float]] = {
    "knn": knn_score,
    "logme": logme_score,
    "hscore": hscore,
    "lda": lda_score,
}
_OF_PROBABILITIES: dict[str, Callable[..., float]] = {"leep": leep_score, "nce": nce_score}
SCORES = (*_OF_EMBEDDINGS, *_OF_PROBABILITIES, PROBE)
_FOR_REGRESSION = ("logme", PROBE)


class RankingProblem:
    """The user's images and labels, and the estimator with which candidates are tried.

    Parameters
    ----------
    X : container of images, or frame with a column of them
        A frame is for an estimator that picks the column by name.
    y : array of shape (n,)
        Classes, or numbers to predict.
    estimator : estimator or None
        An estimator of embeddings, or of `X` with an `ImageEncoder` inside. None is a scaler and logistic regression,
        or ridge for numbers.
    scoring : str, callable or None
        As for `cross_val_score`.
    task : {"auto", "classification", "regression"}, default="auto"
        What y holds.
    n_folds : int, default=5
        As for `is_regression`; it may be a splitter.

    Attributes
    ----------
    images : container of images
        What reaches the encoder.
    y : ndarray
        The checked labels.
    regression : bool
        Whether y holds numbers to predict.
    unit : ScoreUnit
        Unit of the probe's score.
    """

    def __init__(self, X: Any, y: Any, estimator: Any, scoring: Any, task: str = "auto", n_folds: Any = 5):
        if estimator is not None and (not hasattr(estimator, "fit") or isinstance(estimator, type)):
            raise ParameterError(f"Got estimator={estimator!r}. Expected a scikit-learn estimator (an instance).")
        self.regression = is_regression(y, task, head=estimator, n_folds=n_folds)
        self._estimator = estimator
        if estimator is None:
            self._estimator = image_pipeline("ridge" if self.regression else "logistic")[1:]
        self._scoring = scoring
        self.unit = unit_of(scoring, self.regression)
        self._slot = encoder_parameter(self._estimator)  # where the estimator holds an ImageEncoder
        self._X = X
        self.images = image_column(self._estimator, X) if self._slot is not None else X
        self.y = check_y(y, len(as_column(self.images)), self.regression)

    def fold_scores(self, candidate: Candidate, embeddings: np.ndarray, rows: np.ndarray, folds: Folds) -> np.ndarray:
        """Cross-validate a clone of the estimator.

        Parameters
        ----------
        candidate : Candidate
            The encoder that an estimator of images gets.
        embeddings : ndarray of shape (n_rows, dim)
            The embeddings that an estimator of embeddings gets.
        rows : ndarray of int
            The rows of the problem to which the embeddings belong.
        folds : list of (train, test)
            Positions in `rows`.

        Returns
        -------
        ndarray of shape (n_folds,)
        """
        estimator, X = clone(self._estimator), embeddings
        if self._slot is not None:  # the encoder inside finds these embeddings in the store
            estimator.set_params(**{self._slot: candidate.encoder().set_params(verbose=0)})
            X = take(self._X, rows)
        return cross_val_score(estimator, X, self.y[rows], cv=folds, scoring=self._scoring, error_score="raise")


def check_scores(scores: str | Sequence[str], regression: bool) -> tuple[str, ...]:
    """Check the names of scores, and keep those that apply.

    Raises
    ------
    UnknownNameError
        If there is no such score.
    ParameterError
        If none applies.
    """
    names = (scores,) if isinstance(scores, str) else tuple(scores)
    for name in names:
        check_choice("score", name, SCORES)
    left = tuple(dict.fromkeys(name for name in names if not regression or name in _FOR_REGRESSION))
    if not left:
        raise ParameterError(
            f"Got scores={scores!r}. Expected one or more of {SCORES}; for numbers to predict: {_FOR_REGRESSION}."
        )
    return left


def need_logits(scores: Sequence[str]) -> bool:
    """Check whether a score needs the probabilities of the source's classes."""
    return any(name in _OF_PROBABILITIES for name in scores)


def cheap_scores(
    scores: Sequence[str],
    embeddings: np.ndarray,
    logits: np.ndarray | None,
    y: np.ndarray,
    regression: bool = False,
    groups: np.ndarray | None = None,
) -> dict[str, float]:
    """Compute all scores but the probe.

    Parameters
    ----------
    scores : sequence of str
        Names of scores.
    embeddings : ndarray of shape (n, dim)
        Embeddings of the images.
    logits : ndarray of shape (n, n_source_classes) or None
        Logits of the source's classes. If None, scores that need them are NaN.
    y : ndarray of shape (n,)
        Classes, or numbers to predict.
    regression : bool, default=False
        Whether y holds numbers to predict: whole numbers look like classes.
    groups : ndarray of shape (n,), default=None
        Scores that test a row on others leave out the rows of its group.

    Returns
    -------
    dict of str to float
    """
    if regression:
        return {name: logme_score(embeddings, y, task="regression") for name in scores if name == "logme"}
    options: dict[str, dict[str, Any]] = {
        "knn": {"groups": groups},
        "lda": {"groups": groups},
        "logme": {"task": "classification"},
    }
    found = {
        name: float(_OF_EMBEDDINGS[name](embeddings, y, **options.get(name, {})))
        for name in scores
        if name in _OF_EMBEDDINGS
    }
    wanted = [name for name in scores if name in _OF_PROBABILITIES]
    if logits is None:
        return found | dict.fromkeys(wanted, np.nan)
    P = softmax(logits.astype(np.float64), axis=1) if wanted else None
    return found | {name: float(_OF_PROBABILITIES[name](P, y)) for name in wanted}


def take(X: Any, rows: np.ndarray) -> Any:
    """Take some rows of a list, an array or a frame."""
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    if isinstance(X, np.ndarray):
        return X[rows]
    return [X[i] for i in rows] if isinstance(X, list | tuple) else X[rows]
