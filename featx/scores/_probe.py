"""The reference for all other scores: an estimator trained and tested on the embeddings."""

from __future__ import annotations

from typing import Any

from sklearn.model_selection import cross_val_score

from featx.evaluation import check_embeddings, check_y, is_regression, make_folds
from featx.exceptions import ParameterError


def probe_score(
    estimator: Any, embeddings: Any, y: Any, cv: Any = 5, *, scoring: Any = None, groups: Any = None, task: str = "auto"
) -> float:
    r"""Cross-validate an estimator on embeddings, and return its mean score.

    .. math:: \frac 1K \sum_k s\left(f_{-k}; \, Z_k, y_k\right)

    where :math:`f_{-k}` is a clone of the estimator, fitted to all folds but the k-th.

    Parameters
    ----------
    estimator : estimator
        A scikit-learn classifier or regressor; it is cloned.
    embeddings : array of shape (n, dim)
        The embeddings Z.
    y : array of shape (n,)
        Classes, or numbers to predict.
    cv : int, splitter or iterable of (train, test), default=5
        An int is the number of folds, which are stratified and shuffled with a fixed seed.
    scoring : str or callable, default=None
        As for `sklearn.model_selection.cross_val_score`; None is the estimator's default score.
    groups : array of shape (n,), default=None
        Rows of one group stay on one side of each fold.
    task : {"auto", "classification", "regression"}, default="auto"
        What y holds. With ``"auto"``, a classifier or a regressor decides. If the estimator is neither, text, bools and
        categories are classes, and numbers with fractions are numbers to predict. So are whole numbers if most of them
        occur in fewer rows than there are folds, and a warning reports that.

    Returns
    -------
    float
        Higher is better.

    Raises
    ------
    InputError
        If embeddings have rows that are not finite, y cannot be used, a class has too few rows, or there are too few
        groups, for so many folds.
    ParameterError
        If the estimator is invalid or for the other task, or cv is none of the accepted values.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import RidgeClassifier
    >>> from featx.scores import probe_score
    >>> X, y = load_digits(return_X_y=True)
    >>> round(probe_score(RidgeClassifier(), X, y), 2)
    0.93
    """
    if not hasattr(estimator, "fit") or isinstance(estimator, type):
        raise ParameterError(f"Got estimator={estimator!r}. Expected a scikit-learn estimator (an instance).")
    Z = check_embeddings(embeddings)
    regression = is_regression(y, task, head=estimator, n_folds=cv)
    y = check_y(y, len(Z), regression)
    folds = make_folds(y, cv, groups, regression=regression)
    return float(cross_val_score(estimator, Z, y, cv=folds, scoring=scoring, error_score="raise").mean())
