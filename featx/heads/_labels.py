"""Labels as the heads take them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from featx.exceptions import InputError

_SHOWN = 5


def as_labels(y: Any) -> Any:
    """Give pandas' nullable numbers and bools numpy's dtype of the same kind.

    scikit-learn makes float64 of them, in which 2**53 + 1 is 2**53: two classes become one.

    Parameters
    ----------
    y : array of shape (n,)

    Returns
    -------
    array of shape (n,)
        `y` itself, if it is of another type.

    Raises
    ------
    InputError
        If a label of a pandas extension type is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from featx.heads._labels import as_labels
    >>> as_labels(pd.Series([2**53, 2**53 + 1], dtype="Int64"))
    array([9007199254740992, 9007199254740993])
    """
    column = y.iloc[:, 0] if isinstance(y, pd.DataFrame) and y.shape[1] == 1 else y
    dtype = getattr(column, "dtype", None)
    if not isinstance(dtype, pd.api.extensions.ExtensionDtype):
        return y
    missing = np.flatnonzero(pd.isna(column))
    if len(missing):
        shown = ", ".join(map(str, missing[:_SHOWN])) + (", ..." if len(missing) > _SHOWN else "")
        raise InputError(f"Got no label in rows {shown}. Drop them, and their embeddings.")
    plain = getattr(dtype, "numpy_dtype", None)
    return np.asarray(column, plain) if plain is not None and plain.kind in "biuf" else y
