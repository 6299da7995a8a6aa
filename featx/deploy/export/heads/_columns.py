"""Write tables of columns and what becomes of a column: encoders of categories, the choice of columns, functions."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from featx.deploy._columns import UNKNOWN
from featx.deploy.export._inputs import unwrap
from featx.deploy.export.heads._functions import write_function
from featx.deploy.export.heads._writer import (
    FLOAT,
    INT64,
    ML,
    STRING,
    Rows,
    UnwritableError,
    Writer,
    write_by_skl2onnx,
    writes,
)

_SELECTORS = ("SelectKBest", "SelectPercentile", "SelectFpr", "SelectFdr", "SelectFwe", "GenericUnivariateSelect")
_OTHERS = ("VarianceThreshold", "SelectFromModel", "RFE", "RFECV", "SequentialFeatureSelector")


@writes("transform", "sklearn.ColumnTransformer")
def _table(graph: Writer, step: Any, rows: Rows) -> str:
    parts = []
    for name, transformer, _ in step.transformers_:
        columns = list(step._transformer_to_input_indices[name])
        if columns and not (isinstance(transformer, str) and transformer == "drop"):
            parts.append((name, transformer, _choose(graph, rows, columns)))
    return _side_by_side(graph, parts, step.transformer_weights)


@writes("transform", "sklearn.FeatureUnion")
def _union(graph: Writer, step: Any, rows: Rows) -> str:
    used = [(name, part) for name, part in step.transformer_list if not isinstance(part, str) or part != "drop"]
    return _side_by_side(graph, [(name, part, rows) for name, part in used], step.transformer_weights)


def _side_by_side(graph: Writer, parts: Sequence[tuple[str, Any, Rows]], weights: Any) -> str:
    tensors = []
    for name, transformer, rows in parts:
        is_identity = transformer is None or isinstance(transformer, str)
        tensor = graph.cast((rows if is_identity else graph.transform(unwrap(transformer), rows)).name, np.float32)
        if weights and name in weights:
            tensor = graph.op("Mul", tensor, np.float32(weights[name]))
        tensors.append(tensor)
    return graph.beside(tensors)


def _choose(graph: Writer, rows: Rows, columns: Sequence[int]) -> Rows:
    """Choose columns of what lies side by side: one tensor where they are of one type, or numbers."""
    if len(rows.names) == 1 and not rows.widths[0]:
        return Rows((graph.columns(rows.name, columns),), rows.types, (len(columns),))
    places = [(tensor, column) for tensor, width in enumerate(rows.widths) for column in range(width)]
    runs: list[tuple[int, list[int]]] = []
    for tensor, column in (places[position] for position in columns):
        if runs and runs[-1][0] == tensor:
            runs[-1][1].append(column)
        else:
            runs.append((tensor, [column]))
    names, types, widths = [], [], []
    for tensor, chosen in runs:
        is_all = chosen == list(range(rows.widths[tensor]))
        names.append(rows.names[tensor] if is_all else graph.columns(rows.names[tensor], chosen))
        types.append(rows.types[tensor])
        widths.append(len(chosen))
    if set(types) == {FLOAT, INT64}:
        names, types = [graph.cast(name, np.float32) for name in names], [FLOAT] * len(names)
    if len(names) > 1 and len(set(types)) == 1:
        return Rows((graph.beside(names),), (types[0],), (sum(widths),))
    return Rows(tuple(names), tuple(types), tuple(widths))


# Categories

_ONE_HOT, _ORDINAL = "sklearn.OneHotEncoder", "sklearn.OrdinalEncoder"


@writes("transform", _ONE_HOT)
def _one_hot(graph: Writer, step: Any, rows: Rows) -> str:
    parts = []
    for column, codes in zip(_columns(graph, step, rows), _codes(step, step._n_features_outs), strict=True):
        # The position of the one among the columns; -1 where there is none.
        ones = np.array([row.argmax() if row.any() else -1 for row in codes])
        place = graph.op("Gather", ones, column)
        parts.append(graph.cast(graph.op("Equal", place, np.arange(codes.shape[1])[None]), np.float32))
    return graph.beside(parts)


@writes("transform", _ORDINAL)
def _ordinal(graph: Writer, step: Any, rows: Rows) -> str:
    columns, codes = _columns(graph, step, rows), _codes(step, [1] * len(step.categories_))
    return graph.beside(
        [graph.op("Gather", code[:, 0].astype(np.float32), column) for column, code in zip(columns, codes, strict=True)]
    )


def _codes(step: Any, widths: Sequence[int]) -> list[np.ndarray]:
    """Ask an encoder of each column what its categories become, and last what others do."""
    longest = max(len(categories) for categories in step.categories_)
    is_object = any(categories.dtype.kind in "OU" for categories in step.categories_)
    known = [np.resize(categories, longest) for categories in step.categories_]
    table = np.stack([part.astype(object) if is_object else part for part in known], axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on names of columns, and on categories that are not known
        every = _dense(step.transform(table))
        try:
            others = [UNKNOWN if part.dtype.kind in "OU" else _other_number(part) for part in step.categories_]
            unknown = _dense(step.transform(np.array([others], object if is_object else None)))
        except ValueError:  # it takes none, and a bundle gets none
            unknown = np.zeros((1, every.shape[1]))
    ends = np.cumsum(widths)
    return [
        np.concatenate([every[: len(categories), end - width : end], unknown[:, end - width : end]])
        for categories, width, end in zip(step.categories_, widths, ends, strict=True)
    ]


def _other_number(categories: np.ndarray) -> int:
    """Find a number that is no category: a small one, for float64 tells not all large ones apart."""
    known = set(categories.tolist())
    return next(i for i in range(len(known) + 1) if i not in known)


def _dense(encoded: Any) -> np.ndarray:
    return encoded.toarray() if hasattr(encoded, "toarray") else np.asarray(encoded)


def _columns(graph: Writer, step: Any, rows: Rows) -> list[str]:
    """Write the position of each column's value among its categories, int64 (n, 1); behind the last one of others."""
    found = []
    places = [(name, kind, j) for name, kind, width in _tensors(step, rows) for j in range(width)]
    for (name, kind, column), categories in zip(places, step.categories_, strict=True):
        values = graph.columns(name, [column])
        found.append(_position(graph, values, kind, categories))
    return found


