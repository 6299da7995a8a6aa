"""Measure how fast featx is on this machine: decoding, the network, both together, and the limit that they set."""

from featx.bench._measure import EncoderBench, images_per_second, run_bench
from featx.bench._photos import write_photos
from featx.bench._result import BenchResult, format_rate, format_table

__all__ = [
    "BenchResult",
    "EncoderBench",
    "format_rate",
    "format_table",
    "images_per_second",
    "run_bench",
    "write_photos",
]
