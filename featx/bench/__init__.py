"""How fast featx is on this machine: its parts, its limit, and other libraries on the same images and network."""

from featx.bench._chart import check_chart, draw_chart
from featx.bench._photos import write_photos
from featx.bench._result import BenchResult, PeerResult
from featx.bench._run import run_bench
from featx.bench._table import format_table

__all__ = ["BenchResult", "PeerResult", "check_chart", "draw_chart", "format_table", "run_bench", "write_photos"]
