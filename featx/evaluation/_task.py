"""Classes to be told apart, or numbers to predict: decided in this one place."""

from __future__ import annotations

import warnings
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier, is_regressor

from featx.exceptions import FeatxWarning, ParameterError, UnknownNameError

TASKS = ("auto", "classification", "regression")
_FOLDS = 5  # where cv is no number of them


def is_regression(y: Any, task: str = "auto", *, head: Any = None, n_folds: Any = _FOLDS, stacklevel: int = 1) -> bool:
    """Decide whether y holds numbers to predict, and not classes.

    ``"auto"``: a head that is a classifier or a regressor decides. Without one, text, bools and categories are
    classes, and numbers with fractions are numbers. Whole numbers, of whatever type, are numbers if there are three or
    more, most of which occur in fewer rows than there are folds (prices in cents, kilojoules, ages); a warning says
    so. Otherwise they are classes (digits from 0 to 9). Missing values do not count, nor does the order of the rows.

    Parameters
    ----------
    y : array, Series or sequence of shape (n,) or (n, outputs)
    task : {"auto", "classification", "regression"}, default="auto"
    head : estimator, default=None
        That will be trained.
    n_folds : int, default=5
        In which it will be tested; what is no number (a splitter) counts as 5.
    stacklevel : int, default=1
        As `warnings.warn` would have it of the caller.

    Returns
    -------
    bool

    Raises
    ------
    UnknownNameError
        If there is no such task.
    ParameterError
        If the head is for the other task.

    Warns
    -----
    FeatxWarning
        If whole numbers are taken for numbers to predict.

    Examples
    --------
    >>> from featx.evaluation._task import is_regression
    >>> is_regression([0.5, 1.5]), is_regression([0, 1, 2] * 5), is_regression(["a", "b"])
    (True, False, False)
    >>> is_regression([1250, 990, 1425], "regression")
    True
    """
    if task not in TASKS:
        raise UnknownNameError("task", task, TASKS)
    fits = None if head is None else True if is_regressor(head) else False if is_classifier(head) else None
    if task != "auto":
        regression = task == "regression"
        if fits is not None and fits != regression:
            expected = "a regressor, such as head='ridge'" if regression else "a classifier, such as head='logistic'"
            raise ParameterError(f"Got task={task!r} with the head {head!r}. Expected {expected}.")
        return regression
    if fits is not None:
        return fits
    if has_fractions(y):
        return True
    if not has_rare_numbers(y, n_folds):
        return False
    warnings.warn(
        f"y holds whole numbers, most of which occur in fewer than {_count(n_folds)} rows: they are taken for numbers "
        'to predict. Pass task="regression" to say so, or task="classification" if they are classes.',
        FeatxWarning,
        stacklevel=stacklevel + 1,
    )
    return True


def has_fractions(y: Any) -> bool:
    """Whether y holds numbers that are not all whole.

    Examples
    --------
    >>> from featx.evaluation._task import has_fractions
    >>> has_fractions([0.5, 1]), has_fractions([1.0, 2.0]), has_fractions(["0.5"])
    (True, False, False)
    """
    numbers = _numbers(y)
    return numbers is not None and bool((numbers != np.rint(numbers)).any())


def has_rare_numbers(y: Any, n_folds: Any) -> bool:
    """Whether y is one column of three or more numbers, most of which occur in fewer rows than there are folds.

    Examples
    --------
    >>> from featx.evaluation._task import has_rare_numbers
    >>> has_rare_numbers(range(20), 5), has_rare_numbers([0, 1, 2] * 5, 5), has_rare_numbers([0, 1], 5)
    (True, False, False)
    """
    numbers = _numbers(y)
    if numbers is None or np.prod(np.shape(y)[1:]) > 1:
        return False
    counts = np.unique(numbers, return_counts=True)[1]
    return len(counts) > 2 and bool(np.mean(counts < _count(n_folds)) > 0.5)


def _count(n_folds: Any) -> int:
    return int(n_folds) if isinstance(n_folds, Integral) and not isinstance(n_folds, bool) else _FOLDS


def _numbers(y: Any) -> np.ndarray | None:
    """Finite numbers of y as float64, which makes types alike; None where it holds anything else."""
    dtypes = [y.dtype] if hasattr(y, "dtype") else list(getattr(y, "dtypes", ()))
    if any(isinstance(dtype, pd.CategoricalDtype) for dtype in dtypes):
        return None
    values = np.asarray(y).ravel()
    if values.dtype.kind == "O":
        values = values[~pd.isna(values)]
        if not len(values) or not all(_is_number(value) for value in values):
            return None
    elif values.dtype.kind not in "iuf":
        return None
    numbers = values.astype(np.float64)
    return numbers[np.isfinite(numbers)]


def _is_number(value: Any) -> bool:
    return isinstance(value, Real | Decimal) and not isinstance(value, bool)
