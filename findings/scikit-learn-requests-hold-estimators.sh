#!/usr/bin/env bash
# scikit-learn 1.9.1: a metadata request keeps its estimator, so a clone carries the fitted original along.
#
# Guess: clone of a fitted estimator holds parameters and requests alone, whatever set_score_request was called with; and
#        skops, which keeps the fitted estimator, keeps it with a request too.
# Seen:  after set_score_request(sample_weight=True), the clone of a kNN that was fitted on 2,000 x 50 numbers pickles to
#        over 800 kB, as the fitted one does (241 bytes without the request), though the clone is not fitted. skops 0.16.0
#        follows the circle until RecursionError.
# Works: pip in a temporary folder; exit 0 while this is so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check scikit-learn==1.9.1 skops==0.16.0 numpy==2.3.5
"$work/venv/bin/python" - <<'PY'
import pickle

import numpy as np
import sklearn
import skops.io
from sklearn.base import clone
from sklearn.neighbors import KNeighborsClassifier

X, y = np.random.default_rng(0).normal(size=(2000, 50)), np.arange(2000) % 2
with sklearn.config_context(enable_metadata_routing=True):
    plain = KNeighborsClassifier().fit(X, y)
    asking = KNeighborsClassifier().set_score_request(sample_weight=True).fit(X, y)
    for name, model in (("without a request", plain), ("with a request", asking)):
        copy = clone(model)
        print(f"{name}: the clone pickles to {len(pickle.dumps(copy)):,} bytes, fitted: {hasattr(copy, 'classes_')}")
        assert not hasattr(copy, "classes_")
        assert (len(pickle.dumps(copy)) > 800_000) == (model is asking), "it was another behaviour"
    skops.io.dumps(plain)
    try:
        skops.io.dumps(asking)
    except RecursionError as error:
        print(f"skops: RecursionError: {error}")
    else:
        raise AssertionError("it was another behaviour")
PY
