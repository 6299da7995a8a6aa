"""Less than float32: what it costs, what it gains, and encoders of 8-bit integers."""

from featx.precision._compare import compare_precisions
from featx.precision._quantize import quantize_encoder

__all__ = ["compare_precisions", "quantize_encoder"]
