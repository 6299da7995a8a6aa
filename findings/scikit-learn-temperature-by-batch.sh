#!/usr/bin/env bash
# scikit-learn 1.9.1: a temperature-calibrated GaussianNB on float32 data answers for a row according to the rows beside it.
#
# Guess: predict_proba is a function of each row, so 200 rows at once give what they give one by one, to rounding.
# Seen:  more than half of the rows differ by more than 0.01, some by more than 0.4, and some labels with them. Temperature
#        scaling guesses whether it was given probabilities, from whether the sums of all rows are 1 within 1e-5, and takes
#        their logarithm, or takes them as they are. The log-likelihoods of 200 features are hundreds, so that in float32
#        some sums are further off: one such row changes the answers for its whole batch. In float64 nothing differs.
# Works: pip in a temporary folder; exit 0 while this is so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 scikit-learn==1.9.1
"$work/venv/bin/python" - <<'PY'
import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.naive_bayes import GaussianNB

X, y = make_classification(600, 200, n_informative=10, n_classes=5, class_sep=0.7, random_state=0)
differ = {}
for dtype in ("float32", "float64"):
    data = X.astype(dtype)
    model = CalibratedClassifierCV(GaussianNB(), method="temperature", cv=3).fit(data[:400], y[:400])
    together = model.predict_proba(data[400:])
    alone = np.concatenate([model.predict_proba(row[None]) for row in data[400:]])
    off = np.abs(together - alone).max(axis=1)
    labels = int((together.argmax(axis=1) != alone.argmax(axis=1)).sum())
    sums = GaussianNB().fit(data[:400], y[:400]).predict_proba(data[400:]).sum(axis=1)
    print(f"{dtype}: {(off > 0.01).sum()} of 200 rows differ by more than 0.01, by {off.max():.2g} at most, {labels} labels;", end=" ")
    print(f"sums of probabilities are up to {np.abs(sums - 1).max():.1g} off")
    differ[dtype] = (int((off > 0.01).sum()), off.max(), labels)
assert differ["float32"][0] > 100 and differ["float32"][1] > 0.4 and differ["float32"][2] > 0, "it was another behaviour"
assert differ["float64"][1] < 1e-6, "it was another behaviour"
PY
