"""Read what a user gives (images, or a table of several columns) as one column for each input of the bundle.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..exceptions import InputError, describe
from ..images._accept import ImageColumn, as_column, column_names

_DTYPES = {"number": np.float64, "integer": np.int64, "category": object}
# A category that no table has.
UNKNOWN = "\N{REPLACEMENT CHARACTER}"


class _Null:
    """JSON's null: the missing value that a column of categories was fitted with."""

    def __repr__(self) -> str:
        return "null"


NULL = _Null()
_IMAGE_KEYS = {"box", "bytes", "path", "data"}
_EXACT = 2**53  # from here on float64 does not distinguish all integers
_LARGEST = {"number": float(np.finfo(np.float32).max), "integer": int(np.iinfo(np.int64).max)}


@dataclass
class Columns:
    """A table that has been read.

    Attributes
    ----------
    images : dict of str to ImageColumn
        The columns of images, by name.
    values : dict of str to ndarray of shape (n, 1)
        The other columns, by name: float64, int64 or object (str, or what stands for a missing one).
    reasons : dict of int to str
        Why a value cannot be used, by row.
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
    X : container of images, or mapping of str to column, or frame, or list of mappings
        Images, or a table where `inputs` has several entries; a list has a mapping for each row.
    inputs : sequence of mapping
        The bundle's inputs: ``name``, ``kind`` ("image", "number", "integer"
        or "category"), ``missing`` (whether a value may be; of a category the
        kinds that may, of "NaN", "None" and "NA", first the one that null stands
        for), ``known`` (categories, or None) and ``others`` (whether other values
        are taken too, as an unknown category).

    Returns
    -------
    Columns
        The columns, and what is wrong with their values.

    Raises
    ------
    InputError
        If a column is missing, or columns differ in length.
    """
    if _are_rows(X, inputs):
        X = _columns_of(X, [entry["name"] for entry in inputs])
    if len(inputs) == 1 and not _has_column(X, inputs[0]["name"]):
        X = {inputs[0]["name"]: X}
    elif not isinstance(X, Mapping) and not hasattr(X, "columns"):
        raise InputError(f"Got a {type(X).__name__}. Expected a frame or a dict with {_listed(inputs)}.")
    given = list(X.keys()) if isinstance(X, Mapping) else column_names(X)
    if absent := [entry["name"] for entry in inputs if entry["name"] not in given]:
        raise InputError(f"Got columns {_quoted(given)}. Expected also {_quoted(absent)}.")
    images = {entry["name"]: as_column(X[entry["name"]]) for entry in inputs if entry["kind"] == "image"}
    columns = Columns(images)
    for entry in inputs:
        if entry["kind"] != "image":
            column = _in_one(X[entry["name"]])
            values = _as_list(column, entry["name"])
            seen_as = "" if entry["kind"] == "category" else _seen_as(column)
            columns.values[entry["name"]] = _read_values(values, entry, columns.reasons, seen_as)
    lengths = {name: len(column) for name, column in (images | columns.values).items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"Got columns of different lengths: {lengths}. Expected one value a row in each.")
    return columns


