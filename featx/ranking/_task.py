"""The user's task: images, labels, folds, and the estimator that a candidate is tried in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline

from featx._image_encoder import ImageEncoder
from featx._pipeline import image_pipeline
from featx.evaluation import check_y, is_regression, unit_of
from featx.exceptions import ParameterError
from featx.images import as_column
from featx.ranking._candidates import Candidate


class Task:
    """What candidates are tried on.

    Parameters
    ----------
    X : container of images, or frame with a column of them
        A frame is for an estimator that picks the column by name.
    y : array of shape (n,)
    estimator : estimator or None
        Of embeddings, or of `X` with an `ImageEncoder` inside; None is a scaler
        and logistic regression, or ridge for numbers.
    scoring : as for `cross_val_score`
    task : {"auto", "classification", "regression"}, default="auto"
    n_folds : int, default=5
        As for `is_regression`; a splitter will do.
    stacklevel : int, default=1
        As `warnings.warn` would have it of the caller.

    Attributes
    ----------
    images : container of images
    y : ndarray
    regression : bool
    unit : ScoreUnit
        Of the probe's score.
    """

    def __init__(
        self, X: Any, y: Any, estimator: Any, scoring: Any, task: str = "auto", n_folds: Any = 5, stacklevel: int = 1
    ):
        if estimator is not None and (not hasattr(estimator, "fit") or isinstance(estimator, type)):
            raise ParameterError(f"Got estimator={estimator!r}. Expected a scikit-learn estimator (an instance).")
        self.regression = is_regression(y, task, head=estimator, n_folds=n_folds, stacklevel=stacklevel + 1)
        self._estimator = estimator
        if estimator is None:
            self._estimator = image_pipeline("ridge" if self.regression else "logistic")[1:]
        self._scoring = scoring
        self.unit = unit_of(scoring, self.regression)
        self._slot = next(_encoders_of(self._estimator), None)  # the parameter that is an ImageEncoder
        self._X = X
        self.images = _image_column(self._estimator, X) if self._slot is not None else X
        n = len(as_column(self.images))
        self.y = check_y(y, n, self.regression)

    def fold_scores(self, candidate: Candidate, Z: np.ndarray, rows: np.ndarray, folds: list) -> np.ndarray:
        """Cross-validate a clone of the estimator.

        Parameters
        ----------
        candidate : Candidate
        Z : ndarray of shape (n_rows, dim)
        rows : ndarray of int
            Which rows of the task Z has.
        folds : list of (train, test)
            Positions in `rows`.

        Returns
        -------
        ndarray of shape (n_folds,)
        """
        estimator, X = clone(self._estimator), Z
        if self._slot is not None:  # its own encoder finds these embeddings in the store
            estimator.set_params(**{self._slot: candidate.encoder().set_params(verbose=0)})
            X = take(self._X, rows)
        return cross_val_score(estimator, X, self.y[rows], cv=folds, scoring=self._scoring, error_score="raise")


def _encoders_of(estimator: Any) -> Iterator[str]:
    """Names of the parameters that are an `ImageEncoder`."""
    for name, value in estimator.get_params(deep=True).items():
        if isinstance(value, ImageEncoder):
            yield name


def _image_column(estimator: Any, X: Any) -> Any:
    """What reaches the estimator's `ImageEncoder`: X, or one column of it."""
    if isinstance(estimator, Pipeline):
        return _image_column(estimator.steps[0][1], X)
    if isinstance(estimator, ColumnTransformer):
        for _, part, columns in estimator.transformers:
            if hasattr(part, "get_params") and (isinstance(part, ImageEncoder) or any(_encoders_of(part))):
                return X[columns[0] if isinstance(columns, list | tuple) else columns]
    for value in estimator.get_params(deep=False).values():  # a search over a pipeline
        if isinstance(value, Pipeline | ColumnTransformer):
            return _image_column(value, X)
    return X


def take(X: Any, rows: np.ndarray) -> Any:
    """Some rows of whatever holds them."""
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    if isinstance(X, np.ndarray):
        return X[rows]
    return [X[i] for i in rows] if isinstance(X, list | tuple) else X[rows]