def _tensors(step: Any, rows: Rows) -> list[tuple[str, int, int]]:
    widths = rows.widths if rows.widths[0] else (len(step.categories_),)
    return list(zip(rows.names, rows.types, widths, strict=True))


def _position(graph: Writer, values: str, kind: int, categories: np.ndarray) -> str:
    n = len(categories)
    if kind == STRING:
        # In the graph what is missing is text, and a text that looks like it is marked: see `as_tensor`.
        keys = [_as_key(category) for category in categories.tolist()]
        numbers = {"values_int64s": list(range(n)), "default_int64": n}
        return graph.op("LabelEncoder", values, domain=ML, keys_strings=keys, **numbers)
    if categories.dtype.kind in "OU":
        raise UnwritableError(f"categories of {categories.dtype} in a column of numbers")
    wanted = categories.astype(np.int64 if kind == INT64 else np.float32)
    if len(np.unique(wanted)) < n:
        raise UnwritableError("categories that float32 does not tell apart")
    equal = graph.op("Equal", values, wanted[None])
    if kind == FLOAT and np.isnan(wanted).any():
        equal = graph.op("Or", equal, graph.op("And", graph.op("IsNaN", values), np.isnan(wanted)[None]))
    positions = graph.op("Where", equal, np.arange(n)[None], np.array(n))
    return graph.op("ReduceMin", positions, np.array([1]), keepdims=1)


def _as_key(category: Any) -> str:
    if not isinstance(category, str):
        return "None" if category is None else "nan"
    return UNKNOWN + category if category in ("nan", "None") else category


# Numbers


@writes("transform", *(f"sklearn.{name}" for name in (*_SELECTORS, *_OTHERS)))
def _selected(graph: Writer, step: Any, rows: Rows) -> str:
    return graph.columns(rows.name, step.get_support(indices=True))


@writes("transform", "sklearn.FunctionTransformer")
def _function(graph: Writer, step: Any, rows: Rows) -> str:
    if step.func is None:
        return rows.name
    if step.kw_args:
        raise UnwritableError(f"FunctionTransformer({step.func!r}) with arguments")
    return graph.cast(write_function(graph, step.func, graph.double(rows)), np.float32)


@writes("transform", "sklearn.SimpleImputer")
def _imputed(graph: Writer, step: Any, rows: Rows) -> str:
    """Write the column's statistic where it is NaN, and beside it where that was."""
    if set(rows.types) != {FLOAT} or not _is_nan(step.missing_values):
        if step.add_indicator:
            raise UnwritableError("SimpleImputer(add_indicator=True) of other things than NaN in numbers")
        return write_by_skl2onnx(graph, step, "transform", rows)
    statistics = step.statistics_.astype(np.float64)
    filled = graph.op("Where", graph.op("IsNaN", rows.name), statistics.astype(np.float32)[None], rows.name)
    kept = np.flatnonzero(~np.isnan(statistics))  # of a column that had no value nothing comes out
    parts = [graph.columns(filled, kept)]
    if step.add_indicator:
        parts.append(graph.write(step.indicator_, "transform", rows))
    return graph.beside(parts)


@writes("transform", "sklearn.MissingIndicator")
def _missing(graph: Writer, step: Any, rows: Rows) -> str:
    if not _is_nan(step.missing_values):
        raise UnwritableError("MissingIndicator of other things than NaN in numbers")
    is_missing = graph.op("IsNaN", graph.cast(rows.name, np.float32))
    return graph.cast(graph.columns(is_missing, step.features_), np.float32)


def _is_nan(mark: Any) -> bool:
    return isinstance(mark, float | np.floating) and bool(np.isnan(mark))


@writes("transform", "featx.EmbeddingNormalizer")
def _signed_root(graph: Writer, step: Any, rows: Rows) -> str:
    """Write sign(x) sqrt(|x| / sum |x|), which is the root over its length."""
    x = graph.double(rows)
    size = graph.op("Abs", x)
    total = graph.row_sums(size)
    # By a shorter length scikit-learn's `normalize` does not divide.
    is_short = graph.op("Less", graph.op("Sqrt", total), 10 * float(np.finfo(np.float32).eps))
    root = graph.op("Sqrt", graph.op("Div", size, graph.op("Where", is_short, 1.0, total)))
    return graph.cast(graph.op("Mul", graph.op("Sign", x), root), np.float32)
