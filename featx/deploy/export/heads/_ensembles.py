"""Write estimators that hold others: pipelines, voting, stacking, bagging, one against the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import is_regressor

from featx.deploy.export._inputs import unwrap
from featx.deploy.export.heads._linear import normalized
from featx.deploy.export.heads._writer import FLOAT, METHODS, Rows, UnwritableError, Writer, writes


def _pipeline(method: str) -> Any:
    def write(graph: Writer, step: Any, rows: Rows) -> str:
        *before, last = [unwrap(part) for _, part in step.steps]
        for part in before:
            if part not in (None, "passthrough"):
                rows = graph.transform(part, rows)
        if method == "transform" and last in (None, "passthrough"):
            return rows.name
        return graph.write(last, method, rows)

    return write


for _method in METHODS:
    writes(_method, "sklearn.Pipeline")(_pipeline(_method))


def _sum(graph: Writer, tensors: list[str], weights: Sequence[float] | None) -> str:
    """Write the sum of tensors, weighted or not."""
    if weights is None:
        return graph.op("Sum", *tensors)
    return graph.op("Sum", *(graph.op("Mul", part, float(w)) for part, w in zip(tensors, weights, strict=True)))


def _mean(graph: Writer, tensors: list[str], weights: Sequence[float] | None = None) -> str:
    """Write the mean of tensors, weighted or not, in `numpy.average`'s order: ties stay ties."""
    total = float(len(tensors) if weights is None else np.sum(weights))
    return graph.op("Div", _sum(graph, tensors, weights), total)


# Voting

_VOTING, _VOTING_NUMBERS = "sklearn.VotingClassifier", "sklearn.VotingRegressor"


@writes("number", _VOTING_NUMBERS)
def _voted_number(graph: Writer, step: Any, rows: Rows) -> str:
    return _mean(graph, [graph.write(part, "number", rows) for part in step.estimators_], step._weights_not_none)


@writes("probabilities", _VOTING)
def _voted_probabilities(graph: Writer, step: Any, rows: Rows) -> str:
    return _mean(graph, [graph.write(part, "probabilities", rows) for part in step.estimators_], step._weights_not_none)


@writes("index", _VOTING)
def _voted(graph: Writer, step: Any, rows: Rows) -> str:
    if step.voting == "soft":
        return graph.argmax(graph.write(step, "probabilities", rows))
    votes = []
    for part in step.estimators_:  # their classes are positions in those of the whole
        position = graph.op("Gather", np.asarray(part.classes_, np.int64), graph.write(part, "index", rows))
        is_class = graph.op(
            "Equal", graph.op("Unsqueeze", position, np.array([1])), np.arange(len(step.classes_))[None]
        )
        votes.append(graph.cast(is_class, np.float64))
    return graph.argmax(_sum(graph, votes, step._weights_not_none))


# Stacking

_STACKING, _STACKING_NUMBERS = "sklearn.StackingClassifier", "sklearn.StackingRegressor"
_ANSWERS = {"predict_proba": "probabilities", "decision_function": "decision"}


def _stacked(method: str) -> Any:
    def write(graph: Writer, step: Any, rows: Rows) -> str:
        columns = [
            _stacked_columns(graph, part, answer, rows)
            for part, answer in zip(step.estimators_, step.stack_method_, strict=True)
        ]
        if step.passthrough:
            columns.append(graph.double(rows))
        name = graph.cast(graph.beside(columns), np.float32)
        return graph.write(step.final_estimator_, method, Rows((name,), (FLOAT,), (0,)))

    return write


def _stacked_columns(graph: Writer, part: Any, answer: str, rows: Rows) -> str:
    if answer == "predict":
        if is_regressor(part):
            return graph.write(part, "number", rows)
        labels = graph.op("Gather", np.asarray(part.classes_, np.float64), graph.write(part, "index", rows))
        return graph.op("Unsqueeze", labels, np.array([1]))
    scores = graph.write(part, _ANSWERS[answer], rows)
    # Of two probabilities one says all.
    return graph.columns(scores, [1]) if answer == "predict_proba" and len(part.classes_) == 2 else scores


for _method in ("index", "probabilities", "decision"):
    writes(_method, _STACKING)(_stacked(_method))
