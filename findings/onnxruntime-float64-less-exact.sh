#!/usr/bin/env bash
# ONNX Runtime 1.32.0 on a CPU: Softplus of small numbers is exact in float32 and wrong in float64; Sigmoid is 0 early in both.
#
# Guess: float64 is at least as near to the true value as float32; Sigmoid(x) of negative x is near exp(x), with a relative
#        error of some roundings, down to where exp(x) is no normal number (-87, -708).
# Seen:  Softplus(-40) is 4.2e-18 in float32 (relative error 3e-8) and 0 in float64; at -20 float64 is off by 3e-8, as if it
#        had been computed as log(1 + exp(x)), where float32 uses log1p. Sigmoid is 0 from -18.5 on in float32, and off by
#        2e-4 at -10; in float64 it is 0 from -37 on and off by 4e-8 at -20. Exp is right in both.
# So:    log-losses and ratios of small probabilities of an exported model are infinite or NaN where scikit-learn's are not.
# Works: pip in a temporary folder; exit 0 while this is so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
"$work/venv/bin/python" - <<'PY'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper

X = np.array([-40.0, -20.0, -18.5, -10.0])
TRUE = {"Softplus": np.log1p(np.exp(X)), "Sigmoid": 1 / (1 + np.exp(-X)), "Exp": np.exp(X)}


def errors(operator, dtype):
    kind = TensorProto.FLOAT if dtype == np.float32 else TensorProto.DOUBLE
    ends = [helper.make_tensor_value_info(name, kind, [None]) for name in "xy"]
    graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"])], "graph", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    (got,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": X.astype(dtype)})
    return np.abs(got / TRUE[operator] - 1)


found = {(name, np.dtype(dtype).name): errors(name, dtype) for name in TRUE for dtype in (np.float32, np.float64)}
for (name, dtype), off in found.items():
    print(f"{name:8} {dtype}: relative error", ", ".join(f"{o:.1g} at {x:g}" for x, o in zip(X, off)))
assert found["Softplus", "float32"].max() < 1e-6 < 1 == found["Softplus", "float64"][0], "it was another behaviour"
assert found["Softplus", "float64"][1] > 1e-9, "it was another behaviour"
assert found["Sigmoid", "float32"][0] == found["Sigmoid", "float64"][0] == 1, "it was another behaviour"
assert max(found["Exp", dtype].max() for dtype in ("float32", "float64")) < 1e-6, "it was another behaviour"
PY
