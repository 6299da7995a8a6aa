"""Folds of a comparison: which rows are tested, and in which order the others become training rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featx._validate import is_integer
from featx.evaluation import make_folds
from featx.exceptions import InputError, ParameterError

Splits = list[tuple[np.ndarray, np.ndarray]]

_PER_CLASS = 10
_N_SIZES = 5
_FEWEST_FOLDS = 3


@dataclass(frozen=True)
class Fold:
    """One fold.

    Attributes
    ----------
    train : ndarray of int
        Each of its beginnings is a stratified sample, which has every class.
    test : ndarray of int
    """

    train: np.ndarray
    test: np.ndarray


def check_cv(cv: Any) -> Any:
    """Check what can be checked of cv before any data is read, and list an iterable, which may be read only once.

    Parameters
    ----------
    cv : int, splitter or iterable of (train, test)
        As given by the user.

    Returns
    -------
    int, splitter or list of (train, test)

    Raises
    ------
    ParameterError
        If it is none of these, or gives fewer than 3 folds.
    """
    if hasattr(cv, "split") and not isinstance(cv, str | type):
        return cv
    if isinstance(cv, Iterable) and not isinstance(cv, str | type):
        cv = list(cv)
        _check_number(len(cv))
        return cv
    if not is_integer(cv) or cv < _FEWEST_FOLDS:
        raise ParameterError(
            f"Got cv={cv!r}. Expected {_FEWEST_FOLDS} or more, for an interval; a splitter such as ShuffleSplit(5); or "
            "pairs of arrays (train, test)."
        )
    return int(cv)


def fix_cv(cv: Any, y: np.ndarray, groups: np.ndarray | None = None, *, regression: bool = False) -> int | Splits:
    """Ask a splitter for its splits, once: it may give others the next time.

    Parameters
    ----------
    cv : int, splitter or list of (train, test)
        As returned by `check_cv`.
    y : ndarray of shape (n,)
        What the splitter gets to see.
    groups : ndarray of shape (n,), default=None
        The same.
    regression : bool, default=False
        Whether y holds numbers to predict.

    Returns
    -------
    int or list of (train, test)
        A number of folds stays: they are drawn when it is known which rows can be used.

    Raises
    ------
    ParameterError
        If there are fewer than 3 splits, they are not positions of rows, or divide a group.
    """
    if is_integer(cv):
        return int(cv)
    splits = make_folds(y, cv, groups, regression=regression)
    _check_number(len(splits))
    for train, test in splits:
        _check_positions(train, test, len(y))
        if groups is not None and np.intersect1d(groups[train], groups[test]).size:
            name = str(np.intersect1d(groups[train], groups[test])[0])
            raise ParameterError(
                f"Got cv with images of group {name!r} on both sides of a fold. Expected a splitter that keeps groups "
                "together, such as GroupShuffleSplit(5)."
            )
    return splits


def keep_rows(cv: int | Splits, rows: np.ndarray, n: int) -> int | Splits:
    """Renumber splits for the rows that remain; a number of folds stays.

    Parameters
    ----------
    cv : int or list of (train, test)
        As returned by `fix_cv`.
    rows : ndarray of int
        Positions of the rows that remain, ascending.
    n : int
        How many rows there were.
    """
    if isinstance(cv, int):
        return cv
    place = np.full(n, -1)
    place[rows] = np.arange(len(rows))
    kept = ([place[part] for part in parts] for parts in cv)
    return [(train[train >= 0], test[test >= 0]) for train, test in kept]


def nested_folds(
    y: np.ndarray, cv: int | Splits, groups: Any, regression: bool, rng: np.random.Generator
) -> list[Fold]:
    """Divide rows into folds, and order the training rows so that each beginning of them is a sample.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Classes, or numbers to predict.
    cv : int or list of (train, test)
        A number of folds is drawn by rng: each row is tested once, so that test parts do not overlap.
    groups : ndarray of shape (n,) or None
        Rows of one group are never on both sides of a drawn fold.
    regression : bool
        Whether y holds numbers to predict.
    rng : numpy.random.Generator
        Draws the folds, and the order of training rows.

    Raises
    ------
    InputError
        If a class or the groups are too few.
    ParameterError
        If there are fewer than 3 folds.
    """
    cv = fix_cv(check_cv(cv), y, groups, regression=regression)
    if isinstance(cv, int):
        shuffled = rng.permutation(len(y))
        drawn = make_folds(y[shuffled], cv, None if groups is None else groups[shuffled], regression=regression)
        splits = [(shuffled[train], shuffled[test]) for train, test in drawn]
    else:
        splits = cv
    folds = []
    for train, test in splits:
        if not len(test) or not len(train):
            raise InputError("Got a fold without an image to train on, or to test. Lower cv, or split large groups.")
        if not regression:
            _check_classes(y, train, groups)
        folds.append(Fold(train[_nested_order(y[train], regression, rng)], test))
    return folds


def choose_sizes(sizes: Iterable[int] | None, folds: Sequence[Fold], n_classes: int) -> list[int]:
    """Choose numbers of training rows, ascending; by default about 5 from 10 a class, or fewer, to all.

    Parameters
    ----------
    sizes : iterable of int or None
        As given by the user.
    folds : list of Fold
        The smallest training part is the largest size.
    n_classes : int
        1 for regression.

    Raises
    ------
    ParameterError
        If a size is larger than the training part, or has not one row a class.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.compare._folds import Fold, choose_sizes
    >>> choose_sizes(None, [Fold(np.arange(1000), np.arange(100))], n_classes=2)
    [20, 53, 141, 376, 1000]
    """
    largest = min(len(fold.train) for fold in folds)
    if sizes is None:
        smallest = min(_PER_CLASS * n_classes, max(2, n_classes, largest // 5))
        return sorted({round(size) for size in np.geomspace(smallest, largest, _N_SIZES)})
    try:
        chosen = sorted(set(sizes))
    except TypeError:
        raise ParameterError(f"Got sizes={sizes!r}. Expected a list of numbers of training images.") from None
    least = max(2, n_classes)
    if not chosen or not all(is_integer(size) and least <= size <= largest for size in chosen):
        raise ParameterError(
            f"Got sizes={list(sizes)!r}. Expected numbers of training images from {least} (one a class) to "
            f"{largest:,}, the training part of a fold."
        )
    return [int(size) for size in chosen]


def _check_number(n_folds: int) -> None:
    if n_folds < _FEWEST_FOLDS:
        raise ParameterError(f"Got cv with {n_folds} folds. Expected {_FEWEST_FOLDS} or more, for an interval.")


def _check_positions(train: np.ndarray, test: np.ndarray, n: int) -> None:
    for part in (train, test):
        if part.ndim != 1 or (len(part) and part.dtype.kind not in "iu"):
            raise ParameterError(f"Got cv with rows {part!r}. Expected an array of positions.")
        if part.min(initial=0) < 0 or part.max(initial=0) >= n:
            raise ParameterError(
                f"Got cv with rows {part.min()} to {part.max()}. Expected positions from 0 to {n - 1:,}."
            )
    both = np.intersect1d(train, test)
    if len(both):
        raise ParameterError(f"Got cv with row {both[0]} on both sides of a fold. Expected different rows.")


def _check_classes(y: np.ndarray, train: np.ndarray, groups: Any) -> None:
    lost = np.setdiff1d(np.unique(y), np.unique(y[train]))
    if len(lost):
        reason = "" if groups is None else ": all of its groups are tested at once"
        raise InputError(
            f"Got a fold without training images of class {str(lost[0])!r}{reason}. Expected each class in the "
            "training part of every fold: lower cv, or leave the class out."
        )


def _nested_order(y: np.ndarray, regression: bool, rng: np.random.Generator) -> np.ndarray:
    if regression:
        return rng.permutation(len(y))
    key = np.empty(len(y))
    for name in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == name))
        key[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
        key[rows[0]] = -1  # one of each class comes first
    return np.lexsort((rng.random(len(y)), key))
