#!/usr/bin/env bash
# OpenVINO 2026.4.1 on a CPU: a NaN comes out of common operators as an ordinary number, which depends on its place.
#
# Guess: in float32 a NaN stays one, as in torch and numpy: in Relu and Exp of it, in the maximum of its row (or is left out of
#        that), and in all of a softmax.
# Seen:  Relu and Clamp give 0, Exp gives infinity. The maximum of (1, ..., 1, NaN) is -3.4e38, that of (NaN, 1, ...) is 1.
#        Softmax is NaN in one to five places and 0 in all others, so that the row holds no probability at all. A
#        convolution with one NaN among its weights, followed by Relu, gives zeros. ReduceSum, Sigmoid, Tanh keep it.
# So:    a check of a network's output for NaN finds nothing; weights, and another runtime's output, have to be checked.
# Works: pip in a temporary folder, AVX2 or later; exit 0 while this is so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 openvino==2026.4.1
"$work/venv/bin/python" - <<'PY'
import numpy as np
import openvino
from openvino import opset13 as ops

CORE = openvino.Core()


def run(build, x):
    parameter = ops.parameter(list(x.shape), np.float32)
    model = openvino.Model([build(parameter)], [parameter])
    return CORE.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([x])[0]


def row(place, n=16):
    x = np.ones((1, n), np.float32)
    x[0, place] = np.nan
    return x


def maximum(x):
    return ops.reduce_max(x, np.array([1]))


def layer(x):
    weights = np.ones((2, 3, 3, 3), np.float32)
    weights[1, 0, 0, 0] = np.nan
    return ops.relu(ops.convolution(x, ops.constant(weights), [1, 1], [0, 0], [0, 0], [1, 1]))


found = {
    "Relu": run(ops.relu, row(3))[0, 3],
    "Clamp to 0..2": run(lambda x: ops.clamp(x, 0, 2), row(3))[0, 3],
    "Exp": run(ops.exp, row(3))[0, 3],
    "maximum, NaN first": run(maximum, row(0))[0],
    "maximum, NaN last": run(maximum, row(15))[0],
    "softmax": run(lambda x: ops.softmax(x, 1), row(8))[0],
    "Relu of a convolution": run(layer, np.ones((1, 3, 8, 8), np.float32))[0, :, 0, 0],
    "Sigmoid": run(ops.sigmoid, row(3))[0, 3],
    "sum": run(lambda x: ops.reduce_sum(x, np.array([1])), row(3))[0],
}
for name, value in found.items():
    print(f"{name:22}", value)
assert found["Relu"] == found["Clamp to 0..2"] == 0, "it was another behaviour"
assert np.isposinf(found["Exp"]), "it was another behaviour"
assert found["maximum, NaN first"] == 1 and found["maximum, NaN last"] < -3e38, "it was another behaviour"
assert 0 < np.isnan(found["softmax"]).sum() < 16 and np.nansum(found["softmax"]) == 0, "it was another behaviour"
assert found["Relu of a convolution"].tolist() == [27, 0], "it was another behaviour"
assert np.isnan([found["Sigmoid"], found["sum"]]).all(), "it was another behaviour"
PY
