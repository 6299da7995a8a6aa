"""Columns of other libraries (pandas, polars, pyarrow, daft, datasets) -> their cells, without copying what they hold.

Like ``_decode.py``, this file also runs, byte for byte, where there is nothing but numpy, Pillow and simplejpeg.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


class Cells(Sequence[Any]):
    """Rows that are made when they are asked for: those of a column that is not a list.

    Parameters
    ----------
    n : int
        How many.
    get : callable
        Returns the cell of a row.

    Examples
    --------
    >>> from featx.images import Cells
    >>> list(Cells(3, str))
    ['0', '1', '2']
    """

    def __init__(self, n: int, get: Callable[[int], Any]):
        self._n = n
        self._get = get

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self._get(i) for i in range(*row.indices(self._n))]
        return self._get(range(self._n)[row])


def library_of(column: object) -> str | None:
    """Name the library whose column, or frame, it is; None of another object."""
    # A subclass of theirs, as of a user's own, keeps its index and its name.
    roots = (kind.__module__.partition(".")[0] for kind in type(column).__mro__)
    return next((root for root in roots if root in _CELLS_OF), None)


def cells_of(column: Any, library: str) -> Sequence[Any] | None:
    """List the cells of a column; None if it is another object of that library."""
    return _CELLS_OF[library](column)


def name_of_column(column: Any, library: str) -> str | None:
    """Name a column; None if it has no name."""
    name = getattr(column, "column_name" if library == "datasets" else "name", None)
    name = name() if callable(name) else name  # daft's is a method
    return None if name is None or name == "" else str(name)


def _pandas_cells(series: Any) -> Sequence[Any] | None:
    if not hasattr(series, "to_numpy"):
        return None
    array = getattr(series, "array", series)
    if type(getattr(series, "dtype", None)).__name__ == "ArrowDtype":
        return _arrow_cells(array.__arrow_array__())
    return list(series)


def _polars_cells(series: Any) -> Sequence[Any] | None:
    if not hasattr(series, "to_list"):
        return None
    if not _holds_images(str(series.dtype)):
        return series.to_list()
    try:
        # The newest types are views of what polars holds; older ones would be a second copy of it.
        return _arrow_cells(series.to_arrow(compat_level=_newest(series)))
    except ImportError:  # pyarrow is optional there
        return Cells(len(series), lambda i: _plain(series[i]))


def _arrow_cells(array: Any) -> Sequence[Any] | None:
    """Give a view of each row's bytes: lists of Arrow's own would be a second copy of what may be gigabytes."""
    if not hasattr(array, "to_pylist"):
        return None
    storage = getattr(array, "storage", array) if hasattr(array.type, "storage_type") else array
    kind = str(storage.type)
    if not _holds_images(kind):
        return storage.to_pylist()
    data = _bytes_of(storage, kind)
    if data is None:
        return Cells(len(storage), lambda i: storage[i].as_py())
    is_there = np.asarray(data.is_valid())
    return Cells(len(storage), lambda i: memoryview(data[i].as_buffer()) if is_there[i] else storage[i].as_py())


def _bytes_of(storage: Any, kind: str) -> Any:
    if "binary" in kind.partition("<")[0]:
        return storage
    if not kind.startswith("struct") or not any(
        field.name == "bytes" and "binary" in str(field.type) for field in storage.type
    ):
        return None
    import pyarrow.compute

    return pyarrow.compute.struct_field(storage, "bytes")


def _daft_cells(series: Any) -> Sequence[Any] | None:
    return series.to_pylist() if hasattr(series, "to_pylist") else None


def _dataset_cells(column: Any) -> Sequence[Any] | None:
    """Read a column of a dataset as it is stored: what it decodes has another digest and takes longer."""
    if not (hasattr(column, "source") and hasattr(column, "__getitem__") and hasattr(column, "__len__")):
        return None
    source, name, feature = column.source, column.column_name, column.features
    if type(feature).__name__ == "Image" and feature.decode and feature.mode is None and hasattr(source, "cast_column"):
        source = source.select_columns([name]).with_format(None).cast_column(name, type(feature)(decode=False))
        column = source[name]
        if getattr(source, "_indices", None) is None:
            return _arrow_cells(source.data.column(name))
    return Cells(len(column), lambda i: column[i])


def _newest(series: Any) -> Any:
    return sys.modules[type(series).__module__.partition(".")[0]].CompatLevel.newest()


_CELLS_OF: dict[str, Callable[[Any], Sequence[Any] | None]] = {
    "pandas": _pandas_cells,
    "polars": _polars_cells,
    "pyarrow": _arrow_cells,
    "daft": _daft_cells,
    "datasets": _dataset_cells,
}


def _holds_images(dtype: str) -> bool:
    """Whether it is binary or nested, by the name that Arrow or polars gives the type."""
    return dtype.casefold().startswith(("binary", "large_binary", "fixed_size_binary", "struct", "list", "large_list"))


def _plain(cell: Any) -> Any:
    # A cell of a list column is a Series by itself.
    return cell.to_list() if hasattr(cell, "to_list") else cell
