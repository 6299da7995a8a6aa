"""Checks of embeddings, labels, groups and weights, and whether labels are classes or numbers to predict."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier, is_regressor

from featx._validate import check_choice, is_integer
from featx._warnings import warn
from featx.exceptions import FeatxWarning, InputError, ParameterError

TASKS = ("auto", "classification", "regression")
_FOLDS = 5  # assumed where cv is a splitter
_SHOWN = 5


def check_embeddings(embeddings: Any, name: str = "embeddings") -> np.ndarray:
    """Convert embeddings to float64, and name the rows that cannot be used.

    Parameters
    ----------
    embeddings : array or frame of shape (n, dim)
        Any real dtype.
    name : str, default="embeddings"
        What error messages call the array.

    Returns
    -------
    ndarray of shape (n, dim), float64

    Raises
    ------
    InputError
        If it is not a table of finite numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.evaluation import check_embeddings
    >>> check_embeddings(np.ones((2, 3), "float16")).dtype
    dtype('float64')
    """
    array = np.asarray(embeddings)
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
    """Encode class labels as integers.

    Parameters
    ----------
    y : array, Series or sequence of length n
        Strings, integers, bools or categories.
    n : int
        Number of rows.

    Returns
    -------
    codes : ndarray of shape (n,), int64
        Positions in `classes`.
    classes : ndarray of shape (n_classes,)
        Sorted; two or more.

    Raises
    ------
    InputError
        If a label is missing, all are the same, they are continuous values, or there are not n of them.

    Examples
    --------
    >>> from featx.evaluation import check_classes
    >>> codes, classes = check_classes(["b", "a", "b"], 3)
    >>> codes.tolist(), classes.tolist()
    ([1, 0, 1], ['a', 'b'])
    """
    labels = _check_labels(y, n)
    if has_fractions(labels):
        fractions = _some(labels[labels != np.rint(labels.astype(float))])
        raise InputError(
            f"Got y with continuous values ({fractions}). Expected a class for each row; for numbers to predict use "
            'logme_score, a regressor, or task="regression".'
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
    """Convert numbers to predict to float64, in columns.

    Parameters
    ----------
    y : array of shape (n,) or (n, outputs)
        The numbers.
    n : int
        Number of rows.

    Returns
    -------
    ndarray of shape (n, outputs), float64

    Raises
    ------
    InputError
        If they are not n rows of finite numbers, or all rows are the same.

    Examples
    --------
    >>> from featx.evaluation import check_targets
    >>> check_targets([1, 2.5], 2).shape
    (2, 1)
    """
    check_is_no_name("y", y)
    try:
        if any(isinstance(value, str) for value in as_array(y).ravel()[:1]):
            raise TypeError("text")
        targets = as_array(y).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"Got y that is not numeric ({error}). Expected numbers to predict.") from error
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
    """Check labels or numbers to predict, in the form that estimators take.

    Parameters
    ----------
    y : array of shape (n,) or (n, outputs)
        Classes or numbers.
    n : int
        Number of rows.
    regression : bool
        Whether y holds numbers to predict.

    Returns
    -------
    ndarray of shape (n,) or (n, outputs)

    Raises
    ------
    InputError
        As `check_classes` or `check_targets` raise it.

    Examples
    --------
    >>> from featx.evaluation import check_y
    >>> check_y([[3], [4]], 2, regression=True).tolist(), check_y([[3], [4]], 2, regression=False).tolist()
    ([3.0, 4.0], [3, 4])
    """
    if regression:
        targets = check_targets(y, n)
        return targets if targets.shape[1] > 1 else targets[:, 0]
    codes, classes = check_classes(y, n)
    return classes[codes]


def check_groups(groups: Any, n: int) -> np.ndarray:
    """Encode groups as integers from 0.

    A row without a group forms one by itself, and so does every row if groups is None.

    Parameters
    ----------
    groups : array of shape (n,) or None
        Any labels; None and NaN are missing.
    n : int
        Number of rows.

    Returns
    -------
    ndarray of shape (n,), int64

    Raises
    ------
    InputError
        If there are not n, or all rows belong to one group.

    Examples
    --------
    >>> from featx.evaluation import check_groups
    >>> check_groups(["a", None, "a"], 3).tolist()
    [0, 1, 0]
    """
    if groups is None:
        return np.arange(n)
    check_is_no_name("groups", groups)
    groups = as_array(groups)
    if groups.shape != (n,):
        raise InputError(f"Got groups of shape {groups.shape} for {n:,} rows. Expected one group a row.")
    codes = pd.factorize(groups)[0]
    codes = np.unique(np.where(codes < 0, n + np.arange(n), codes), return_inverse=True)[1]
    if n and not codes.any():
        raise InputError(f"Got one group, {groups[:1].tolist()[0]!r}. Expected two or more.")
    return codes


def as_array(values: Any) -> np.ndarray:
    """Convert labels or groups to an array of numpy, in which a missing one is missing.

    numpy alone makes the text "nan" of a NaN among texts, and pyarrow (25.0.1) gives it a dictionary's last value for
    each missing one of a chunked column.

    Parameters
    ----------
    values : array, Series, sequence or column of pyarrow
        Any values.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> from featx.evaluation import as_array
    >>> as_array(["a", float("nan")]).tolist()
    ['a', nan]
    """
    array = np.asarray(values.combine_chunks() if hasattr(values, "combine_chunks") else values)
    if array.dtype.kind == "U" and array.ndim == 1 and isinstance(values, list | tuple):
        return np.asarray(pd.Series(values, dtype=object))
    return array


def check_weights(sample_weight: Any, n: int, name: str = "sample_weight") -> np.ndarray:
    """Convert sample weights to float64.

    Parameters
    ----------
    sample_weight : array of shape (n,) or None
        None is a weight of one for every row.
    n : int
        Number of rows.
    name : str, default="sample_weight"
        What error messages call the array.

    Returns
    -------
    ndarray of shape (n,), float64

    Raises
    ------
    InputError
        If there are not n finite numbers, one is negative, or all are zero.

    Examples
    --------
    >>> from featx.evaluation import check_weights
    >>> check_weights(None, 2).tolist(), check_weights([1, 3], 2).tolist()
    ([1.0, 1.0], [1.0, 3.0])
    """
    if sample_weight is None:
        return np.ones(n)
    weights = np.asarray(sample_weight)
    if weights.shape != (n,) or weights.dtype.kind not in "fiub":
        raise InputError(f"Got {name} of shape {weights.shape} and dtype {weights.dtype}. Expected {n:,} numbers.")
    weights = weights.astype(np.float64)
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise InputError(f"Got {name} that is negative, NaN, infinite, or zero everywhere.")
    return weights


def as_labels(y: Any) -> Any:
    """Give labels that scikit-learn would misread a type that it reads.

    It converts pandas' nullable integers to float64, in which 2**53 + 1 equals 2**53: two classes become one. In lists
    and in pyarrow's columns it may take a missing label for another one, as `as_array` says.

    Parameters
    ----------
    y : array of shape (n,)
        Labels of any type.

    Returns
    -------
    array of shape (n,)
        `y` itself, if it has another type.

    Raises
    ------
    InputError
        If a label of a pandas extension type, of a list or of a column of pyarrow is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from featx.evaluation import as_labels
    >>> as_labels(pd.Series([2**53, 2**53 + 1], dtype="Int64"))
    array([9007199254740992, 9007199254740993])
    """
    column = y.iloc[:, 0] if isinstance(y, pd.DataFrame) and y.shape[1] == 1 else y
    dtype = getattr(column, "dtype", None)
    is_arrow = hasattr(column, "combine_chunks")
    if is_arrow or isinstance(column, list | tuple):
        column = as_array(column)
        if not is_arrow and column.dtype.kind != "O":
            return y
    elif not isinstance(dtype, pd.api.extensions.ExtensionDtype):
        return y
    missing = np.flatnonzero(pd.isna(column))
    if len(missing):
        raise InputError(f"Got no label in rows {_some(missing)}. Drop them, and their embeddings.")
    if is_arrow:
        return column
    plain = getattr(dtype, "numpy_dtype", None)
    return np.asarray(column, plain) if plain is not None and plain.kind in "biuf" else y


def is_regression(y: Any, task: str = "auto", *, head: Any = None, n_folds: Any = _FOLDS) -> bool:
    """Decide whether y holds numbers to predict, as opposed to classes.

    With ``"auto"``, a head that is a classifier or a regressor decides. Without one, text, bools and categories are
    classes, and numbers with fractions are numbers to predict. So are whole numbers of any dtype if there are three or
    more distinct ones and most of them occur in fewer rows than there are folds (prices in cents, kilojoules, ages);
    a warning reports that. Other whole numbers are classes (digits from 0 to 9). Neither missing values nor the order
    of the rows matters.

    Parameters
    ----------
    y : array, Series or sequence of shape (n,) or (n, outputs)
        Labels or numbers.
    task : {"auto", "classification", "regression"}, default="auto"
        What the user asked for.
    head : estimator, default=None
        The estimator that will be trained.
    n_folds : int, default=5
        Number of folds in which it will be tested; anything else (a splitter) counts as 5.

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
    >>> from featx.evaluation import is_regression
    >>> is_regression([0.5, 1.5]), is_regression([0, 1, 2] * 5), is_regression(["a", "b"])
    (True, False, False)
    >>> is_regression([1250, 990, 1425], "regression")
    True
    """
    check_choice("task", task, TASKS)
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
    warn(
        f"y holds whole numbers, most of which occur in fewer than {_count(n_folds)} rows: they are taken for numbers "
        'to predict. Pass task="regression" to confirm that, or task="classification" if they are classes.',
        FeatxWarning,
    )
    return True


def has_fractions(y: Any) -> bool:
    """Check whether y holds numbers that are not all whole.

    Examples
    --------
    >>> from featx.evaluation import has_fractions
    >>> has_fractions([0.5, 1]), has_fractions([1.0, 2.0]), has_fractions(["0.5"])
    (True, False, False)
    """
    numbers = _numbers(y)
    return numbers is not None and bool((numbers != np.rint(numbers)).any())


def has_rare_numbers(y: Any, n_folds: Any) -> bool:
    """Check whether y is one column of three or more numbers, most of which occur in fewer rows than there are folds.

    Examples
    --------
    >>> from featx.evaluation import has_rare_numbers
    >>> has_rare_numbers(range(20), 5), has_rare_numbers([0, 1, 2] * 5, 5), has_rare_numbers([0, 1], 5)
    (True, False, False)
    """
    numbers = _numbers(y)
    if numbers is None or np.prod(np.shape(y)[1:]) > 1:
        return False
    counts = np.unique(numbers, return_counts=True)[1]
    return len(counts) > 2 and bool(np.mean(counts < _count(n_folds)) > 0.5)


def regression_hint(classes: Any) -> str:
    """Complete an error about too few images of a class, if the names of the classes are numbers.

    Examples
    --------
    >>> from featx.evaluation import regression_hint
    >>> regression_hint([46.0, 47.0]), regression_hint(["a", "b"])
    (' If these are numbers to predict, pass task="regression".', '')
    """
    try:
        np.asarray(classes).astype(np.float64)
    except (TypeError, ValueError):
        return ""
    return ' If these are numbers to predict, pass task="regression".'


def check_is_no_name(what: str, values: Any) -> None:
    """Refuse the name of a column where its values are expected.

    Raises
    ------
    InputError
        With what to pass instead.
    """
    if isinstance(values, str):
        raise InputError(f"Got {what}={values!r}. Expected a value for each row, such as table[{values!r}].")


def _check_labels(y: Any, n: int) -> np.ndarray:
    check_is_no_name("y", y)
    labels = as_array(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or len(labels) != n:
        raise InputError(f"Got y of shape {labels.shape} for {n:,} rows. Expected one label a row.")
    missing = pd.isna(labels)
    if missing.any():
        raise InputError(f"Got no label in rows {_some(np.flatnonzero(missing))}. Drop them, and their images.")
    return labels.astype(str) if labels.dtype.kind == "O" and all(isinstance(x, str) for x in labels) else labels


def _some(values: np.ndarray | Sequence[Any]) -> str:
    shown = ", ".join(f"{value}" for value in values[:_SHOWN])
    return shown + (", ..." if len(values) > _SHOWN else "")


def _count(n_folds: Any) -> int:
    return int(n_folds) if is_integer(n_folds) else _FOLDS


def _numbers(y: Any) -> np.ndarray | None:
    """Return the finite numbers of y as float64, whatever their dtype; None if y holds anything else."""
    dtypes = [y.dtype] if hasattr(y, "dtype") else list(getattr(y, "dtypes", ()))
    if any(isinstance(dtype, pd.CategoricalDtype) for dtype in dtypes):
        return None
    values = as_array(y).ravel()
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
