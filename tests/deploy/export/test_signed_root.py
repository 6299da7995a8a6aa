"""The step in ONNX is the step in numpy, also where it is zero."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from featx.deploy.export._signed_root import register_signed_root
from featx.heads import EmbeddingNormalizer

skl2onnx = pytest.importorskip("skl2onnx", reason="needs pip install 'featx[export]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs pip install 'featx[export]'")


@pytest.fixture(scope="module", params=[np.float32, np.float64])
def graph(request):
    """It, the ONNX form of it, and the dtype of both."""
    register_signed_root()
    step = EmbeddingNormalizer("power").fit(np.eye(4, dtype=request.param))
    model = skl2onnx.to_onnx(step, np.eye(4, dtype=request.param), target_opset={"": 20, "ai.onnx.ml": 3})
    return step, onnxruntime.InferenceSession(model.SerializeToString()), request.param


# Not where squares are subnormal: some libraries have the processor take those for zero, for all that comes later.
elements = st.floats(-1e6, 1e6, width=32).map(lambda value: value if abs(value) > 1e-30 else 0.0)


@settings(max_examples=50)
@given(X=arrays.arrays(np.float32, st.tuples(st.integers(1, 5), st.just(4)), elements=elements))
def test_it_gives_what_the_step_gives(graph, X):
    step, session, dtype = graph
    (got,) = session.run(None, {"X": X.astype(dtype)})
    assert got.dtype == dtype
    np.testing.assert_allclose(got, step.transform(X.astype(dtype)), rtol=1e-4, atol=1e-6)
