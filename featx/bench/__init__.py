"""Measure how fast featx is on this machine: decoding, the network, both together, and the limit that they set."""

from featx.bench._measure import (
    BenchResult,
    EncoderBench,
    format_rate,
    format_table,
    images_per_second,
    run_bench,
    write_photos,
)

__all__ = [
    "BenchResult",
    "EncoderBench",
    "format_rate",
    "format_table",
    "images_per_second",
    "run_bench",
    "write_photos",
]
