"""OpenVINO: the runtime for CPUs, which runs the graph that torch's network was converted to."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from featx._process import no_telemetry
from featx.encoders import EncoderSpec
from featx.exceptions import DeviceError
from featx.runtimes._graphs import load_graph

with no_telemetry():
    import openvino

# The f32 hint is always given: OpenVINO's default is bfloat16 where the processor has it.
_HINTS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoRuntime:
    """A converted network; see `Runtime`.

    Each of n threads that call `run` at once gets one processor, which is
    faster than n processors for one batch (no barrier after each layer; a few
    images stay in the processor's cache). A call that is `alone` gets all.

    Parameters
    ----------
    specs : sequence of EncoderSpec
        Layers of one network.
    n_threads : int
        Number of processors.

    Raises
    ------
    ConversionError
        If OpenVINO cannot take the network.
    DeviceError
        If the processor does not run the specs' precision.
    """

    name, device = "openvino", "cpu"
    batch_size = 4

    def __init__(self, specs: Sequence[EncoderSpec], n_threads: int):
        self._hint = _hint(specs[0].precision)
        self._n_threads = n_threads
        self._model = load_graph(specs)
        self.dims = tuple(output.get_partial_shape()[1].get_length() for output in self._model.outputs)
        self._lock = threading.Lock()
        self._free: dict[int, queue.SimpleQueue] = {}

    def run(self, batch: np.ndarray, *, alone: bool = False) -> np.ndarray:
        """Encode a batch; see `Runtime.run`."""
        with self._request(1 if alone else self._n_threads) as request:
            outputs = request.infer([np.ascontiguousarray(batch)], share_inputs=True)
            return np.concatenate([outputs[i] for i in range(len(self.dims))], axis=1)

    def close(self) -> None:
        """Release the memory."""
        self._free.clear()
        del self._model

    @contextmanager
    def _request(self, streams: int) -> Iterator[openvino.InferRequest]:
        with self._lock:
            if streams not in self._free:
                self._free[streams] = self._compile(streams)
        free = self._free[streams]
        request = free.get()
        try:
            yield request
        finally:
            free.put(request)

    def _compile(self, streams: int) -> queue.SimpleQueue:
        settings = {
            "INFERENCE_PRECISION_HINT": self._hint,
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": self._n_threads,
            "ENABLE_CPU_PINNING": False,  # other processes, and threads that decode, want the processors too
        }
        compiled = openvino.Core().compile_model(self._model, "CPU", settings)
        free: queue.SimpleQueue = queue.SimpleQueue()
        for _ in range(streams):
            free.put(compiled.create_infer_request())
        return free


def _hint(precision: str) -> str:
    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    runs = ["float32"] + ["bfloat16"] * ("BF16" in capabilities)
    if precision not in runs:
        why = " It needs a CUDA device."
        if precision == "bfloat16":
            why = " Bfloat16 needs AVX512-BF16 or AMX; runtime='torch' emulates it."
        raise DeviceError(
            f"Got precision={precision!r}. Expected {' or '.join(map(repr, runs))} on this processor.{why}"
        )
    return _HINTS[precision]
