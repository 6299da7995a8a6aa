#!/usr/bin/env bash
# scikit-learn 1.9.1: with metadata routing, score() of a pipeline that ends in stacking, voting or bagging raises.
#
# Guess: score(X, y) without anything to route is the same with set_config(enable_metadata_routing=True) as without.
# Seen:  "Pipeline.score got unexpected argument(s) {'sample_weight'}", though none was given, where the last step is
#        a StackingRegressor, VotingRegressor, BaggingRegressor, TransformedTargetRegressor, MultiOutputRegressor or
#        TunedThresholdClassifierCV. By themselves these score, and so does a pipeline that ends in Ridge or GridSearchCV.
#        cross_val_score of such a pipeline is NaN, with a warning; with scoring="r2" it is right.
# Works: pip in a temporary folder; exit 0 while this is so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 scikit-learn==1.9.1
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import sklearn
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, StackingRegressor, VotingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV, cross_val_score
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

X = np.random.default_rng(0).normal(size=(60, 3))
y = X[:, 0] + 3
RAISES = {
    StackingRegressor([("ridge", Ridge())]): y,
    VotingRegressor([("ridge", Ridge())]): y,
    BaggingRegressor(Ridge()): y,
    TransformedTargetRegressor(Ridge()): y,
    MultiOutputRegressor(Ridge()): np.c_[y, y],
    TunedThresholdClassifierCV(LogisticRegression()): y > 3,
}
SCORES = {Ridge(): y, GridSearchCV(Ridge(), {"alpha": [1, 2]}): y}


def score(model, y):
    try:
        return model.fit(X, y).score(X, y)
    except TypeError as error:
        return str(error)


for head, target in (RAISES | SCORES).items():
    model = make_pipeline(StandardScaler(), head)
    plain = score(model, target)
    with sklearn.config_context(enable_metadata_routing=True):
        alone, routed = score(head, target), score(model, target)
    print(f"{type(head).__name__}: {plain:.3f}, by itself with routing {alone:.3f}, in a pipeline {routed}")
    assert plain > 0.9 and alone > 0.9, "it was another behaviour"
    assert ("unexpected argument(s) {'sample_weight'}" in str(routed)) == (head in RAISES), "it was another behaviour"
with sklearn.config_context(enable_metadata_routing=True):
    model = make_pipeline(StandardScaler(), TransformedTargetRegressor(Ridge()))
    scores = cross_val_score(model, X, y), cross_val_score(model, X, y, scoring="r2")
print(*scores)
assert np.isnan(scores[0]).all() and (scores[1] > 0.9).all(), "it was another behaviour"
PY
