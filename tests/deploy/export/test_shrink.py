"""An encoder's graph in fewer bits: smaller, near the whole one, and another object."""

from __future__ import annotations

import numpy as np
import pytest

import featx
from featx._image_encoder import extraction_of
from featx.deploy.export._shrink import shrink
from featx.runtimes import to_onnx

onnx = pytest.importorskip("onnx", reason="needs pip install 'featx[export]'")
ort = pytest.importorskip("onnxruntime", reason="needs pip install 'featx[export]'")


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)


def run(model, pixels):
    onnx.checker.check_model(model)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["embedding"], {"pixels": pixels})[0]


def relative(got, expected):
    return np.linalg.norm(got - expected) / np.linalg.norm(expected)


def test_float16_halves_the_default_encoder_and_moves_it_little():
    specs = extraction_of(featx.ImageEncoder(cache=False)).specs
    whole, half = to_onnx(specs), shrink(to_onnx(specs), "float16", [])
    assert 0.49 < half.ByteSize() / whole.ByteSize() < 0.56
    pixels = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    assert 0 < relative(run(half, pixels), run(whole, pixels)) < 1e-2


def test_small_weights_and_the_next_export_stay_as_they_are(encoder, pixels):
    specs = extraction_of(encoder()).specs
    whole = run(to_onnx(specs), pixels)
    shrink(to_onnx(specs), "float16", [])
    np.testing.assert_array_equal(run(to_onnx(specs), pixels), whole)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_int8_is_near_the_whole_one_and_not_the_same(encoder, pixels):
    pytest.importorskip("nncf", reason="needs pip install 'featx[quantize]'")
    specs = extraction_of(encoder()).specs
    expected = run(to_onnx(specs), pixels)
    model = shrink(to_onnx(specs), "int8", list(pixels))
    assert any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    assert 0 < relative(run(model, pixels), expected) < 0.1
