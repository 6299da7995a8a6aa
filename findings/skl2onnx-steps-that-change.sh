#!/usr/bin/env bash
# skl2onnx 1.20.0: Normalizer("max"), SimpleImputer(add_indicator=True) and PowerTransformer of NaN are converted without an
# error, and compute something else.
#
# Guess: what the converter cannot express it refuses, as it does SplineTransformer, MissingIndicator and FastICA.
# Seen:  Normalizer("max") divides by the largest number, not by the largest absolute one: rows of negative numbers come out
#        with the other sign. The indicator columns are missing, so that 4 columns come where scikit-learn gives 5. What is NaN
#        before a PowerTransformer, which lets it pass, is a number behind it.
# Works: pip in a temporary folder; exit 0 while this is so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 scikit-learn==1.9.1 skl2onnx==1.20.0 \
  onnx==1.20.1 onnxruntime==1.32.0
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import Normalizer, PowerTransformer, StandardScaler

X = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
gaps = X.copy()
gaps[::7, 1] = np.nan


def both(step, X):
    wanted = step.fit_transform(X)
    session = onnxruntime.InferenceSession(to_onnx(step, X[:2]).SerializeToString())
    return wanted, session.run(None, {session.get_inputs()[0].name: X})[0]


wanted, got = both(StandardScaler(), gaps)
print("StandardScaler of NaN: NaN", np.isnan(wanted).sum(), "and", np.isnan(got).sum())
assert np.allclose(wanted, got, atol=1e-5, equal_nan=True), "it was another behaviour"

wanted, got = both(Normalizer("max"), X)
negative = (X < 0).all(axis=1)
print("Normalizer('max') of negative rows:", wanted[negative][0], "and", got[negative][0])
assert np.abs(wanted).max() <= 1 < np.abs(got).max(), "it was another behaviour"
assert (wanted[negative] < 0).all() and (got[negative] > 0).all(), "it was another behaviour"

wanted, got = both(SimpleImputer(add_indicator=True), gaps)
print("SimpleImputer(add_indicator=True):", wanted.shape, "and", got.shape)
assert wanted.shape == (200, 5) and got.shape == (200, 4), "it was another behaviour"

wanted, got = both(PowerTransformer(), gaps)
print("PowerTransformer of NaN: NaN", np.isnan(wanted).sum(), "and", np.isnan(got).sum())
assert np.isnan(wanted).sum() == 29 and not np.isnan(got).any(), "it was another behaviour"
PY