writes("number", _STACKING_NUMBERS)(_stacked("number"))


# Bagging

_BAGGING, _BAGGING_NUMBERS = "sklearn.BaggingClassifier", "sklearn.BaggingRegressor"


def _bagged(graph: Writer, step: Any, rows: Rows, method: str) -> list[str]:
    answers = []
    for part, features in zip(step.estimators_, step.estimators_features_, strict=True):
        chosen = rows
        if len(features) != step.n_features_in_ or (features != np.arange(len(features))).any():
            chosen = Rows((graph.columns(rows.name, features),), rows.types, (len(features),))
        answers.append(graph.write(part, method, chosen))
    return answers


@writes("number", _BAGGING_NUMBERS)
def _bagged_number(graph: Writer, step: Any, rows: Rows) -> str:
    return _mean(graph, _bagged(graph, step, rows, "number"))


def _bagged_scores(graph: Writer, step: Any, rows: Rows, method: str) -> str:
    if any(len(part.classes_) != len(step.classes_) for part in step.estimators_):
        raise UnwritableError("a BaggingClassifier of which a part has not seen every class")
    return _mean(graph, _bagged(graph, step, rows, method))


@writes("probabilities", _BAGGING)
def _bagged_probabilities(graph: Writer, step: Any, rows: Rows) -> str:
    if not hasattr(step.estimators_[0], "predict_proba"):
        raise UnwritableError("a BaggingClassifier of votes")
    return _bagged_scores(graph, step, rows, "probabilities")


@writes("decision", _BAGGING)
def _bagged_decision(graph: Writer, step: Any, rows: Rows) -> str:
    return _bagged_scores(graph, step, rows, "decision")


@writes("index", _BAGGING)
def _bagged_index(graph: Writer, step: Any, rows: Rows) -> str:
    return graph.argmax(graph.write(step, "probabilities", rows))


# Several outputs

_OUTPUTS, _OUTPUT_NUMBERS = "sklearn.MultiOutputClassifier", "sklearn.MultiOutputRegressor"


@writes("number", _OUTPUT_NUMBERS)
def _numbers(graph: Writer, step: Any, rows: Rows) -> str:
    return graph.beside([graph.write(part, "number", rows) for part in step.estimators_])


@writes("probabilities", _OUTPUTS)
def _probabilities(graph: Writer, step: Any, rows: Rows) -> str:
    return graph.beside([graph.write(part, "probabilities", rows) for part in step.estimators_])


@writes("index", _OUTPUTS)
def _indices(graph: Writer, step: Any, rows: Rows) -> str:
    each = [graph.write(part, "index", rows) for part in step.estimators_]
    return graph.beside([graph.op("Unsqueeze", index, np.array([1])) for index in each])


# One against the rest

_REST = "sklearn.OneVsRestClassifier"


def _against_rest(graph: Writer, step: Any, rows: Rows, method: str) -> str:
    if any(not hasattr(part, "classes_") for part in step.estimators_):
        raise UnwritableError("a OneVsRestClassifier of regressors, or with a class that every row has, or none")
    scores = [graph.write(part, method, rows) for part in step.estimators_]
    return graph.beside([graph.columns(score, [1]) for score in scores] if method == "probabilities" else scores)


@writes("decision", _REST)
def _rest_decision(graph: Writer, step: Any, rows: Rows) -> str:
    return _against_rest(graph, step, rows, "decision")


@writes("probabilities", _REST)
def _rest_probabilities(graph: Writer, step: Any, rows: Rows) -> str:
    positive = _against_rest(graph, step, rows, "probabilities")
    if step.multilabel_:
        return positive
    if len(step.estimators_) == 1:
        return graph.with_complement(positive)
    return normalized(graph, positive, len(step.classes_))


@writes("index", _REST)
def _rest_index(graph: Writer, step: Any, rows: Rows) -> str:
    has_decision = hasattr(step.estimators_[0], "decision_function")
    scores = _against_rest(graph, step, rows, "decision" if has_decision else "probabilities")
    above = graph.cast(graph.op("Greater", scores, 0.0 if has_decision else 0.5), np.int64)
    if step.multilabel_:
        return above
    return graph.op("Squeeze", above, np.array([1])) if len(step.estimators_) == 1 else graph.argmax(scores)
