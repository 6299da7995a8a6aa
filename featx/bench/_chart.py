"""Results as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from featx.bench._result import BenchResult


def draw_chart(results: Sequence[BenchResult], path: str | Path) -> None:
    raise NotImplementedError
