"""Folds: shuffled and repeatable, with no group on both sides; and how certain a mean over them is."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import t
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold, check_cv

from featx._validate import is_integer
from featx.evaluation._targets import as_array, regression_hint
from featx.exceptions import InputError, ParameterError

Folds = list[tuple[np.ndarray, np.ndarray]]


def make_folds(y: np.ndarray, cv: Any = 5, groups: Any = None, *, regression: bool = False) -> Folds:
    """Split rows into training and test sets.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Classes, which are stratified, or numbers to predict.
    cv : int, splitter or iterable of (train, test), default=5
        An int is the number of folds, which are shuffled with a fixed seed.
    groups : array of shape (n,), default=None
        Rows of one group stay together.
    regression : bool, default=False
        Whether y holds numbers to predict.

    Returns
    -------
    list of (train, test)
        Arrays of positions.

    Raises
    ------
    InputError
        If a class has too few rows, or there are too few groups, for so many folds.
    ParameterError
        If cv is none of the accepted values.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.evaluation import make_folds
    >>> folds = make_folds(np.array(["a", "b"] * 5), cv=5)
    >>> len(folds), len(folds[0][0]), len(folds[0][1])
    (5, 8, 2)
    """
    n = len(y)
    if groups is not None:
        groups = as_array(groups)
        if groups.shape != (n,):
            raise InputError(f"Got groups of shape {groups.shape} for {n:,} rows. Expected one group a row.")
    if not is_integer(cv):
        return _split(y, cv, groups, regression)
    _check_enough(y, cv, groups, regression)
    if groups is None:
        kind = KFold if regression else StratifiedKFold
        return list(kind(cv, shuffle=True, random_state=0).split(np.empty((n, 0)), y))
    splitter = GroupKFold(cv) if regression else StratifiedGroupKFold(cv, shuffle=True, random_state=0)
    return list(splitter.split(np.empty((n, 0)), y, groups))


def _split(y: np.ndarray, cv: Any, groups: np.ndarray | None, regression: bool) -> Folds:
    try:
        splitter = check_cv(cv, y, classifier=not regression)
        return [
            (np.asarray(train), np.asarray(test)) for train, test in splitter.split(np.empty((len(y), 0)), y, groups)
        ]
    except (TypeError, ValueError) as error:
        raise ParameterError(f"Got cv={cv!r}, which gives no folds of these rows: {error}") from error


def _check_enough(y: np.ndarray, n_folds: int, groups: np.ndarray | None, regression: bool) -> None:
    if n_folds < 2:
        raise ParameterError(f"Got cv={n_folds}. Expected 2 folds or more.")
    if groups is not None and len(np.unique(groups)) < n_folds:
        raise InputError(
            f"Got {len(np.unique(groups))} groups for cv={n_folds} folds. Expected as many groups or more."
        )
    if regression and len(y) < n_folds:
        raise InputError(f"Got {len(y)} rows for cv={n_folds} folds. Expected as many rows or more.")
    if not regression:
        classes, counts = np.unique(y, return_counts=True)
        if counts.min() < n_folds:
            rare = classes[counts.argmin()]
            raise InputError(
                f"Got {counts.min()} images of class {str(rare)!r} for cv={n_folds} folds. Expected at least one a "
                f"fold: lower cv, or leave the class out.{regression_hint(classes)}"
            )


def hold_out(codes: np.ndarray, fraction: float, random: np.random.RandomState) -> np.ndarray:
    """Choose a stratified validation set that keeps at least one training row per class.

    A class with a single row is never held out; of any other class at least one row is.

    Parameters
    ----------
    codes : ndarray of shape (n,), int
        Classes as 0, 1, ...
    fraction : float
        Share of the rows of each class that is held out.
    random : RandomState
        Draws the rows.

    Returns
    -------
    ndarray of shape (n,), bool
        True for held-out rows.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.evaluation import hold_out
    >>> hold_out(np.array([0, 0, 0, 0, 1]), 0.5, np.random.RandomState(0)).sum()
    np.int64(2)
    """
    held_out: np.ndarray = np.zeros(len(codes), bool)
    for code in range(codes.max() + 1):
        rows = random.permutation(np.flatnonzero(codes == code))
        held_out[rows[: min(max(1, round(fraction * len(rows))), len(rows) - 1)]] = True
    return held_out


def fold_interval(
    values: Any,
    test_share: float,
    level: float = 0.95,
    *,
    variance: float | None = None,
    degrees_of_freedom: int | None = None,
) -> tuple[float, float]:
    """Compute the interval of a mean over folds whose training sets overlap.

    Plain standard errors are too small there. The variance of the mean of J values is taken as
    (1/J + n_test/n_train) s^2, with Student's t distribution (Nadeau & Bengio 2003, "Inference for the generalization
    error", Machine Learning 52, section 3).

    Parameters
    ----------
    values : array of shape (J,)
        One value per fold: a score, or a difference of two scores.
    test_share : float
        n_test / n_train of a fold; 1 / (J - 1) in cross-validation.
    level : float, default=0.95
        How often such an interval contains the mean.
    variance : float, default=None
        s^2, the variance of the value of one fold, where more is known of it than the J values show. None is their
        sample variance.
    degrees_of_freedom : int, default=None
        Degrees of freedom of `variance`. None is J - 1.

    Returns
    -------
    low, high : float
        NaN if there are fewer than two values.

    Examples
    --------
    >>> from featx.evaluation import fold_interval
    >>> low, high = fold_interval([0.90, 0.92, 0.91, 0.93, 0.89], test_share=0.25)
    >>> round(low, 3), round(high, 3)
    (0.881, 0.939)
    """
    values = np.asarray(values, float)
    n = len(values)
    if n < 2:
        return np.nan, np.nan
    deviation = values.std(ddof=1) if variance is None else np.sqrt(variance)
    quantile = t.ppf((1 + level) / 2, n - 1 if degrees_of_freedom is None else degrees_of_freedom)
    half = quantile * deviation * np.sqrt(1 / n + test_share)
    return float(values.mean() - half), float(values.mean() + half)
