#!/usr/bin/env bash
# scikit-learn 1.9.1, numpy 2.4.6: of 20,000 rows of float16, scale() makes zeros and PowerTransformer wrong numbers.
#
# Guess: what takes float16 computes with it as StandardScaler does, whose means are right; nanmean is mean where there is no NaN.
# Seen:  sklearn.preprocessing.scale(X) divides by infinity: every number is 0, and StandardScaler's are right to 1e-3.
#        PowerTransformer is off by a fifth of its range. Underneath, numpy.mean sums float16 in float32 and numpy.nanmean
#        in float16, row by row, where a sum above 16,384 no longer grows by 5: 0.8 instead of 5. nanstd is infinite.
# Works: pip in a temporary folder; exit 0 while this is so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 scikit-learn==1.9.1
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
from sklearn.preprocessing import PowerTransformer, StandardScaler, scale

X = np.random.default_rng(0).normal(5, 1, size=(20_000, 4))
half = X.astype(np.float16)


def off(transform):
    """How far float16 is from float64, beside the range of that."""
    wanted = transform(half.astype(float))
    return np.abs(transform(half) - wanted).max() / np.ptp(wanted)


ways = {
    "StandardScaler": lambda X: StandardScaler().fit_transform(X),
    "PowerTransformer": lambda X: PowerTransformer().fit_transform(X),
    "scale": scale,
}
found = {name: off(way) for name, way in ways.items()}
for name, value in found.items():
    print(f"{name:17} off by {value:.2g} of the range")
means = half.mean(axis=0)[0], np.nanmean(half, axis=0)[0]
print("mean, nanmean:", *means, "; scale gives", np.unique(scale(half)))
assert found["StandardScaler"] < 0.002 and found["PowerTransformer"] > 0.1, "it was another behaviour"
assert not scale(half).any(), "it was another behaviour"
assert abs(means[0] - 5) < 0.1 and means[1] < 1, "it was another behaviour"
PY
