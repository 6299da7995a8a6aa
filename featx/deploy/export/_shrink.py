"""An encoder's graph with smaller weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from featx.precision import import_nncf, quantize_graph

if TYPE_CHECKING:
    import onnx

# Smaller weights are biases and scales: nothing to gain.
_SMALL = 1024


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

    Returns
    -------
    onnx.ModelProto

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
