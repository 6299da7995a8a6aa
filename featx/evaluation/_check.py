"""What every score asks of embeddings and labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from featx.evaluation._task import has_fractions
from featx.exceptions import InputError

_SHOWN = 5


def check_embeddings(Z: Any, name: str = "Z") -> np.ndarray:
    """Embeddings as float64, or an error that says which rows cannot be used.

    Parameters
    ----------
    Z : array or frame of shape (n, dim)
        Any real dtype.
    name : str, default="Z"
        What the error calls it.

    Returns
    -------
    ndarray of shape (n, dim), float64

    Raises
    ------
    InputError
        If it is no table of finite numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.evaluation._check import check_embeddings
    >>> check_embeddings(np.ones((2, 3), "float16")).dtype
    dtype('float64')
    """
    array = np.asarray(Z)
    if array.ndim != 2 or array.dtype.kind not in "fiub":
        raise InputError(
            f"Got {name} of shape {array.shape} and dtype {array.dtype}. Expected numbers of shape (n, dim)."
        )
    if 0 in array.shape:
        raise InputError(f"Got {name} of shape {array.shape}. Expected at least one row and one column.")
    array = array.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise InputError(
            f"Got {name} with NaN or infinity in {len(bad):,} of {len(array):,} rows ({_some(bad)}): images that could "
            "not be read, perhaps. Drop these rows, and their labels."
        )
    return array


def check_classes(y: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels as numbers of classes.

    Parameters
    ----------
    y : array, Series or sequence of length n
        Strings, integers, bools or categories.
    n : int
        How many rows there are.

    Returns
    -------
    codes : ndarray of shape (n,), int64
        Positions in `classes`.
    classes : ndarray of shape (n_classes,)
        Sorted; two or more.

    Raises
    ------
    InputError
        If a label is missing, all are the same, they are no classes, or there are not n.

    Examples
    --------
    >>> from featx.evaluation._check import check_classes
    >>> codes, classes = check_classes(["b", "a", "b"], 3)
    >>> codes.tolist(), classes.tolist()
    ([1, 0, 1], ['a', 'b'])
    """
    labels = _labels(y, n)
    if has_fractions(labels):
        fractions = _some(labels[labels != np.rint(labels.astype(float))])
        raise InputError(
            f"Got y with numbers that are no classes ({fractions}). Expected a class for each row; for numbers to "
            'predict use logme_score, a regressor, or task="regression".'
        )
    try:
        classes, codes = np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise InputError(f"Got y with labels of several types ({error}). Expected one type, such as str.") from error
    if len(classes) < 2:
        got = f"one class, {classes.tolist()[0]!r}" if n else "no label"
        raise InputError(f"Got y with {got}. Expected two or more classes.")
    return codes.astype(np.int64), classes


def check_targets(y: Any, n: int) -> np.ndarray:
    """Numbers to predict, as float64 of shape (n, outputs).

    Parameters
    ----------
    y : array of shape (n,) or (n, outputs)
    n : int

    Raises
    ------
    InputError
        If they are not n rows of finite numbers, or all rows are the same.

    Examples
    --------
    >>> from featx.evaluation._check import check_targets
    >>> check_targets([1, 2.5], 2).shape
    (2, 1)
    """
    try:
        if any(isinstance(value, str) for value in np.asarray(y).ravel()[:1]):
            raise TypeError("text")
        targets = np.asarray(y).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"Got y that is no numbers ({error}). Expected numbers to predict.") from error
    targets = targets[:, None] if targets.ndim == 1 else targets
    if targets.ndim != 2 or len(targets) != n:
        raise InputError(f"Got y of shape {np.shape(y)} for {n:,} rows. Expected one target a row.")
    if not np.isfinite(targets).all():
        bad = np.flatnonzero(~np.isfinite(targets).all(axis=1))
        raise InputError(f"Got y with NaN or infinity in rows {_some(bad)}. Drop them, and their images.")
    if (targets == targets[0]).all():
        raise InputError(f"Got y with one value, {targets[0].tolist()}. Expected numbers that differ.")
    return targets


def check_y(y: Any, n: int, regression: bool) -> np.ndarray:
    """Labels, or numbers to predict, as estimators take them.

    Parameters
    ----------
    y : array of shape (n,) or (n, outputs)
    n : int
    regression : bool

    Returns
    -------
    ndarray of shape (n,) or (n, outputs)

    Raises
    ------
    InputError
        As `check_classes` or `check_targets`.

    Examples
    --------
    >>> from featx.evaluation._check import check_y
    >>> check_y([[3], [4]], 2, regression=True).tolist(), check_y([[3], [4]], 2, regression=False).tolist()
    ([3.0, 4.0], [3, 4])
    """
    if regression:
        targets = check_targets(y, n)
        return targets if targets.shape[1] > 1 else targets[:, 0]
    codes, classes = check_classes(y, n)
    return classes[codes]


def way_out(classes: Any) -> str:
    """What to say after an error of few images of a class, if the classes' names are numbers: they may be none.

    Examples
    --------
    >>> from featx.evaluation._check import way_out
    >>> way_out([46.0, 47.0]), way_out(["a", "b"])
    (' If these are numbers to predict, pass task="regression".', '')
    """
    try:
        np.asarray(classes).astype(np.float64)
    except (TypeError, ValueError):
        return ""
    return ' If these are numbers to predict, pass task="regression".'


def check_groups(groups: Any, n: int) -> np.ndarray:
    """Groups as whole numbers from 0; a missing one stands alone, as does every row where groups is None.

    Parameters
    ----------
    groups : array of shape (n,) or None
    n : int

    Raises
    ------
    InputError
        If there are not n, or all rows are of one group.

    Examples
    --------
    >>> from featx.evaluation._check import check_groups
    >>> check_groups(["a", None, "a"], 3).tolist()
    [0, 1, 0]
    """
    if groups is None:
        return np.arange(n)
    groups = np.asarray(pd.Series(groups, dtype=object) if isinstance(groups, list | tuple) else groups)
    if groups.shape != (n,):
        raise InputError(f"Got groups of shape {groups.shape} for {n:,} rows. Expected one group a row.")
    codes = pd.factorize(groups)[0]
    codes = np.unique(np.where(codes < 0, n + np.arange(n), codes), return_inverse=True)[1]
    if n and not codes.any():
        raise InputError(f"Got one group, {groups[0]!r}. Expected two or more.")
    return codes


def _labels(y: Any, n: int) -> np.ndarray:
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or len(labels) != n:
        raise InputError(f"Got y of shape {labels.shape} for {n:,} rows. Expected one label a row.")
    missing = pd.isna(labels)
    if missing.any():
        raise InputError(f"Got no label in rows {_some(np.flatnonzero(missing))}. Drop them, and their images.")
    return labels.astype(str) if labels.dtype.kind == "O" and all(isinstance(x, str) for x in labels) else labels


def _some(values: Sequence[Any]) -> str:
    shown = ", ".join(f"{value}" for value in values[:_SHOWN])
    return shown + (", ..." if len(values) > _SHOWN else "")
