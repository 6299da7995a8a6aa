"""An object for tests, in a module that other processes import in no time."""

from __future__ import annotations

import os
import time

from featx.exceptions import ParameterError


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
