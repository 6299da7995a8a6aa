"""What a user gives (images, or a table of several columns) -> one column an input of the bundle.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..exceptions import InputError
from ..images._accept import ImageColumn, as_column, is_missing

_DTYPES = {"number": np.float64, "integer": np.int64, "category": object}


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
    if len(inputs) == 1:
        X = {inputs[0]["name"]: _only_column(X, inputs[0]["name"])}
    elif not isinstance(X, Mapping) and not hasattr(X, "columns"):
        raise InputError(f"Got a {type(X).__name__}. Expected a frame or a dict with {_listed(inputs)}.")
    given = list(X.keys() if isinstance(X, Mapping) else X.columns)
    if absent := [entry["name"] for entry in inputs if entry["name"] not in given]:
        raise InputError(f"Got columns {_quoted(given)}. Expected also {_quoted(absent)}.")
    images = {entry["name"]: as_column(X[entry["name"]]) for entry in inputs if entry["kind"] == "image"}
    columns = Columns(images)
    for entry in inputs:
        if entry["kind"] != "image":
            columns.values[entry["name"]] = _read_values(list(X[entry["name"]]), entry, columns.reasons)
    lengths = {name: len(column) for name, column in (images | columns.values).items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"Got columns of different lengths: {lengths}. Expected one value a row in each.")
    return columns


def _only_column(X: Any, name: str) -> Any:
    """The one column of images, also where it stands in a table with others."""
    several = len(X) if isinstance(X, Mapping) else len(getattr(X, "columns", ()))
    return X[name] if isinstance(X, Mapping) or (several > 1 and name in X.columns) else X


def _read_values(values: list[Any], entry: Mapping[str, Any], reasons: dict[int, str]) -> np.ndarray:
    """One column; what cannot be read has a reason, and a value that stands for it."""
    kind = entry["kind"]
    stand_in = (entry["known"] or ["" if kind == "category" else 0])[0]
    read = np.full((len(values), 1), stand_in, _DTYPES[kind])
    for row, value in enumerate(values):
        try:
            read[row, 0] = _read_value(value, entry)
        except (TypeError, ValueError) as error:
            reasons.setdefault(row, f"{entry['name']}: {error}")
    return read


def _read_value(value: Any, entry: Mapping[str, Any]) -> Any:
    kind = entry["kind"]
    if is_missing(value) and not (value == "" and kind == "category"):
        if not entry["missing"]:
            raise ValueError(f"missing ({value!r}), which this pipeline does not take")
        return np.nan if kind == "number" else value
    if kind == "number":
        try:
            return float(value)
        except (TypeError, ValueError):
            raise ValueError(f"got {value!r}, expected a number") from None
    if kind == "integer" and (isinstance(value, str) or int(value) != value):
        raise ValueError(f"got {value!r}, expected an integer")
    value = int(value) if kind == "integer" else str(value)
    if entry["known"] is not None and value not in entry["known"]:
        raise ValueError(f"got {value!r}, expected one of {_quoted(entry['known'][:20])}")
    return value


def _listed(inputs: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{entry['name']!r} ({entry['kind']})" for entry in inputs)


def _quoted(names: Sequence[Any]) -> str:
    return ", ".join(map(repr, names)) or "none"
