from ._choose import RUNTIMES, check_devices, check_runtime, choose
from ._graphs import graphs_folder, load_graph, write_graph
from ._loading import get_runtime
from ._onnx import OPSET, to_onnx
from ._precision import check_precision, float32_mode
from ._telemetry import no_telemetry
from .base import Runtime

__all__ = [
    "OPSET",
    "RUNTIMES",
    "Runtime",
    "check_devices",
    "check_precision",
    "check_runtime",
    "choose",
    "float32_mode",
    "get_runtime",
    "graphs_folder",
    "load_graph",
    "no_telemetry",
    "to_onnx",
    "write_graph",
]
