"""Which containers hold embeddings and no images, and the numbers in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from featx.exceptions import InputError

_LARGEST = 1e100  # squares of greater numbers, or sums of them, are none


def is_table(X: Any) -> bool:
    """Whether X holds embeddings: numbers that are no pixels, in rows and columns.

    Raises
    ------
    InputError
        If it is a list of rows of numbers.
    """
    if isinstance(X, list | tuple) and len(X) and (isinstance(X[0], list | tuple) or getattr(X[0], "ndim", 0) == 1):
        raise InputError(
            f"Got a {type(X).__name__} of {type(X[0]).__name__}s. Expected images, or embeddings: np.array(X)."
        )
    pixels = isinstance(X, np.ndarray) and X.dtype == np.uint8
    return _is_frame(X) or (isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "fiu" and not pixels)


def read_table(X: Any, domain: str) -> np.ndarray:
    """Numbers of a table, NaN where one is missing.

    Raises
    ------
    InputError
        If a column holds no numbers.
    """
    try:
        if isinstance(X, pd.DataFrame):
            return X.to_numpy(np.float64, na_value=np.nan)
        return np.asarray(X.to_numpy() if _is_frame(X) else X, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"Got a column in the {domain} that is no numbers ({error}). Expected embeddings, numbers in every column: "
            "drop the others."
        ) from error


def align_columns(Xs: Any, Xt: Any) -> Any:
    """The target with its columns in the source's order, where both have names.

    Raises
    ------
    InputError
        If they have other names.
    """
    if not (_is_frame(Xs) and _is_frame(Xt)):
        return Xt
    ours, theirs = list(Xs.columns), list(Xt.columns)
    if ours == theirs or len(ours) != len(theirs):  # their number is compared for arrays too
        return Xt
    if set(ours) != set(theirs) or len(set(ours)) < len(ours):
        other = [name for name in theirs if name not in set(ours)] or theirs
        raise InputError(
            f"Got columns in Xt that Xs does not have, or names twice ({', '.join(map(str, other[:3]))}). Expected the "
            "same names in both; pass arrays to compare columns by position."
        )
    return Xt[ours]


def check_spread(Z: np.ndarray, domain: str) -> None:
    """Raise where no method can tell anything from finite rows.

    Raises
    ------
    InputError
        If all are the same, or too large or too small for their squares.
    """
    if len(Z) > 1 and (Z[0] == Z).all():
        raise InputError(f"Got the same embedding in every usable row of the {domain}. Expected rows that differ.")
    largest = float(np.abs(Z).max())
    if not 1 / _LARGEST < largest < _LARGEST:
        raise InputError(
            f"Got embeddings in the {domain} whose largest number is {largest:.3g}. Expected one from {1 / _LARGEST:g} "
            f"to {_LARGEST:g}: divide both domains by {largest:.3g}."
        )


def _is_frame(X: Any) -> bool:
    """A frame of pandas or polars, of several columns: one alone holds images."""
    return hasattr(X, "columns") and len(getattr(X, "shape", ())) == 2 and X.shape[1] > 1
