"""probe_score: the honest reference, a classifier trained and tested on the embeddings."""

from __future__ import annotations

from typing import Any

from sklearn.model_selection import cross_val_score

from featx.evaluation import check_embeddings, check_y, is_regression, make_folds
from featx.exceptions import ParameterError


def probe_score(
    estimator: Any, Z: Any, y: Any, cv: Any = 5, *, scoring: Any = None, groups: Any = None, task: str = "auto"
) -> float:
    r"""Mean score of an estimator over folds that it was not trained on.

    .. math:: \frac 1K \sum_k s\left(f_{-k}; \, Z_k, y_k\right)

    with :math:`f_{-k}` a clone of the estimator, fitted to all folds but the k-th.

    Parameters
    ----------
    estimator : estimator
        A scikit-learn classifier or regressor; it is cloned.
    Z : array of shape (n, dim)
    y : array of shape (n,)
        Classes, or numbers to predict.
    cv : int, splitter or iterable of (train, test), default=5
        A number of folds is shuffled with a fixed seed; each gets its share of each class.
    scoring : str or callable, default=None
        As for `sklearn.model_selection.cross_val_score`; None is the estimator's own score.
    groups : array of shape (n,), default=None
        Rows of one group stay on one side.
    task : {"auto", "classification", "regression"}, default="auto"
        ``"auto"``: a classifier or a regressor decides. If the estimator is neither, text, bools and categories are
        classes, numbers with fractions are to be predicted; whole ones too if most values occur in fewer rows than
        there are folds, and a warning says so.

    Returns
    -------
    float
        Higher is better.

    Raises
    ------
    InputError
        If Z has rows that are not finite, y cannot be used, or a class or the groups are too
        few for so many folds.
    ParameterError
        If the estimator is none or for the other task, or cv is none of the accepted ones.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import RidgeClassifier
    >>> from featx.scores import probe_score
    >>> Z, y = load_digits(return_X_y=True)
    >>> round(probe_score(RidgeClassifier(), Z, y), 2)
    0.93
    """
    if not hasattr(estimator, "fit") or isinstance(estimator, type):
        raise ParameterError(f"Got estimator={estimator!r}. Expected a scikit-learn estimator (an instance).")
    Z = check_embeddings(Z)
    regression = is_regression(y, task, head=estimator, n_folds=cv, stacklevel=2)
    y = check_y(y, len(Z), regression)
    folds = make_folds(y, cv, groups, regression=regression)
    return float(cross_val_score(estimator, Z, y, cv=folds, scoring=scoring, error_score="raise").mean())
