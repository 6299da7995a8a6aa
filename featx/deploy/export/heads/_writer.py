"""Write estimators in ONNX, one operator a call: by the functions of this folder, or else by skl2onnx.

What a step of an ensemble gives (classes, probabilities, decision values) can be asked for by itself, so that any
estimator may be inside any other.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.runtimes import OPSET

if TYPE_CHECKING:
    import onnx

ML_OPSET = 3
ML = "ai.onnx.ml"
FLOAT, INT64, STRING = 1, 7, 8  # element types, as ONNX numbers them
_Write = Callable[..., str]
_WRITERS: dict[tuple[str, str], _Write] = {}
# In an estimator's own words; "number" is what a regressor predicts, "index" a class's position in `classes_`.
METHODS = ("transform", "number", "index", "probabilities", "decision")


class UnwritableError(Exception):
    """An estimator that has no ONNX form that answers alike."""


def writes(method: str, *names: str) -> Callable[[_Write], _Write]:
    """Register a function of (graph, estimator, rows) that writes a method of estimators: ``"library.Class"``."""

    def register(function: _Write) -> _Write:
        _WRITERS.update({(name, method): function for name in names})
        return function

    return register


def qualified(step: Any) -> str:
    """Name an estimator's class by its library, wherever in it the class is defined."""
    return f"{type(step).__module__.partition('.')[0]}.{type(step).__name__}"


def is_written(step: Any) -> bool:
    """Whether functions of this folder write an estimator."""
    return any((qualified(step), method) in _WRITERS for method in METHODS)


@dataclass(frozen=True)
class Rows:
    """What a step takes: a tensor, or several beside each other.

    Attributes
    ----------
    names : tuple of str
        The tensors' names.
    types : tuple of int
        Their element types, ONNX's.
    widths : tuple of int
        Their numbers of columns; 0 where that is not known.
    """

    names: tuple[str, ...]
    types: tuple[int, ...]
    widths: tuple[int, ...]

    @property
    def name(self) -> str:
        """The tensor, of a step that takes one."""
        if len(self.names) > 1:
            raise UnwritableError("A step takes a table that is not a ColumnTransformer.")
        return self.names[0]


@dataclass(frozen=True)
class Output:
    """An output of a graph: its tensor, its element type, ONNX's, and its number of axes."""

    tensor: str
    kind: int
    ndim: int = 2


