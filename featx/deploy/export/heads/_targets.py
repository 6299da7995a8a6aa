"""Write regressors of a transformed target: what they predict, transformed back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from featx.deploy.export.heads._functions import write_function
from featx.deploy.export.heads._writer import Rows, UnwritableError, Writer, qualified, writes


@writes("number", "sklearn.TransformedTargetRegressor")
def _transformed_target(graph: Writer, step: Any, rows: Rows) -> str:
    return _inverse(graph, step.transformer_, graph.write(step.regressor_, "number", rows))


def _inverse(graph: Writer, transformer: Any, y: str) -> str:
    """Write what a transformer makes of transformed targets."""
    if isinstance(transformer, Pipeline):
        for _, step in reversed(transformer.steps):
            y = y if step in (None, "passthrough") else _inverse(graph, step, y)
        return y
    write = _INVERSES.get(qualified(transformer))
    if write is None:
        raise UnwritableError(f"a target transformed by {type(transformer).__name__}")
    return write(graph, transformer, y)


def _of_function(graph: Writer, transformer: Any, y: str) -> str:
    function = transformer.inverse_func
    if function is None:
        return y
    if transformer.inv_kw_args:
        raise UnwritableError(f"a target transformed back by {function!r} with arguments")
    return write_function(graph, function, y)


def _of_scaler(graph: Writer, transformer: Any, y: str) -> str:
    shift = next((getattr(transformer, name) for name in ("mean_", "center_") if hasattr(transformer, name)), None)
    if transformer.scale_ is not None:
        y = graph.op("Mul", y, np.asarray(transformer.scale_, np.float64)[None])
    return y if shift is None else graph.op("Add", y, np.asarray(shift, np.float64)[None])


def _of_range(graph: Writer, transformer: Any, y: str) -> str:
    y = graph.op("Sub", y, np.asarray(transformer.min_, np.float64)[None])
    return graph.op("Div", y, np.asarray(transformer.scale_, np.float64)[None])


def _of_power(graph: Writer, transformer: Any, y: str) -> str:
    if transformer.standardize:
        y = _of_scaler(graph, transformer._scaler, y)
    write = _box_cox if transformer.method == "box-cox" else _yeo_johnson
    n = len(transformer.lambdas_)
    parts = [y] if n == 1 else [graph.columns(y, [i]) for i in range(n)]
    return graph.beside(
        [write(graph, part, float(power)) for part, power in zip(parts, transformer.lambdas_, strict=True)]
    )


def _box_cox(graph: Writer, y: str, power: float) -> str:
    if power == 0:
        return graph.op("Exp", y)
    return graph.op("Pow", graph.op("Add", graph.op("Mul", y, power), 1.0), 1 / power)


def _yeo_johnson(graph: Writer, y: str, power: float) -> str:
    above = graph.op("Max", y, 0.0)
    if abs(power) < np.spacing(1.0):
        positive = graph.op("Sub", graph.op("Exp", above), 1.0)
    else:
        positive = graph.op("Sub", graph.op("Pow", graph.op("Add", graph.op("Mul", above, power), 1.0), 1 / power), 1.0)
    below = graph.op("Min", y, 0.0)
    if abs(power - 2) > np.spacing(1.0):
        root = graph.op("Pow", graph.op("Add", graph.op("Mul", below, power - 2), 1.0), 1 / (2 - power))
    else:
        root = graph.op("Exp", graph.op("Neg", below))
    is_positive = graph.op("GreaterOrEqual", y, 0.0)
    return graph.op("Where", is_positive, positive, graph.op("Sub", 1.0, root))


def _of_quantiles(graph: Writer, transformer: Any, y: str) -> str:
    if transformer.quantiles_.shape[1] > 1:
        raise UnwritableError("several targets transformed by QuantileTransformer")
    if transformer.output_distribution == "normal":
        half = graph.op("Erf", graph.cast(graph.op("Div", y, float(np.sqrt(2))), np.float32))
        y = graph.op("Mul", graph.op("Add", graph.cast(half, np.float64), 1.0), 0.5)
    return interpolated(graph, y, transformer.references_, transformer.quantiles_[:, 0])


def interpolated(graph: Writer, x: str, at: np.ndarray, values: np.ndarray) -> str:
    """Write `numpy.interp`: straight lines between points, and the last value beyond them; `x` has one column."""
    at, values = np.asarray(at, np.float64), np.asarray(values, np.float64)
    if len(at) == 1:
        return graph.op("Add", graph.op("Mul", x, 0.0), values)
    widths = np.diff(at)
    slopes = np.divide(np.diff(values), widths, out=np.zeros_like(widths), where=widths > 0)
    x = graph.op("Clip", x, at[0], at[-1])
    # The number of inner points at or below it: the line that it is on.
    passed = graph.cast(graph.op("GreaterOrEqual", x, at[None, 1:-1]), np.int64)
    line = graph.op("ReduceSum", passed, np.array([1]), keepdims=1)
    start, value, slope = (graph.op("Gather", array, line) for array in (at[:-1], values[:-1], slopes))
    return graph.op("Add", value, graph.op("Mul", slope, graph.op("Sub", x, start)))


_INVERSES: dict[str, Callable[[Writer, Any, str], str]] = {
    "sklearn.FunctionTransformer": _of_function,
    **dict.fromkeys([f"sklearn.{name}" for name in ("StandardScaler", "RobustScaler", "MaxAbsScaler")], _of_scaler),
    "sklearn.MinMaxScaler": _of_range,
    "sklearn.PowerTransformer": _of_power,
    "sklearn.QuantileTransformer": _of_quantiles,
}
