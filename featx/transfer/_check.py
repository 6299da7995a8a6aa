"""What every score asks of embeddings and labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

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
    >>> from featx.transfer._check import check_embeddings
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
    >>> from featx.transfer._check import check_classes
    >>> codes, classes = check_classes(["b", "a", "b"], 3)
    >>> codes.tolist(), classes.tolist()
    ([1, 0, 1], ['a', 'b'])
    """
    labels = _labels(y, n)
    if labels.dtype.kind == "f" and (labels != np.rint(labels)).any():
        raise InputError(
            f"Got y with numbers that are no classes ({_some(labels[labels != np.rint(labels)])}). Expected a class "
            "for each row; for numbers to predict use logme_score, or a regressor as estimator."
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
    >>> from featx.transfer._check import check_targets
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


def is_regression(y: Any) -> bool:
    """Whether y holds numbers to predict and not classes: floats that are no whole numbers.

    Examples
    --------
    >>> from featx.transfer._check import is_regression
    >>> is_regression([0.5, 1.5]), is_regression([0, 1]), is_regression(["a", "b"])
    (True, False, False)
    """
    array = np.asarray(y)
    if array.dtype.kind != "f":
        return False
    finite = array[np.isfinite(array)]
    return bool((finite != np.rint(finite)).any())


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
