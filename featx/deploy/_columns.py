"""What a user gives (images, or a table of several columns) -> one column an input of the bundle.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..exceptions import InputError, describe
from ..images._accept import ImageColumn, as_column, is_missing

_DTYPES = {"number": np.float64, "integer": np.int64, "category": object}
# No category of anybody's.
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
_LARGEST = {"number": float(np.finfo(np.float32).max), "integer": int(np.iinfo(np.int64).max)}


@dataclass
class Columns:
    """A table, read.

    Attributes
    ----------
    images : dict of str to ImageColumn
    values : dict of str to ndarray of shape (n, 1)
        float64, int64 or object (str, or what stands for a missing one), by name.
    reasons : dict of int to str
        Row -> why one of its values cannot be used.
    """

    images: dict[str, ImageColumn]
    values: dict[str, np.ndarray] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.first)

    @property
    def first(self) -> ImageColumn:
        """The images that rows are named after."""
        return next(iter(self.images.values()))


def read_columns(X: Any, inputs: Sequence[Mapping[str, Any]]) -> Columns:
    """Read images, or a table.

    Parameters
    ----------
    X : container of images, or mapping of str to column, or frame
        A table where `inputs` has several entries.
    inputs : sequence of mapping
        The bundle's inputs: ``name``, ``kind`` ("image", "number", "integer"
        or "category"), ``missing`` (whether a value may be) and ``known`` (the
        categories that are, None where others are too).

    Returns
    -------
    Columns

    Raises
    ------
    InputError
        If a column is not there, or columns differ in length.
    """
    if len(inputs) == 1 and not _has_column(X, inputs[0]["name"]):
        X = {inputs[0]["name"]: X}
    elif not isinstance(X, Mapping) and not hasattr(X, "columns"):
        raise InputError(f"Got a {type(X).__name__}. Expected a frame or a dict with {_listed(inputs)}.")
    given = list(X.keys() if isinstance(X, Mapping) else X.columns)
    if absent := [entry["name"] for entry in inputs if entry["name"] not in given]:
        raise InputError(f"Got columns {_quoted(given)}. Expected also {_quoted(absent)}.")
    images = {entry["name"]: as_column(X[entry["name"]]) for entry in inputs if entry["kind"] == "image"}
    columns = Columns(images)
    for entry in inputs:
        if entry["kind"] != "image":
            values = _as_list(X[entry["name"]], entry["name"])
            columns.values[entry["name"]] = _read_values(values, entry, columns.reasons)
    lengths = {name: len(column) for name, column in (images | columns.values).items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"Got columns of different lengths: {lengths}. Expected one value a row in each.")
    return columns


def _has_column(X: Any, name: str) -> bool:
    """Whether it is a table, and no column of images by itself."""
    return isinstance(X, Mapping) or (len(getattr(X, "columns", ())) > 1 and name in X.columns)


def _as_list(column: Any, name: str) -> list[Any]:
    is_array = hasattr(column, "__array__") and len(getattr(column, "shape", (0,))) == 1
    if not is_array and (isinstance(column, str | bytes) or not isinstance(column, Sequence)):
        raise InputError(
            f"Got a {type(column).__name__} as column {name!r}. Expected a list, an array or a Series: one value a row."
        )
    return list(column)


def _read_values(values: list[Any], entry: Mapping[str, Any], reasons: dict[int, str]) -> np.ndarray:
    """One column; what cannot be read has a reason, and a value that stands for it."""
    # One that a head takes: a bad row must not cost the others.
    stand_in = (entry["known"] or ["" if entry["kind"] == "category" else 0])[0]
    read = np.full((len(values), 1), stand_in, _DTYPES[entry["kind"]])
    for row, value in enumerate(values):
        try:
            read[row, 0] = _read_value(value, entry)
        except ValueError as error:
            reasons.setdefault(row, f"{entry['name']}: {error}")
    return read


def _read_value(value: Any, entry: Mapping[str, Any]) -> Any:
    kind = entry["kind"]
    if is_missing(value) and not (isinstance(value, str) and kind == "category"):
        if not entry["missing"]:
            raise ValueError(f"missing ({value!r}), which this pipeline does not take")
        return np.nan
    if kind == "category" and not isinstance(value, str):
        if entry["known"] is not None:
            raise ValueError(f"got {describe(value)}, expected text")
        return UNKNOWN  # as the pipeline sees it: no category that it has
    value = str(value) if kind == "category" else _to_number(value, kind)
    if entry["known"] is not None and value not in entry["known"]:
        raise ValueError(f"got {value!r}, expected one of {_quoted(entry['known'][:20])}")
    return value


def _to_number(value: Any, kind: str) -> float | int:
    """What float32, or int64, can hold."""
    try:
        number = float(value) if kind == "number" else int(value)
        fits = abs(number) <= _LARGEST[kind] and (kind == "number" or number == value)
    except (TypeError, ValueError, ArithmeticError):
        fits = False
    if not fits:
        raise ValueError(f"got {describe(value)}, expected {'a finite number' if kind == 'number' else 'an integer'}")
    return number


def _listed(inputs: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{entry['name']!r} ({entry['kind']})" for entry in inputs)


def _quoted(names: Sequence[Any]) -> str:
    return ", ".join(map(repr, names)) or "none"
