"""Frames of pandas and polars: which columns they have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from featx.exceptions import InputError
from featx.images._columns import library_of


def columns_of(X: Any, wanted: Sequence[str] = ()) -> list[str]:
    """List the columns of a frame of pandas or polars, among which are some.

    Raises
    ------
    InputError
        If it is none, lacks one of them, or has two of one name.
    """
    # pyarrow's tables have columns, too, but they are the data; a lazy frame has no shape.
    if library_of(X) not in ("pandas", "polars") or not hasattr(X, "shape") or not hasattr(X, "columns"):
        way = next((f": pass X.{method}()" for method in ("collect", "to_pandas") if hasattr(X, method)), "")
        what = f" with {list(wanted)}" if wanted else ""
        raise InputError(f"Got a {type(X).__name__}. Expected a pandas or polars DataFrame{what}{way}.")
    columns = list(X.columns)
    if absent := [name for name in wanted if name not in columns]:
        raise InputError(f"Got a table with the columns {columns[:20]}. Expected also {absent}.")
    if doubled := doubled_in(columns):
        raise InputError(f"Got a table with several columns of one name: {doubled}. Rename or drop them.")
    return columns


def doubled_in(names: Sequence[Any]) -> list[Any]:
    """List the names that are there more than once."""
    return [name for name, n in Counter(names).items() if n > 1]
