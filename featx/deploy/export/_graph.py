"""Put encoders and a head together in one ONNX graph, and make an encoder's graph smaller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from featx.deploy.export._head import HeadGraph
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
    """

    model: onnx.ModelProto
    tensor: str
    absent: str | None = None


def assemble(encoders: Sequence[EncoderGraph], heads: Sequence[HeadGraph]) -> onnx.ModelProto:
    """Put graphs together.

    Parameters
    ----------
    encoders : sequence of EncoderGraph
        Their embeddings lie side by side in the output ``embedding``.
    heads : sequence of HeadGraph
        May be empty; each takes ``embedding`` and the other columns.

    Returns
    -------
    onnx.ModelProto
        The graph.
    """
    from onnx import helper

    graph = _Assembly()
    for i, encoder in enumerate(encoders):
        _add_encoder(graph, encoder, f"encoder{i}/")
    embeddings = [f"encoder{i}/usable" for i in range(len(encoders))]
    graph.node("Concat", embeddings, "embedding", axis=1)
    dim = sum(encoder.model.graph.output[0].type.tensor_type.shape.dim[1].dim_value for encoder in encoders)
    graph.outputs.append(helper.make_tensor_value_info("embedding", 1, ["images", dim]))
    for i, head in enumerate(heads):
        _add_head(graph, head, f"head{i}/")
    models = [*(encoder.model for encoder in encoders), *(head.model for head in heads)]
    return graph.model(models)


class _Assembly:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: dict[str, onnx.ValueInfoProto] = {}
        self.outputs: list[onnx.ValueInfoProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: int) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=f"make/{output}", **attributes))

    def add(self, model: onnx.ModelProto, prefix: str, inputs: Mapping[str, str]) -> onnx.GraphProto:
        """Take in a graph, all its names behind a prefix; `inputs` names what its inputs get."""
        from onnx import compose

        names = [entry.name for entry in model.graph.input]
        part = compose.add_prefix(model, prefix).graph
        for name, entry in zip(names, part.input, strict=True):
            self.node("Identity", [inputs[name]], entry.name)
        self.nodes += part.node
        self.initializers += part.initializer
        return part

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


def _add_encoder(graph: _Assembly, encoder: EncoderGraph, prefix: str) -> None:
    from onnx import helper, numpy_helper

    part = graph.add(encoder.model, prefix, {encoder.model.graph.input[0].name: encoder.tensor})
    size = part.input[0].type.tensor_type.shape.dim[1].dim_value
    graph.inputs[encoder.tensor] = helper.make_tensor_value_info(encoder.tensor, 2, ["images", size, size, 3])
    embedding, usable = part.output[0].name, f"{prefix}usable"
    if encoder.absent is None:
        graph.node("Identity", [embedding], usable)
        return
    graph.inputs[encoder.absent] = helper.make_tensor_value_info(encoder.absent, 9, ["images", 1])
    graph.initializers.append(numpy_helper.from_array(np.array(np.nan, np.float32), f"{prefix}nan"))
    graph.node("Where", [encoder.absent, f"{prefix}nan", embedding], usable)


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
