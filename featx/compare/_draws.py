"""Draws: which rows are tested, and in which order the others become training rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from featx.evaluation import make_folds
from featx.exceptions import InputError, ParameterError

_PER_CLASS = 10
_N_SIZES = 5
_FEWEST_DRAWS = 3


@dataclass(frozen=True)
class Draw:
    """One fold.

    Attributes
    ----------
    train : ndarray of int
        Each of its beginnings is a stratified sample, which has every class.
    test : ndarray of int
    """

    train: np.ndarray
    test: np.ndarray


def make_draws(y: np.ndarray, n_draws: int, groups: Any, regression: bool, rng: np.random.Generator) -> list[Draw]:
    """Folds as draws: each row is tested once, so that test parts do not overlap.

    Raises
    ------
    InputError
        If a class or the groups are too few.
    ParameterError
        If there are fewer than 3 draws.
    """
    check_draws(n_draws)
    shuffled = rng.permutation(len(y))
    try:
        folds = make_folds(y[shuffled], n_draws, None if groups is None else groups[shuffled], regression=regression)
    except InputError as error:  # which names them cv
        raise InputError(str(error).replace("cv", "draws")) from error
    draws = []
    for train, test in folds:
        train, test = shuffled[train], shuffled[test]
        if not regression:
            _check_classes(y, train, test)
        draws.append(Draw(train[_nested_order(y[train], regression, rng)], test))
    return draws


def check_draws(n_draws: Any) -> None:
    """Raise unless there are draws enough.

    Raises
    ------
    ParameterError
        If there are fewer than 3.
    """
    if not isinstance(n_draws, Integral) or isinstance(n_draws, bool) or n_draws < _FEWEST_DRAWS:
        raise ParameterError(f"Got draws={n_draws!r}. Expected {_FEWEST_DRAWS} or more, for an interval.")


def choose_sizes(sizes: Iterable[int] | None, draws: list[Draw], n_classes: int) -> list[int]:
    """Numbers of training rows, ascending; by default about 5 from 10 a class, or fewer, to all.

    Parameters
    ----------
    sizes : iterable of int or None
    draws : list of Draw
    n_classes : int
        1 for regression.

    Raises
    ------
    ParameterError
        If a size is larger than the training part, or has not one row a class.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.compare._draws import Draw, choose_sizes
    >>> choose_sizes(None, [Draw(np.arange(1000), np.arange(100))], n_classes=2)
    [20, 53, 141, 376, 1000]
    """
    largest = min(len(draw.train) for draw in draws)
    if sizes is None:
        smallest = min(_PER_CLASS * n_classes, max(2, n_classes, largest // 5))
        return sorted({round(size) for size in np.geomspace(smallest, largest, _N_SIZES)})
    try:
        chosen = sorted(set(sizes))
    except TypeError:
        raise ParameterError(f"Got sizes={sizes!r}. Expected a list of numbers of training images.") from None
    least = max(2, n_classes)
    bad = [size for size in chosen if not isinstance(size, Integral) or not least <= size <= largest]
    if bad or not chosen:
        raise ParameterError(
            f"Got sizes={list(sizes)!r}. Expected numbers of training images from {least} (one a class) to "
            f"{largest:,}, the training part of a draw."
        )
    return [int(size) for size in chosen]


def _check_classes(y: np.ndarray, train: np.ndarray, test: np.ndarray) -> None:
    lost = np.setdiff1d(np.unique(y), np.unique(y[train]))
    if len(lost):
        raise InputError(
            f"Got groups that leave a draw without training images of class {str(lost[0])!r}: all of its groups are "
            "tested at once. Expected each class in several groups: lower draws, or leave the class out."
        )
    if not len(test):
        raise InputError("Got groups so uneven that a draw has no image to test. Lower draws, or split the largest.")


def _nested_order(y: np.ndarray, regression: bool, rng: np.random.Generator) -> np.ndarray:
    if regression:
        return rng.permutation(len(y))
    key = np.empty(len(y))
    for name in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == name))
        key[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
        key[rows[0]] = -1  # one of each class comes first
    return np.lexsort((rng.random(len(y)), key))
