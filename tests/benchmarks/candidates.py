"""Libraries for tests, in a module that other processes can import."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.benchmarks.libraries import Library


def read_sizes(name: str, task) -> object:
    return lambda paths: np.array([[Path(path).stat().st_size] for path in paths])


def break_on_reading(name: str, task) -> object:
    raise OSError("no weights\nand a long story")


def only_lite(encoder: str) -> str | None:
    return "lite" if "lite" in encoder else None


GOOD = Library("good", "numpy", ("numpy",), "numpy", only_lite, read_sizes)
BROKEN = Library("broken", "pillow", ("PIL",), "pillow", only_lite, break_on_reading)
ABSENT = Library("absent", "featx-absent", ("featx_absent",), "featx-absent[all]", only_lite, read_sizes)
