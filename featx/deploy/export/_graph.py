"""Put encoders and a head together in one ONNX graph, and make an encoder's graph smaller."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from featx.deploy.export.heads import HeadGraph
from featx.precision import import_nncf, quantize_graph

if TYPE_CHECKING:
    import onnx

# Smaller weights are biases and scales: nothing to gain.
_SMALL = 1024


@dataclass(frozen=True)
class EncoderGraph:
    """An encoder's graph, and the inputs that it will have.

    Attributes
    ----------
    model : onnx.ModelProto
        ``pixels`` -> ``embedding``.
    tensor : str
        The name of its input of pixels.
    absent : str or None
        The name of an input, bool (n, 1), for which embeddings become NaN.
    rows : str or None
        The name of an input, int64 (n, most), where rows have several images: which of the images are a row's own, -1
        for none. An embedding without any is NaN.
    combine : {"mean", "max", "first", "concat"} or None
        What becomes of a row's embeddings.
    n_images : int or None
        Images that each row has, with ``"concat"``.
    """

    model: onnx.ModelProto
    tensor: str
    absent: str | None = None
    rows: str | None = None
    combine: str | None = None
    n_images: int | None = None

    @property
    def dim(self) -> int:
        """Length of a row's embedding."""
        return self.model.graph.output[0].type.tensor_type.shape.dim[1].dim_value * (self.n_images or 1)


def assemble(encoders: Sequence[EncoderGraph], heads: Sequence[HeadGraph]) -> onnx.ModelProto:
    """Put graphs together.

    Parameters
    ----------
    encoders : sequence of EncoderGraph
        Their embeddings lie side by side in the output ``embedding``. Those that share a model, be it for several
        columns, share its weights, and run once over all their images.
    heads : sequence of HeadGraph
        May be empty; each takes ``embedding`` and the other columns.

    Returns
    -------
    onnx.ModelProto
        The graph.
    """
    from onnx import helper

    graph = _Assembly()
    embeddings: dict[tuple[int, str], str] = {}
    networks = {id(encoder.model): encoder.model for encoder in encoders}
    for i, (key, model) in enumerate(networks.items()):
        tensors = list(dict.fromkeys(encoder.tensor for encoder in encoders if id(encoder.model) == key))
        outputs = _add_network(graph, model, tensors, f"encoder{i}/")
        embeddings |= {(key, tensor): output for tensor, output in zip(tensors, outputs, strict=True)}
    usable = [
        _add_rows(graph, encoder, embeddings[id(encoder.model), encoder.tensor], f"rows{i}/")
        for i, encoder in enumerate(encoders)
    ]
    graph.node("Concat", usable, "embedding", axis=1)
    dim = sum(encoder.dim for encoder in encoders)
    graph.outputs.append(helper.make_tensor_value_info("embedding", 1, ["images", dim]))
    for i, head in enumerate(heads):
        _add_head(graph, head, f"head{i}/")
    return graph.model([*networks.values(), *(head.model for head in heads)])


class _Assembly:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: dict[str, onnx.ValueInfoProto] = {}
        self.outputs: list[onnx.ValueInfoProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._weights: dict[tuple[object, ...], str] = {}

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: int) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=f"make/{output}", **attributes))
        return output

    def constant(self, name: str, values: np.ndarray) -> str:
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(values, name))
        return name

    def add(self, model: onnx.ModelProto, prefix: str, inputs: Mapping[str, str]) -> onnx.GraphProto:
        """Take in a graph, all its names behind a prefix; `inputs` names what its inputs get."""
        from onnx import compose

        names = [entry.name for entry in model.graph.input]
        part = compose.add_prefix(model, prefix).graph
        for name, entry in zip(names, part.input, strict=True):
            self.node("Identity", [inputs[name]], entry.name)
        self._share(part)
        self.nodes += part.node
        return part

    def _share(self, part: onnx.GraphProto) -> None:
        """Keep weights that another network has too, as two layers of one network have, once."""
        same: dict[str, str] = {}
        for weights in part.initializer:
            content = weights.raw_data if len(weights.raw_data) >= _SMALL else weights.name.encode()
            key = (weights.data_type, *weights.dims, hashlib.sha256(content).digest())
            if key in self._weights:
                same[weights.name] = self._weights[key]
            else:
                self._weights[key] = weights.name
                self.initializers.append(weights)
        for node in part.node if same else ():
            node.input[:] = [same.get(name, name) for name in node.input]

    def model(self, parts: Sequence[onnx.ModelProto]) -> onnx.ModelProto:
        from onnx import checker, helper

        opsets = {(entry.domain, entry.version) for part in parts for entry in part.opset_import}
        graph = helper.make_graph(
            self.nodes, "featx", list(self.inputs.values()), self.outputs, initializer=self.initializers
        )
        model = helper.make_model(
            graph,
            producer_name="featx",
            opset_imports=[helper.make_opsetid(domain, version) for domain, version in sorted(opsets)],
            ir_version=max(part.ir_version for part in parts),
        )
        checker.check_model(model)
        return model