class Writer:
    """A graph that grows."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._written: dict[tuple[Any, ...], str] = {}
        self._kept: list[Any] = []  # so that no id is given twice

    # Operators

    def op(self, kind: str, *inputs: Any, domain: str = "", **attributes: Any) -> str:
        """Add an operator with one output; arrays and numbers among its inputs become constants."""
        return self.ops(kind, *inputs, domain=domain, outputs=1, **attributes)[0]

    def ops(self, kind: str, *inputs: Any, domain: str = "", outputs: int = 1, **attributes: Any) -> list[str]:
        """Add an operator with several outputs."""
        from onnx import helper

        names = [entry if isinstance(entry, str) else self.constant(entry) for entry in inputs]
        made = [f"{kind}{len(self._nodes)}_{i}" for i in range(outputs)]
        node = helper.make_node(kind, names, made, name=f"{kind}{len(self._nodes)}", domain=domain, **attributes)
        self._nodes.append(node)
        return made

    def constant(self, value: Any) -> str:
        """Add a constant: float64 of floats, int64 of integers, text of text."""
        from onnx import numpy_helper

        array = np.asarray(value)
        if array.dtype.kind in "UO":
            array = array.astype(object)
        elif array.dtype.kind in "iu":
            array = array.astype(np.int64)
        name = f"constant{len(self._initializers)}"
        self._initializers.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return name

    def cast(self, tensor: str, dtype: Any) -> str:
        """Cast a tensor."""
        from onnx import helper

        key = ("cast", tensor, np.dtype(dtype).str)
        if key not in self._written:
            self._written[key] = self.op("Cast", tensor, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
        return self._written[key]

    def double(self, rows: Rows) -> str:
        """Return what a step takes, in float64."""
        return self.cast(rows.name, np.float64)

    def row_sums(self, tensor: str) -> str:
        return self.op("ReduceSum", tensor, np.array([1]), keepdims=1)

    def columns(self, tensor: str, positions: Iterable[int]) -> str:
        """Choose columns."""
        return self.op("Gather", tensor, np.array(list(positions), np.int64), axis=1)

    def beside(self, tensors: Sequence[str]) -> str:
        """Put columns side by side."""
        return self.op("Concat", *tensors, axis=1) if len(tensors) > 1 else tensors[0]

    def with_complement(self, positive: str) -> str:
        """Make the probabilities of two classes of that of the second one."""
        return self.beside([self.op("Sub", 1.0, positive), positive])

    def sigmoid(self, tensor: str) -> str:
        """Write it in full: ONNX Runtime's own gives zero where that is not zero yet."""
        return self.op("Div", 1.0, self.op("Add", self.op("Exp", self.op("Neg", tensor)), 1.0))

    def argmax(self, tensor: str) -> str:
        return self.op("ArgMax", tensor, axis=1, keepdims=0)

    # Estimators

    def write(self, step: Any, method: str, rows: Rows) -> str:
        """Write a method of an estimator; again it is the same tensor.

        Parameters
        ----------
        step : estimator
            A fitted one.
        method : {"transform", "number", "index", "probabilities", "decision"}
            What to compute.
        rows : Rows
            What it takes.

        Returns
        -------
        str
            A tensor: float32 of ``"transform"``; int64 (n,) of ``"index"``; else float64 (n, k), of decision values
            between two classes one column. Of several outputs the index is (n, outputs), and their probabilities lie
            side by side.
        """
        key = (id(step), method, rows.names)
        if key not in self._written:
            self._kept.append(step)
            self._written[key] = (self._writer(step, method) or _ask_skl2onnx(method))(self, step, rows)
        return self._written[key]

    def transform(self, step: Any, rows: Rows) -> Rows:
        """Write a transformer, and return what the next step takes."""
        kind = STRING if _gives_text(step, rows) else FLOAT
        return Rows((self.write(step, "transform", rows),), (kind,), (0,))

    def _writer(self, step: Any, method: str) -> _Write | None:
        """Find the function that writes a method; of the index also by way of scores, as most classifiers have it."""
        name = qualified(step)
        if method == "index" and (name, "index") not in _WRITERS:
            if (name, "decision") in _WRITERS:
                return index_of_decision
            if (name, "probabilities") in _WRITERS:
                return _index_of_probabilities
        return _WRITERS.get((name, method))

    def inline(self, model: onnx.ModelProto, rows: Rows) -> list[str]:
        """Take in a graph of that many inputs; return the names that its outputs have here."""
        from onnx import compose

        part = compose.add_prefix(model, f"part{len(self._nodes)}/").graph
        names = dict(zip([entry.name for entry in part.input], rows.names, strict=True))
        for node in part.node:
            node.input[:] = [names.get(name, name) for name in node.input]
        self._nodes += part.node
        self._initializers += part.initializer
        return [entry.name for entry in part.output]

    def parts(self, wanted: Sequence[str]) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """List the nodes and constants that tensors need."""
        needed, nodes = set(wanted), []
        for node in reversed(self._nodes):
            if needed & set(node.output):
                nodes.append(node)
                needed.update(node.input)
        return nodes[::-1], [tensor for tensor in self._initializers if tensor.name in needed]

    def model(self, rows: Rows, outputs: Mapping[str, Output]) -> onnx.ModelProto:
        """Make a model that gives each output by its name."""
        from onnx import helper

        ends = [helper.make_node("Identity", [output.tensor], [name]) for name, output in outputs.items()]
        nodes, initializers = self.parts([output.tensor for output in outputs.values()])
        entries = zip(rows.names, rows.types, rows.widths, strict=True)
        graph = helper.make_graph(
            [*nodes, *ends],
            "head",
            [helper.make_tensor_value_info(name, kind, [None, width]) for name, kind, width in entries],
            [
                helper.make_tensor_value_info(name, output.kind, [None] * output.ndim)
                for name, output in outputs.items()
            ],
            initializer=initializers,
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML, ML_OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def index_of_decision(graph: Writer, step: Any, rows: Rows) -> str:
    decision = graph.write(step, "decision", rows)
    if len(step.classes_) > 2:
        return graph.argmax(decision)
    return graph.cast(graph.op("Squeeze", graph.op("Greater", decision, 0.0), np.array([1])), np.int64)


def _index_of_probabilities(graph: Writer, step: Any, rows: Rows) -> str:
    probabilities = graph.write(step, "probabilities", rows)
    if not isinstance(step.classes_, list):
        return graph.argmax(probabilities)
    ends = np.cumsum([len(classes) for classes in step.classes_])
    each = [
        graph.argmax(graph.columns(probabilities, range(end - len(classes), end)))
        for classes, end in zip(step.classes_, ends, strict=True)
    ]
    return graph.beside([graph.op("Unsqueeze", index, np.array([1])) for index in each])


def _ask_skl2onnx(method: str) -> _Write:
    return lambda graph, step, rows: write_by_skl2onnx(graph, step, method, rows)


def write_by_skl2onnx(graph: Writer, step: Any, method: str, rows: Rows) -> str:
    """Have skl2onnx write a step; one of several outputs gives them all."""
    if method == "index":
        step = _with_counted_classes(step)
    outputs = graph.inline(_convert(step, method, rows), rows)
    if method in ("transform", "number", "index"):
        tensor = graph.op("Reshape", outputs[0], np.array([-1])) if method == "index" else outputs[0]
        tensor = graph.op("Reshape", tensor, np.array([0, -1])) if method == "number" else tensor
        if method == "transform" and _gives_text(step, rows):
            return tensor
        return graph.cast(tensor, {"transform": np.float32, "number": np.float64, "index": np.int64}[method])
    if len(outputs) < 2:
        raise UnwritableError(f"skl2onnx gives no {method} of {type(step).__name__}")
    scores = graph.cast(outputs[1], np.float64)
    if method == "decision" and len(getattr(step, "classes_", ())) == 2:
        scores = graph.columns(graph.op("Reshape", scores, np.array([0, -1])), [-1])
    return scores


def _gives_text(step: Any, rows: Rows) -> bool:
    return set(rows.types) == {STRING} and type(step).__name__ == "SimpleImputer"


def _with_counted_classes(step: Any) -> Any:
    """Make a classifier whose labels are 0, 1, ...: converters cut others to 32 bits, or make text of them."""
    counted = np.arange(len(step.classes_))
    step = copy.copy(step)
    step.classes_ = counted
    if hasattr(step, "_label_binarizer"):  # of an MLP
        step._label_binarizer = copy.copy(step._label_binarizer)
        step._label_binarizer.classes_ = counted
    return step


def _convert(step: Any, method: str, rows: Rows) -> onnx.ModelProto:
    from skl2onnx import to_onnx
    from skl2onnx.common import data_types

    kinds = {
        FLOAT: data_types.FloatTensorType,
        INT64: data_types.Int64TensorType,
        STRING: data_types.StringTensorType,
    }
    widths = rows.widths if len(rows.names) > 1 or rows.widths[0] else [getattr(step, "n_features_in_", None)]
    entries = zip(rows.names, rows.types, widths, strict=True)
    types = [(f"input{i}", kinds[kind]([None, width])) for i, (_, kind, width) in enumerate(entries)]
    raw = {"raw_scores": True} if method == "decision" else {}
    # Not every converter has the option "zipmap", and without it those that have make a list of dicts.
    attempts: list[dict[str, Any]] = [{}] if method in ("transform", "number") else [{"zipmap": False, **raw}, raw]
    for position, options in enumerate(attempts):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # on attributes that scikit-learn is about to drop
                return to_onnx(
                    step,
                    initial_types=types,
                    options={id(step): options} if options else None,
                    target_opset={"": OPSET, ML: ML_OPSET},
                )
        except NameError:  # an option that the converter does not have
            if position + 1 == len(attempts):
                raise
    raise AssertionError
