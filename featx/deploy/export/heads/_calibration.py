"""Write calibrated classifiers, and those with a threshold of their own."""

from __future__ import annotations

from typing import Any

import numpy as np

from featx.deploy.export.heads._linear import normalized
from featx.deploy.export.heads._targets import interpolated
from featx.deploy.export.heads._writer import Rows, UnwritableError, Writer, writes

_CALIBRATED = "sklearn.CalibratedClassifierCV"
_THRESHOLDS = ("sklearn.FixedThresholdClassifier", "sklearn.TunedThresholdClassifierCV")


@writes("probabilities", _CALIBRATED)
def _calibrated(graph: Writer, step: Any, rows: Rows) -> str:
    parts = [_calibrated_part(graph, part, rows) for part in step.calibrated_classifiers_]
    return graph.op("Div", graph.op("Sum", *parts), float(len(parts)))


def _calibrated_part(graph: Writer, part: Any, rows: Rows) -> str:
    """Write one of the classifiers with its calibrators."""
    inner, n = part.estimator, len(part.classes)
    if len(inner.classes_) != n:
        raise UnwritableError("a CalibratedClassifierCV of which a part has not seen every class")
    method = "decision" if hasattr(inner, "decision_function") else "probabilities"
    scores = graph.write(inner, method, rows)
    if part.method == "temperature":
        return _with_temperature(graph, part, scores, method)
    if n == 2:
        (calibrator,) = part.calibrators
        positive = graph.columns(scores, [1]) if method == "probabilities" else scores
        return graph.with_complement(_by_calibrator(graph, calibrator, positive))
    columns = [graph.columns(scores, [i]) for i in range(n)]
    calibrated = [_by_calibrator(graph, one, column) for one, column in zip(part.calibrators, columns, strict=True)]
    return normalized(graph, graph.beside(calibrated), n)


def _with_temperature(graph: Writer, part: Any, scores: str, method: str) -> str:
    if method == "probabilities":
        scores = graph.op("Log", graph.op("Add", scores, 1e-12))
    elif len(part.classes) == 2:
        scores = graph.beside([graph.op("Neg", scores), scores])
    return graph.op("Softmax", graph.op("Mul", scores, float(part.calibrators[0].beta_)), axis=1)


def _by_calibrator(graph: Writer, calibrator: Any, score: str) -> str:
    if type(calibrator).__name__ == "_SigmoidCalibration":
        logit = graph.op("Add", graph.op("Mul", score, float(-calibrator.a_)), float(-calibrator.b_))
        return graph.sigmoid(logit)
    # scikit-learn compares in the dtype that it was fitted in.
    score = graph.cast(graph.cast(score, calibrator.X_thresholds_.dtype), np.float64)
    return interpolated(graph, score, calibrator.X_thresholds_, calibrator.y_thresholds_)


def _inner(step: Any) -> Any:
    return getattr(step, "estimator_", step.estimator)


for _method in ("probabilities", "decision"):
    writes(_method, *_THRESHOLDS)(
        lambda graph, step, rows, method=_method: graph.write(_inner(step), method, rows)  # type: ignore[misc]
    )


@writes("index", *_THRESHOLDS)
def _above_threshold(graph: Writer, step: Any, rows: Rows) -> str:
    inner, classes = _inner(step), list(step.classes_)
    is_tuned = hasattr(step, "best_threshold_")
    label = step._curve_scorer._get_pos_label() if is_tuned else step.pos_label
    positive = 1 if label is None else classes.index(label)
    asked = step._get_response_method()
    names = [asked] if isinstance(asked, str) else asked
    response = next(name for name in names if hasattr(inner, name))
    if response == "predict_proba":
        score = graph.columns(graph.write(inner, "probabilities", rows), [positive])
    else:
        score = graph.write(inner, "decision", rows)
        score = score if positive else graph.op("Neg", score)
    threshold = step.best_threshold_ if is_tuned else step.threshold
    if threshold == "auto":
        threshold = 0.5 if response == "predict_proba" else 0.0
    is_above = graph.op("Squeeze", graph.op("GreaterOrEqual", score, float(threshold)), np.array([1]))
    return graph.op("Where", is_above, np.array([positive]), np.array([1 - positive]))