def _are_rows(X: Any, inputs: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether it is a list of rows, and not of images that are dicts."""
    if not isinstance(X, list | tuple) or not all(isinstance(row, Mapping) for row in X):
        return False
    return len(inputs) > 1 or (bool(X) and all(inputs[0]["name"] in row and not _IMAGE_KEYS & row.keys() for row in X))


def _columns_of(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, list[Any]]:
    for i, row in enumerate(rows):
        if absent := [name for name in names if name not in row]:
            raise InputError(
                f"Got no {_quoted(absent)} in row {i}. Expected {_quoted(names)} in each; None is missing."
            )
    return {name: [row[name] for row in rows] for name in names}


def _has_column(X: Any, name: str) -> bool:
    """Return whether it is a table, and not a column of images by itself."""
    return isinstance(X, Mapping) or (len(getattr(X, "columns", ())) > 1 and name in column_names(X))


def _in_one(column: Any) -> Any:
    """Join the chunks of pyarrow's column: of several numpy takes a missing value of a dictionary for its last one."""
    return column.combine_chunks() if hasattr(column, "combine_chunks") else column


def _as_list(column: Any, name: str) -> list[Any]:
    is_array = hasattr(column, "__array__") and len(getattr(column, "shape", (0,))) == 1
    if not is_array and (isinstance(column, str | bytes) or not isinstance(column, Sequence)):
        raise InputError(
            f"Got a {type(column).__name__} as column {name!r}. Expected a list, an array or a Series: one value a row."
        )
    # scikit-learn sees numpy's form of objects, which has other missing values.
    return list(seen if is_array and (seen := np.asarray(column)).dtype.kind == "O" else column)


def _seen_as(column: Any) -> str:
    """Return the kind of dtype that scikit-learn makes of a column of numbers; "" of a list, where values decide."""
    dtype = getattr(column, "dtype", None)
    # pandas' nullable and pyarrow's numbers, with and without missing values, or with nothing else
    if getattr(dtype, "numpy_dtype", np.dtype(object)).kind in "biuf" or str(dtype) == "null[pyarrow]":
        return "f"
    return np.asarray(column).dtype.kind if hasattr(column, "__array__") else ""


def _read_values(values: list[Any], entry: Mapping[str, Any], reasons: dict[int, str], seen_as: str) -> np.ndarray:
    """Read one column; what cannot be read has a reason, and a value that stands for it."""
    known = None if entry["known"] is None else frozenset(entry["known"])
    # One that a head takes: a bad row must not cost the others.
    stand_in = (entry["known"] or ["" if entry["kind"] == "category" else 0])[0]
    read: np.ndarray = np.full((len(values), 1), stand_in, _DTYPES[entry["kind"]])
    for row, value in enumerate(values):
        try:
            if entry["kind"] == "category":
                read[row, 0] = _read_category(value, entry, known)
            else:
                read[row, 0] = _read_number(value, entry, known, seen_as)
        except ValueError as error:
            reasons.setdefault(row, f"{entry['name']}: {error}")
    return read


def _read_category(value: Any, entry: Mapping[str, Any], known: frozenset[str] | None) -> Any:
    """Return text, or what a pipeline distinguishes from it: NaN, None, or an unknown category."""
    nulls = entry.get("nulls")
    if nulls and isinstance(value, str) and (value in nulls or not value.strip()):
        value = np.nan
    if missing := _missing_kind(value, entry):
        if missing in entry["missing"]:
            return np.nan if nulls is not None else {"NaN": np.nan, "None": None, "NA": UNKNOWN}[missing]
        taken = f" (it takes {', '.join(entry['missing'])})" if entry["missing"] else ""
        raise ValueError(f"missing ({value!r}), which this pipeline does not take{taken}")
    others = known is None or entry.get("others", False)
    if not isinstance(value, str):
        if not others or nulls is not None:
            raise ValueError(f"got {describe(value)}, expected text")
        return UNKNOWN  # as the pipeline sees it: no category that it has
    if not _is_whole(value):
        raise ValueError(f"got {value!r}, which is no text: it was read as UTF-8, and is in another encoding")
    if known is not None and not others and value not in known:
        raise ValueError(f"got {str(value)!r}, expected one of {_quoted(entry['known'][:20])}")
    return str(value)


def _is_whole(text: str) -> bool:
    """Return whether text has no half of a character, as JSON and bytes of other encodings may hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _missing_kind(value: Any, entry: Mapping[str, Any]) -> str | None:
    """Return which of the missing values it is: encoders of categories distinguish them."""
    if value is NULL:
        return (entry["missing"] or ["NaN"])[0]
    if value is None:
        return "None"
    if isinstance(value, float | np.floating) and np.isnan(value):
        return "NaN"
    return "NA" if type(value).__name__ in ("NAType", "NaTType") else None


def _read_number(value: Any, entry: Mapping[str, Any], known: frozenset[float] | None, seen_as: str) -> float | int:
    others = entry.get("others", False)
    if missing := _missing_kind(value, entry):
        # In a column of objects NA is never a number, and None is not one to an encoder of categories: it expects NaN.
        is_number = missing == "NaN" or seen_as != "O" or (missing == "None" and known is None)
        is_nan = entry["kind"] == "number" and is_number
        if not entry["missing"] or not (is_nan or others):
            raise ValueError(f"missing ({value!r}), which this pipeline does not take")
        return np.nan if is_nan else _unknown(known)
    number = _to_number(value, entry["kind"], known is not None, others)
    rounds = entry["kind"] == "integer" and seen_as in ("u", "f")
    if rounds and abs(number) >= _EXACT and (taken := _rounded(number, known)) != number:
        raise ValueError(
            f"got {number}, which the pipeline takes for {taken} in a column of this dtype: scikit-learn makes it "
            "float64. Expected int64 without missing values"
        )
    if known is None or number in known:
        return number
    if not others:
        raise ValueError(f"got {number!r}, expected one of {_quoted(entry['known'][:20])}")
    return _unknown(known)


def _rounded(number: float, known: frozenset[float] | None) -> float:
    """Find the integer, or known category, that float64 does not distinguish from it."""
    if known is None:
        return int(float(number))
    return min((other for other in known if float(other) == float(number)), default=number)


def _unknown(known: frozenset[float] | None) -> int:
    """Choose a number that is not a category, not in float32 either."""
    taken = {float(np.float32(number)) for number in known or ()}
    return next(number for number in range(len(taken) + 1) if number not in taken)


def _to_number(value: Any, kind: str, is_category: bool, others: bool) -> float | int:
    """Make it a number that float32, or int64, can hold; text of digits is not a category of numbers."""
    try:
        if isinstance(value, complex | np.complexfloating) or (is_category and isinstance(value, str | bytes)):
            raise TypeError
        number = float(value)
        if kind == "integer" and (number.is_integer() or not others):
            number = int(value)
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
