"""Objects and libraries for tests, in a module that other processes can import."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from featx.exceptions import ParameterError
from tests.benchmarks.libraries import Library


class Counter:
    """Counts its calls, and fails in several ways."""

    def __init__(self, start: int):
        if start < 0:
            raise ParameterError(f"Got start={start}.")
        self._n = start

    def count(self) -> int:
        self._n += 1
        print("noise")
        return self._n

    def fail(self) -> None:
        raise ParameterError("No.")

    def fail_strangely(self) -> None:
        class LocalError(Exception):
            pass

        raise LocalError("cannot be pickled")

    def die(self) -> None:
        os._exit(3)

    def work_long(self) -> None:
        time.sleep(60)

    def process(self) -> int:
        return os.getpid()


def read_sizes(name: str, task) -> object:
    return lambda paths: np.array([[Path(path).stat().st_size] for path in paths])


def break_on_reading(name: str, task) -> object:
    raise OSError("no weights\nand a long story")


def only_lite(encoder: str) -> str | None:
    return "lite" if "lite" in encoder else None


GOOD = Library("good", "numpy", ("numpy",), "numpy", only_lite, read_sizes)
BROKEN = Library("broken", "pillow", ("PIL",), "pillow", only_lite, break_on_reading)
ABSENT = Library("absent", "featx-absent", ("featx_absent",), "featx-absent[all]", only_lite, read_sizes)
