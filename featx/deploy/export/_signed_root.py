"""EmbeddingNormalizer("power") in ONNX: scikit-learn has no step that does it, and its converter gets this one."""

from __future__ import annotations

from typing import Any

import numpy as np

from featx.heads import EmbeddingNormalizer


def register_signed_root() -> None:
    """Teach skl2onnx the step; again does no harm."""
    from skl2onnx import update_registered_converter

    update_registered_converter(EmbeddingNormalizer, "FeatxEmbeddingNormalizer", _shape, _convert)


def _shape(operator: Any) -> None:
    taken = operator.inputs[0].type
    operator.outputs[0].type = type(taken)([None, taken.shape[1]])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """sign(x) sqrt(|x| / sum |x|): what the root over its length comes to; zero stays zero."""
    from skl2onnx.algebra.onnx_ops import OnnxAbs, OnnxDiv, OnnxMax, OnnxMul, OnnxReduceSum, OnnxSign, OnnxSqrt
    from skl2onnx.common.data_types import guess_numpy_type

    x, opset = operator.inputs[0], {"op_version": container.target_opset}
    smallest = np.array([[np.finfo(np.float32).tiny]], guess_numpy_type(x.type))
    size = OnnxAbs(x, **opset)
    total = OnnxMax(OnnxReduceSum(size, np.array([1], np.int64), keepdims=1, **opset), smallest, **opset)
    root = OnnxSqrt(OnnxDiv(size, total, **opset), **opset)
    OnnxMul(OnnxSign(x, **opset), root, output_names=operator.outputs, **opset).add_to(scope, container)
