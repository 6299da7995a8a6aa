#!/usr/bin/env bash
# safetensors 0.8.0: safetensors.numpy.save writes the wrong numbers of an array that is not C-contiguous.
#
# Guess: a transposed array is copied, or refused, as safetensors.torch refuses a tensor with gaps.
# Seen:  the memory is written in its own order under the array's shape. a.T of [[0, 1, 2], [3, 4, 5]] comes back as
#        [[0, 1], [2, 3], [4, 5]] instead of [[0, 3], [1, 4], [2, 5]]; every second column comes back as the first ones.
#        No warning, and the file is valid. np.ascontiguousarray before saving is the cure.
# Works: pip in a temporary folder; exit 0 while this is so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check safetensors==0.8.0 numpy==2.3.5
"$work/venv/bin/python" - <<'PY'
import numpy as np
from safetensors.numpy import load, save

a = np.arange(6, dtype=np.float32).reshape(2, 3)
wide = np.arange(12, dtype=np.float32).reshape(2, 6)
given = {"C": a, "transposed": a.T, "Fortran": np.asfortranarray(a), "every second column": wide[:, ::2]}
for name, array in given.items():
    back = load(save({"x": array}))["x"]
    print(f"{name}: {array.tolist()} -> {back.tolist()}")
    assert back.shape == array.shape
    assert np.array_equal(back, array) == (name == "C"), f"{name}: it was another behaviour"
PY