def _add_network(graph: _Assembly, model: onnx.ModelProto, tensors: Sequence[str], prefix: str) -> list[str]:
    """Run a network over the images of all its tensors at once; return the embeddings of each."""
    from onnx import helper

    size = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    for tensor in tensors:
        graph.inputs[tensor] = helper.make_tensor_value_info(tensor, 2, ["images", size, size, 3])
    pixels = tensors[0] if len(tensors) == 1 else graph.node("Concat", tensors, f"{prefix}all", axis=0)
    embedding = graph.add(model, prefix, {model.graph.input[0].name: pixels}).output[0].name
    if len(tensors) == 1:
        return [embedding]
    counts = [graph.node("Shape", [tensor], f"{prefix}count{i}", start=0, end=1) for i, tensor in enumerate(tensors)]
    outputs = [f"{prefix}of{i}" for i in range(len(tensors))]
    sizes = graph.node("Concat", counts, f"{prefix}counts", axis=0)
    graph.nodes.append(helper.make_node("Split", [embedding, sizes], outputs, name=f"make/{prefix}split", axis=0))
    return outputs


def _add_rows(graph: _Assembly, encoder: EncoderGraph, embedding: str, prefix: str) -> str:
    """Make the embeddings of rows of those of images; NaN where there is none."""
    from onnx import helper

    if encoder.rows is not None:
        # How many images there are is not how many rows there are.
        graph.inputs[encoder.tensor].type.tensor_type.shape.dim[0].dim_param = f"{encoder.tensor}_images"
        graph.inputs[encoder.rows] = helper.make_tensor_value_info(encoder.rows, 7, ["images", encoder.rows])
        return _add_combination(graph, encoder, embedding, prefix)
    if encoder.absent is None:
        return embedding
    graph.inputs[encoder.absent] = helper.make_tensor_value_info(encoder.absent, 9, ["images", 1])
    nan = graph.constant(f"{prefix}nan", np.array(np.nan, np.float32))
    return graph.node("Where", [encoder.absent, nan, embedding], f"{prefix}usable")


