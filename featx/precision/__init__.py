"""Lower precision than float32: what it costs, what it gains, and encoders in 8-bit integers."""

from featx.precision._compare import compare_precisions
from featx.precision._quantize import import_nncf, quantize_encoder, quantize_graph

__all__ = ["compare_precisions", "import_nncf", "quantize_encoder", "quantize_graph"]
