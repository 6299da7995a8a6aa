"""Lower precision than float32: what it costs, what it gains, and encoders in 8-bit integers."""

from featx.precision._available import EVERY_PRECISION, INT8, UNAVAILABLE, in_precision
from featx.precision._by_layer import precision_by_layer
from featx.precision._compare import compare_precisions
from featx.precision._quantize import import_nncf, quantize_encoder, quantize_graph

__all__ = [
    "EVERY_PRECISION",
    "INT8",
    "UNAVAILABLE",
    "compare_precisions",
    "import_nncf",
    "in_precision",
    "precision_by_layer",
    "quantize_encoder",
    "quantize_graph",
]