def _add_combination(graph: _Assembly, encoder: EncoderGraph, embedding: str, prefix: str) -> str:
    """Combine the images of each row, as `featx.extraction.combine` does."""

    def node(kind: str, inputs: Sequence[str], output: str, **attributes: int) -> str:
        return graph.node(kind, inputs, prefix + output, **attributes)

    def constant(name: str, values: object, dtype: type = np.int64) -> str:
        return graph.constant(prefix + name, np.array(values, dtype))

    assert encoder.rows is not None
    dim = encoder.dim // (encoder.n_images or 1)
    # -1 is the last one: NaN.
    with_none = node(
        "Concat", [embedding, constant("none", np.full((1, dim), np.nan), np.float32)], "with_none", axis=0
    )
    first = constant("first", [1])
    if encoder.n_images is not None:
        rows = node("Slice", [encoder.rows, constant("start", [0]), constant("end", [encoder.n_images]), first], "rows")
        each = node("Gather", [with_none, rows], "each", axis=0)
        return node("Reshape", [each, constant("shape", [-1, encoder.dim])], "side_by_side")
    each = node("Gather", [with_none, encoder.rows], "each", axis=0)
    is_there = node("GreaterOrEqual", [encoder.rows, constant("zero", 0)], "is_there")
    there = node("Unsqueeze", [is_there, constant("last", [2])], "there")
    n = node("ReduceSum", [node("Cast", [is_there], "ones", to=1), first], "n", keepdims=1)
    nothing = constant("nothing", 0, np.float32)
    if encoder.combine == "mean":
        total = node("ReduceSum", [node("Where", [there, each, nothing], "present"), first], "total", keepdims=0)
        return node("Div", [total, n], "mean")  # 0 / 0 is NaN
    # What is not finite must show, though it be neither the maximum nor the first.
    zeros = node("Where", [there, node("Mul", [each, nothing], "zeros"), nothing], "own_zeros")
    check = node("ReduceSum", [zeros, first], "check", keepdims=0)
    if encoder.combine == "first":
        index = node("ArgMax", [f"{prefix}ones"], "index", axis=1, keepdims=1)
        chosen = node("GatherND", [each, index], "chosen", batch_dims=1)
        return node("Add", [chosen, check], "combined")
    least = constant("least", -np.inf, np.float32)
    largest = node("ReduceMax", [node("Where", [there, each, least], "or_least"), first], "largest", keepdims=0)
    nan = constant("nan", np.nan, np.float32)
    some = node("Greater", [n, nothing], "some")
    return node("Where", [some, node("Add", [largest, check], "checked"), nan], "combined")


def _add_head(graph: _Assembly, head: HeadGraph, prefix: str) -> None:
    names = [head.inputs[entry.name] for entry in head.model.graph.input]
    part = graph.add(head.model, prefix, head.inputs)
    for name, entry in zip(names, part.input, strict=True):
        if name != "embedding" and name not in graph.inputs:
            entry.name = name
            graph.inputs[name] = entry
    outputs = {entry.name: entry for entry in part.output}
    for name, own in head.outputs.items():
        entry = outputs[prefix + own]
        graph.node("Identity", [entry.name], name)
        entry.name = name
        # skl2onnx declares one column of decisions between two classes where there are two, and ONNX Runtime refuses
        # that in builds without exceptions, as for browsers.
        for side in entry.type.tensor_type.shape.dim[1:]:
            side.Clear()
        graph.outputs.append(entry)


def shrink(model: onnx.ModelProto, kind: str, pixels: Sequence[np.ndarray]) -> onnx.ModelProto:
    """Store an encoder's weights in fewer bits.

    Parameters
    ----------
    model : onnx.ModelProto
        ``pixels`` -> ``embedding``.
    kind : {"float16", "int8"}
        ``"float16"``: weights are kept in half the bytes and computed with in
        float32. ``"int8"``: weights and activations are 8-bit integers, calibrated
        on `pixels`.
    pixels : sequence of ndarray of shape (size, size, 3), uint8
        Images to calibrate on; of no use to ``"float16"``.

    Returns
    -------
    onnx.ModelProto
        A smaller graph; for ``"float16"`` it is `model`, which is changed.

    Raises
    ------
    MissingDependencyError
        Without the extra ``quantize``, for int8.
    """
    return _to_float16(model) if kind == "float16" else _to_int8(model, pixels)


def _to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for weights in model.graph.initializer:
        values = numpy_helper.to_array(weights)
        if values.dtype != np.float32 or values.size < _SMALL:
            continue
        name = weights.name
        weights.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}/float16"))
        # A runtime folds this away when it loads the graph.
        casts.append(helper.make_node("Cast", [weights.name], [name], name=f"{name}/cast", to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
    return model


def _to_int8(model: onnx.ModelProto, pixels: Sequence[np.ndarray]) -> onnx.ModelProto:
    nncf = import_nncf('quantize="int8"')
    return quantize_graph(nncf, model, [{model.graph.input[0].name: image[None]} for image in pixels])
