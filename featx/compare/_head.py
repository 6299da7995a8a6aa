"""The head that all arms share, and how strongly it is regularised."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from featx._pipeline import image_pipeline
from featx.evaluation import make_folds
from featx.exceptions import FeatxError

# From strong to weak regularisation: a tie goes to the stronger.
_GRIDS = {
    "logistic": [{"C": 10.0**k, "tol": 1e-3, "max_iter": 200} for k in range(-4, 1)],
    "svm": [{"C": 10.0**k} for k in range(-1, 4)],
    "ridge": [{"alpha": 10.0**k} for k in range(5, -2, -1)],
}
_FOLDS = 3
_ONE_SPLIT_FROM = 1000


@dataclass(frozen=True)
class Head:
    """A head with each strength of its regularisation.

    Attributes
    ----------
    prepare : transformer
        Before all of them.
    candidates : list of estimators
    threads : int or None, default=1
        Of the linear algebra while it is fitted: the matrices are small, and threads that wait for each other cost
        up to thirty times what they save where processors are shared. None leaves them alone.
    """

    prepare: Any
    candidates: list[Any]
    threads: int | None = 1


class RowSpace(TransformerMixin, BaseEstimator):
    """Turn n training rows of more than n columns into n columns.

    Weights under an L2 penalty are sums of training rows: a linear head gives the same predictions, many times sooner.
    """

    def fit(self, X: np.ndarray, y: Any = None) -> RowSpace:
        self.basis_ = np.linalg.qr(X.T)[0] if X.shape[0] < X.shape[1] else None
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        return X if self.basis_ is None else X @ self.basis_


def make_head(head: Any) -> Head:
    """A named head with its grid; one that needs none, or an estimator of one's own, as it is.

    Raises
    ------
    UnknownNameError
        If there is no such head.
    """
    _, (_, scaler), (_, estimator) = image_pipeline(head).steps
    if not isinstance(head, str) or head not in _GRIDS:  # "probe" chooses for itself, "prototype" has nothing to choose
        return Head(scaler, [estimator])
    prepare = scaler if head == "svm" else make_pipeline(scaler, RowSpace())
    return Head(prepare, [clone(estimator).set_params(**values) for values in _GRIDS[head]])


def bare(estimator: Any) -> Head:
    """An estimator that takes what it is given."""
    return Head(FunctionTransformer(), [estimator], threads=None)


def choose_candidate(
    head: Head, Z: Any, y: np.ndarray, groups: np.ndarray | None, regression: bool, scoring: Any
) -> Any:
    """The candidate that is best within these training rows.

    Three folds; one split where there are 1,000 rows or more, which is enough to tell powers of ten apart.
    """
    if len(head.candidates) == 1:
        return head.candidates[0]
    folds = _inner_folds(y, groups, regression)
    if not folds:
        return head.candidates[len(head.candidates) // 2]
    scores = np.mean([_scores(head, Z, y, train, test, scoring) for train, test in folds], axis=0)
    return head.candidates[int(np.nan_to_num(scores, nan=-np.inf).argmax())]


def fit_quietly(estimator: Any, Z: Any, y: np.ndarray) -> Any:
    """Fit a clone; that lbfgs stopped early is no news at weak regularisation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return clone(estimator).fit(Z, y)


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
