"""Several devices that share the work: each call goes to one that is free."""

from __future__ import annotations

import queue
from collections.abc import Sequence

import numpy as np

from featx.runtimes.base import Runtime

# While a device runs one batch, the next is on its way to it.
_CALLS_A_DEVICE = 2


class SeveralDevices:
    """Runtimes of one network on several devices; see `Runtime`.

    Threads of this process serve them, so no ``if __name__ == "__main__"`` is needed.

    Parameters
    ----------
    runtimes : sequence of Runtime
        They differ in their device.
    """

    def __init__(self, runtimes: Sequence[Runtime]):
        self.name, self.dims = runtimes[0].name, runtimes[0].dims
        self.batch_size = runtimes[0].batch_size
        self.device = ",".join(runtime.device for runtime in runtimes)
        self._runtimes = list(runtimes)
        self._free: queue.SimpleQueue[Runtime] = queue.SimpleQueue()
        for runtime in self._runtimes * _CALLS_A_DEVICE:
            self._free.put(runtime)

    def run(self, batch: np.ndarray, *, alone: bool = False) -> np.ndarray:
        """Encode; see `Runtime.run`."""
        runtime = self._free.get()
        try:
            return runtime.run(batch, alone=alone)
        finally:
            self._free.put(runtime)

    def close(self) -> None:
        """Give memory back."""
        for runtime in self._runtimes:
            runtime.close()
