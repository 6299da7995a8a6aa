"""Write linear classifiers and regressors, in float64 as scikit-learn computes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from featx.deploy.export.heads._writer import Rows, UnwritableError, Writer, index_of_decision, writes

_SOFTMAX = ("sklearn.LogisticRegression", "sklearn.LogisticRegressionCV", "sklearn.LinearDiscriminantAnalysis")
_MARGINS = ("sklearn.LinearSVC", "sklearn.Perceptron", "sklearn.RidgeClassifier", "sklearn.RidgeClassifierCV")
_SGD = "sklearn.SGDClassifier"
_NUMBERS = (
    *(f"sklearn.{name}" for name in ("LinearRegression", "Ridge", "RidgeCV", "Lasso", "LassoCV", "ElasticNet")),
    *(f"sklearn.{name}" for name in ("ElasticNetCV", "LinearSVR", "SGDRegressor", "HuberRegressor", "BayesianRidge")),
    *(f"sklearn.{name}" for name in ("ARDRegression", "Lars", "LassoLars", "QuantileRegressor", "TheilSenRegressor")),
    *("sklearn.MultiTaskLasso", "sklearn.MultiTaskElasticNet", "sklearn.OrthogonalMatchingPursuit"),
)
# What they predict is an exponential.
EXPONENTIAL = ("PoissonRegressor", "GammaRegressor")


def _linear(graph: Writer, step: Any, rows: Rows) -> str:
    weights = np.atleast_2d(np.asarray(step.coef_, np.float64))
    product = graph.op("MatMul", graph.double(rows), np.ascontiguousarray(weights.T))
    intercept = np.broadcast_to(np.asarray(step.intercept_, np.float64).ravel(), (len(weights),))
    return graph.op("Add", product, intercept[None])


writes("number", *_NUMBERS)(_linear)


@writes("number", *(f"sklearn.{name}" for name in EXPONENTIAL))
def _exponential(graph: Writer, step: Any, rows: Rows) -> str:
    return graph.op("Exp", _linear(graph, step, rows))


@writes("decision", *_SOFTMAX, *_MARGINS, _SGD)
def _decision(graph: Writer, step: Any, rows: Rows) -> str:
    return _linear(graph, step, rows)


@writes("index", "sklearn.RidgeClassifier", "sklearn.RidgeClassifierCV")
def _ridge_index(graph: Writer, step: Any, rows: Rows) -> str:
    decision = graph.write(step, "decision", rows)
    if step._label_binarizer.y_type_.startswith("multilabel"):
        return graph.cast(graph.op("Greater", decision, 0.0), np.int64)
    return index_of_decision(graph, step, rows)


@writes("probabilities", *_SOFTMAX)
def _softmax(graph: Writer, step: Any, rows: Rows) -> str:
    decision = graph.write(step, "decision", rows)
    if len(step.classes_) == 2:
        return graph.with_complement(graph.sigmoid(decision))
    return graph.op("Softmax", decision, axis=1)


@writes("probabilities", _SGD)
def _one_against_rest(graph: Writer, step: Any, rows: Rows) -> str:
    decision = graph.write(step, "decision", rows)
    if step.loss == "log_loss":
        positive = graph.sigmoid(decision)
    elif step.loss == "modified_huber":
        positive = graph.op("Mul", graph.op("Add", graph.op("Clip", decision, -1.0, 1.0), 1.0), 0.5)
    else:
        raise UnwritableError(f"SGDClassifier(loss={step.loss!r}) has no probabilities")
    if len(step.classes_) == 2:
        return graph.with_complement(positive)
    return normalized(graph, positive, len(step.classes_))


def normalized(graph: Writer, scores: str, n: int) -> str:
    """Divide rows by their sums; where that is zero all classes are equally probable."""
    total = graph.row_sums(scores)
    is_zero = graph.op("Equal", total, 0.0)
    return graph.op("Where", is_zero, 1.0 / n, graph.op("Div", scores, graph.op("Where", is_zero, 1.0, total)))
