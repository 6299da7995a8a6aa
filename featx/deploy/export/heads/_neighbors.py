"""Write k nearest neighbours, of equal weight or weighted by their distance."""

from __future__ import annotations

from typing import Any

import numpy as np

from featx.deploy.export.heads._writer import Rows, UnwritableError, Writer, writes

_CLASSIFIER, _REGRESSOR = "sklearn.KNeighborsClassifier", "sklearn.KNeighborsRegressor"
_SAME = 1e-14  # of their squared lengths: so near are two rows that are one


def _distances(graph: Writer, step: Any, rows: Rows) -> str:
    """Write distances (n, n_fitted), in float64: their differences cancel in float32."""
    x, known = graph.double(rows), np.asarray(step._fit_X, np.float32)
    if (known != step._fit_X).any():
        raise UnwritableError(f"{type(step).__name__} of rows that float32 rounds")
    others = graph.cast(graph.constant(known.T), np.float64)
    lengths = (known.astype(np.float64) ** 2).sum(axis=1)[None]
    product = graph.op("MatMul", x, others)
    own = graph.row_sums(graph.op("Mul", x, x))
    metric = step.effective_metric_
    if metric == "cosine":
        norms = graph.op("Mul", graph.op("Sqrt", own), np.sqrt(lengths))
        safe = graph.op("Where", graph.op("Equal", norms, 0.0), 1.0, norms)
        distances = graph.op("Sub", 1.0, graph.op("Div", product, safe))
        return graph.op("Max", graph.op("Where", graph.op("Less", distances, 1e-15), 0.0, distances), 0.0)
    if metric != "euclidean":
        raise UnwritableError(f"{type(step).__name__} by the metric {metric!r}")
    size = graph.op("Add", own, lengths)
    squares = graph.op("Sub", size, graph.op("Mul", product, 2.0))
    is_same = graph.op("Less", squares, graph.op("Mul", size, _SAME))
    return graph.op("Sqrt", graph.op("Where", is_same, 0.0, squares))


def _nearest(graph: Writer, step: Any, rows: Rows) -> tuple[str, str]:
    """Write the positions of the nearest and their shares, each (n, k)."""
    distances, nearest = graph.ops(
        "TopK", _distances(graph, step, rows), np.array([step.n_neighbors]), outputs=2, axis=1, largest=0, sorted=1
    )
    if step.weights in (None, "uniform"):
        weights = graph.op("Add", graph.op("Mul", distances, 0.0), 1.0)
    elif step.weights == "distance":
        is_zero = graph.op("Equal", distances, 0.0)
        zeros = graph.cast(is_zero, np.float64)
        inverse = graph.op("Div", 1.0, graph.op("Where", is_zero, 1.0, distances))
        weights = graph.op("Where", graph.op("Greater", graph.row_sums(zeros), 0.0), zeros, inverse)
    else:
        raise UnwritableError(f"{type(step).__name__}(weights={step.weights!r})")
    return nearest, graph.op("Div", weights, graph.row_sums(weights))


def _weighted(graph: Writer, step: Any, rows: Rows, values: np.ndarray) -> str:
    """Write the neighbours' mean of values (n_fitted, m)."""
    nearest, shares = _nearest(graph, step, rows)
    gathered = graph.op("Gather", values.astype(np.float64), nearest)  # (n, k, m)
    return graph.op(
        "ReduceSum", graph.op("Mul", gathered, graph.op("Unsqueeze", shares, np.array([2]))), np.array([1]), keepdims=0
    )


@writes("number", _REGRESSOR)
def _number(graph: Writer, step: Any, rows: Rows) -> str:
    return _weighted(graph, step, rows, step._y.reshape(len(step._y), -1))


@writes("probabilities", _CLASSIFIER)
def _probabilities(graph: Writer, step: Any, rows: Rows) -> str:
    if not step.outputs_2d_:
        return _weighted(graph, step, rows, np.eye(len(step.classes_))[step._y])
    each = [np.eye(len(classes))[step._y[:, j]] for j, classes in enumerate(step.classes_)]
    return _weighted(graph, step, rows, np.concatenate(each, axis=1))
