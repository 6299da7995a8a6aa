from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import cross_val_predict, cross_val_score, cross_validate
from sklearn.svm import LinearSVC

from featx.evaluation import (
    ModelScores,
    as_model_scores,
    calibration_error,
    count_targets,
    describe_folds,
    fold_interval,
    make_folds,
    reliability,
    score_folds,
)
from featx.exceptions import ParameterError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 4))
Y = np.where(X[:, 0] + RNG.normal(size=80) > 0, "cat", "dog")


def test_numbers_of_folds_are_scores_however_they_are_given():
    plain = cross_val_score(LogisticRegression(), X, Y, cv=4)
    assert as_model_scores(plain).folds == {"score": plain.tolist()}
    named = cross_validate(LogisticRegression(), X, Y, cv=4, scoring=["accuracy", "f1_macro"], return_train_score=True)
    assert as_model_scores(named).folds.keys() == {"accuracy", "f1_macro"}
    table = pd.DataFrame({"images": [9, 9], "accuracy": [0.5, np.nan], "seconds": [1.0, 2.0]})
    assert as_model_scores(table).folds == {"accuracy": [0.5, None]}
    assert as_model_scores(0.5).folds == {"score": [0.5]}
    assert as_model_scores(None) is None


@pytest.mark.parametrize("wrong", ["good", [], {"accuracy": "high"}, {"accuracy": [[1.0]]}, {"accuracy": []}, object()])
def test_what_is_no_score_is_refused(wrong):
    with pytest.raises(ParameterError, match="Expected a number a fold"):
        as_model_scores(wrong)


def test_scores_are_plain_data_and_come_back_and_unknown_keys_are_ignored():
    scores = ModelScores({"r2": [0.1, None, 0.3]}, "3 folds", {"test": {"r2": None}}, 9, target=[0.0, 1.0], copies=0)
    data = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert as_model_scores({**data, "of a later featx": 1}) == scores


def test_the_interval_is_that_of_folds_that_share_rows_and_has_the_metrics_bounds():
    values = [0.7, 0.8, 0.75, 0.72]
    low, high = fold_interval(values, 1 / 3)
    summary = ModelScores({"accuracy": values, "loss": [0.9, 1.0], "one": [0.5]}).summary
    assert summary["accuracy"] == {"mean": pytest.approx(0.7425), "low": low, "high": high}
    assert summary["loss"]["high"] > 1
    assert summary["one"] == {"mean": 0.5, "low": None, "high": None}
    assert ModelScores({"accuracy": [0.9, 1.0]}).summary["accuracy"]["high"] == 1


def test_reliability_counts_what_was_right_in_each_bin():
    probability = np.array([0.55, 0.51, 0.91, 1.0, 0.95, 0.98])
    right = np.array([True, False, True, True, True, False])
    first, last = reliability(probability, right)
    assert first == {"low": 0.5, "high": 0.6, "rows": 2, "probability": pytest.approx(0.53), "right": 0.5}
    assert (last["rows"], last["right"]) == (4, 0.75)
    assert calibration_error([first, last]) == pytest.approx((2 * 0.03 + 4 * abs(0.96 - 0.75)) / 6)


def test_the_reliability_of_folds_is_that_of_predictions_out_of_fold():
    folds = make_folds(Y, 4)
    _, bins = score_folds(LogisticRegression(), X, Y, folds)
    table = cross_val_predict(LogisticRegression(), X, Y, cv=folds, method="predict_proba")
    labels = np.array(["cat", "dog"])[table.argmax(axis=1)]
    expected = reliability(table.max(axis=1), labels == Y)
    assert [entry["rows"] for entry in bins] == [entry["rows"] for entry in expected]
    assert [entry["right"] for entry in bins] == [entry["right"] for entry in expected]
    assert [entry["probability"] for entry in bins] == pytest.approx([entry["probability"] for entry in expected])
    assert sum(entry["rows"] for entry in bins) == 80


def test_without_probabilities_there_is_no_reliability():
    assert score_folds(LinearSVC(), X, Y, make_folds(Y, 2))[1] is None
    assert score_folds(Ridge(), X, X[:, 0], make_folds(X[:, 0], 2, regression=True))[1] is None


def test_data_and_folds_are_described():
    assert count_targets(Y[:4], regression=False)["classes"].keys() <= {"cat", "dog"}
    assert count_targets([2.0, 1.0], regression=True) == {"rows": 2, "target": [1.0, 2.0]}
    assert describe_folds(3, regression=True, groups="family") == "3 folds, with no family in both training and test"
