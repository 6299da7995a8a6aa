from ._choose import RUNTIMES, check_devices, check_runtime, choose
from ._fold import folded_while_training
from ._graphs import load_graph, write_graph
from ._kept import graphs_folder
from ._loading import Runtime, get_runtime
from ._onnx import OPSET, to_onnx
from ._prepare import as_published, prepare
from ._torch import check_precision

__all__ = [
    "OPSET",
    "RUNTIMES",
    "Runtime",
    "as_published",
    "check_devices",
    "check_precision",
    "check_runtime",
    "choose",
    "folded_while_training",
    "get_runtime",
    "graphs_folder",
    "load_graph",
    "prepare",
    "to_onnx",
    "write_graph",
]
