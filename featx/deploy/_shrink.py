"""An encoder's graph with smaller weights."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from featx._optional import import_optional

if TYPE_CHECKING:
    import onnx

# Smaller weights are biases and scales: nothing to gain.
_SMALL = 1024
_CALIBRATED_ON = 300


def shrink(model: onnx.ModelProto, kind: str, pixels: Iterable[np.ndarray]) -> onnx.ModelProto:
    """Store an encoder's weights in fewer bits.

    Parameters
    ----------
    model : onnx.ModelProto
        ``pixels`` -> ``embedding``.
    kind : {"float16", "int8"}
        ``"float16"``: weights are kept in half the bytes and computed with in
        float32. ``"int8"``: weights and activations are 8-bit integers, calibrated
        on `pixels`.
    pixels : iterable of ndarray of shape (size, size, 3), uint8

    Returns
    -------
    onnx.ModelProto
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


def _to_int8(model: onnx.ModelProto, pixels: Iterable[np.ndarray]) -> onnx.ModelProto:
    import_optional("onnxruntime", extra="export", purpose="Quantising")
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static, shape_inference

    class Reader(CalibrationDataReader):
        def __init__(self):
            self._batches = _batches(pixels)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._batches, None)

    import onnx

    with tempfile.TemporaryDirectory() as folder:
        prepared, quantized = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        shape_inference.quant_pre_process(model, prepared)
        quantize_static(
            prepared,
            quantized,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Gemm", "MatMul"],
            per_channel=True,
            reduce_range=True,  # without VNNI, sums of 8-bit products saturate
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(quantized)


def _batches(pixels: Iterable[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    for i, image in enumerate(pixels):
        if i == _CALIBRATED_ON:
            return
        yield {"pixels": image[None]}
