"""Folds: shuffled, the same at each call, and no group on both sides."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold, check_cv

from featx.evaluation._check import way_out
from featx.exceptions import InputError, ParameterError

Folds = list[tuple[np.ndarray, np.ndarray]]


def make_folds(y: np.ndarray, cv: Any = 5, groups: Any = None, *, regression: bool = False) -> Folds:
    """Split rows into training and test parts.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Classes, of which each fold gets its share, or numbers.
    cv : int, splitter or iterable of (train, test), default=5
        A number of folds is shuffled with a fixed seed.
    groups : array of shape (n,), default=None
        Rows of one group stay together.
    regression : bool, default=False

    Returns
    -------
    list of (train, test)
        Arrays of positions.

    Raises
    ------
    InputError
        If a class or the groups are too few for so many folds.
    ParameterError
        If cv is none of the accepted ones.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.evaluation._folds import make_folds
    >>> folds = make_folds(np.array(["a", "b"] * 5), cv=5)
    >>> len(folds), len(folds[0][0]), len(folds[0][1])
    (5, 8, 2)
    """
    n = len(y)
    if groups is not None:
        groups = np.asarray(groups)
        if groups.shape != (n,):
            raise InputError(f"Got groups of shape {groups.shape} for {n:,} rows. Expected one group a row.")
    if not isinstance(cv, Integral) or isinstance(cv, bool):
        return _of_splitter(y, cv, groups, regression)
    _check_enough(y, cv, groups, regression)
    if groups is None:
        kind = KFold if regression else StratifiedKFold
        return list(kind(cv, shuffle=True, random_state=0).split(np.empty((n, 0)), y))
    splitter = GroupKFold(cv) if regression else StratifiedGroupKFold(cv, shuffle=True, random_state=0)
    return list(splitter.split(np.empty((n, 0)), y, groups))


def _of_splitter(y: np.ndarray, cv: Any, groups: np.ndarray | None, regression: bool) -> Folds:
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
                f"fold: lower cv, or leave the class out.{way_out(classes)}"
            )
