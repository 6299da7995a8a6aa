"""Write numpy's functions, of features and of targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from featx.deploy.export.heads._writer import UnwritableError, Writer

_LN = {2: float(np.log(2)), 10: float(np.log(10))}
_FUNCTIONS: dict[Callable[..., Any], Callable[[Writer, str], str]] = {
    np.exp: lambda graph, y: graph.op("Exp", y),
    np.expm1: lambda graph, y: graph.op("Sub", graph.op("Exp", y), 1.0),
    np.exp2: lambda graph, y: graph.op("Exp", graph.op("Mul", y, _LN[2])),
    special.exp2: lambda graph, y: graph.op("Exp", graph.op("Mul", y, _LN[2])),
    special.exp10: lambda graph, y: graph.op("Exp", graph.op("Mul", y, _LN[10])),
    np.log: lambda graph, y: graph.op("Log", y),
    np.log1p: lambda graph, y: graph.op("Log", graph.op("Add", y, 1.0)),
    np.log2: lambda graph, y: graph.op("Div", graph.op("Log", y), _LN[2]),
    np.log10: lambda graph, y: graph.op("Div", graph.op("Log", y), _LN[10]),
    np.sqrt: lambda graph, y: graph.op("Sqrt", y),
    np.square: lambda graph, y: graph.op("Mul", y, y),
    np.abs: lambda graph, y: graph.op("Abs", y),
    np.negative: lambda graph, y: graph.op("Neg", y),
    np.reciprocal: lambda graph, y: graph.op("Div", 1.0, y),
    np.sinh: lambda graph, y: graph.op(
        "Mul", graph.op("Sub", graph.op("Exp", y), graph.op("Exp", graph.op("Neg", y))), 0.5
    ),
    special.expit: lambda graph, y: graph.sigmoid(y),
}


def write_function(graph: Writer, function: Callable[..., Any], x: str) -> str:
    """Write a function of float64, element by element."""
    if function not in _FUNCTIONS:
        raise UnwritableError(f"the function {function!r}")
    return _FUNCTIONS[function](graph, x)
