"""A budget of time -> how many images each round sees, and who goes on to the next."""

from __future__ import annotations

import time
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from featx.evaluation import fold_interval
from featx.exceptions import ParameterError

_SHARES = (1 / 8, 1 / 4, 1 / 2, 1)
_FEWEST = 20  # images of each class, or in all, that a first round needs


class Budget:
    """The time that is left.

    Parameters
    ----------
    budget : None, str, number or timedelta
        None is no limit; a str is as for `pandas.Timedelta`, a number is of seconds.

    Raises
    ------
    ParameterError
        If it is no span of time above zero.
    """

    def __init__(self, budget: Any):
        self._until = None
        if budget is None:
            return
        try:
            seconds = float(budget) if isinstance(budget, Real) else pd.Timedelta(budget).total_seconds()
        except (TypeError, ValueError) as error:
            raise ParameterError(f"Got budget={budget!r}. Expected a time, such as '10min', or seconds.") from error
        if not seconds > 0:
            raise ParameterError(f"Got budget={budget!r}. Expected more than no time.")
        self._until = time.monotonic() + seconds

    @property
    def limited(self) -> bool:
        return self._until is not None

    def left(self) -> float:
        """Seconds; infinity where there is no limit."""
        return np.inf if self._until is None else self._until - time.monotonic()


def rounds(y: np.ndarray, budget: Budget, *, n_folds: int, regression: bool) -> list[np.ndarray]:
    """Rows of each round, each a part of the next and the last all of them; with no budget that one alone.

    Parameters
    ----------
    y : ndarray of shape (n,)
    budget : Budget
    n_folds : int
        Each class needs as many rows in every round.
    regression : bool

    Returns
    -------
    list of ndarray of int
        Sorted positions.
    """
    n = len(y)
    if not budget.limited:
        return [np.arange(n)]
    order = np.random.default_rng(0).permutation(n)
    if not regression:  # every class is in each round with its share
        codes = np.unique(y, return_inverse=True)[1]
        place = np.empty(n)
        for code in np.unique(codes):
            rows = order[codes[order] == code]
            place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
        order = np.argsort(place, kind="stable")
    fewest = 1 if regression else min(np.unique(y, return_counts=True)[1]) / n
    shares = [share for share in _SHARES if share * n * fewest >= max(_FEWEST, n_folds + 1) or share == 1]
    return [np.sort(order[: round(share * n)]) for share in shares]


def survivors(folds: Sequence[np.ndarray], test_share: float, *, halve: bool) -> list[int]:
    """Who may still win: none whose distance to the best is beyond its interval; of these the better half, if asked.

    Parameters
    ----------
    folds : sequence of ndarray of shape (n_folds,)
        The candidates' scores on the same folds.
    test_share : float
        n_test / n_train of a fold.
    halve : bool

    Returns
    -------
    list of int
        Positions, best first.
    """
    order = np.argsort([-scores.mean() for scores in folds], kind="stable").tolist()
    best = folds[order[0]]
    able = [i for i in order if i == order[0] or not fold_interval(best - folds[i], test_share)[0] > 0]
    return able[: -(-len(order) // 2)] if halve else able
