"""Make equal steps of scikit-learn of featx's own heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn import linear_model, svm
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from featx.deploy.export._inputs import walk
from featx.heads import SVC, EmbeddingNormalizer, LinearProbe, LogisticRegression, PrototypeClassifier

# Heads of featx that differ from scikit-learn's in their fit alone.
_PARENTS: dict[type, type] = {LogisticRegression: linear_model.LogisticRegression, SVC: svm.SVC}


def equivalents(model: Any) -> dict[int, Any]:
    """Find what can stand in the place of featx's heads: the same head in steps of scikit-learn, for `rebuild`.

    Parameters
    ----------
    model : estimator
        A fitted one.

    Returns
    -------
    dict of int to estimator
        By the id of each head. `EmbeddingNormalizer("power")` has none: `register_converters` has it written in ONNX.
    """
    found = {id(part): _equivalent(part) for part in walk(model)}
    return {key: step for key, step in found.items() if step is not None}


def _equivalent(part: Any) -> Any:
    if type(part) in _PARENTS:
        return _with(_PARENTS[type(part)](), vars(part))
    if type(part) not in (EmbeddingNormalizer, LinearProbe, PrototypeClassifier):
        return None
    is_normalizer = type(part) is EmbeddingNormalizer
    if is_normalizer and part.method == "power":
        return None
    if not hasattr(part, "n_features_in_"):  # what an ensemble has cloned, and predicts without
        return Normalizer() if is_normalizer else linear_model.LogisticRegression()
    if is_normalizer:
        return _normalizer(part)
    return _prototypes(part) if type(part) is PrototypeClassifier else as_logistic(part)


def as_logistic(linear: Any) -> linear_model.LogisticRegression:
    """Make logistic regression of a linear classifier whose probabilities are the softmax of its scores."""
    logistic = linear_model.LogisticRegression()
    for attribute in ("coef_", "intercept_", "classes_", "n_features_in_"):
        setattr(logistic, attribute, getattr(linear, attribute))
    logistic.n_iter_ = np.array([1])
    return logistic


def _prototypes(head: PrototypeClassifier) -> Any:
    logistic = as_logistic(head)
    return _pipeline(normalizer=_unit(head), head=logistic) if head.metric == "cosine" else logistic


def _normalizer(step: EmbeddingNormalizer) -> Pipeline:
    if step.method == "whiten":
        return _pipeline(whiten=_linear(step), normalizer=_unit(step))
    center = StandardScaler(with_std=False)
    fitted = {"mean_": step.mean_, "scale_": None, "var_": None, "n_samples_seen_": np.int64(1)}
    return _pipeline(center=_with(center, {**fitted, "n_features_in_": step.n_features_in_}), normalizer=_unit(step))


def _linear(step: EmbeddingNormalizer) -> PCA:
    fitted = {
        "mean_": step.mean_,
        "components_": step.whitening_.T,
        "n_components_": len(step.mean_),
        "explained_variance_": np.ones(len(step.mean_)),
        "n_features_in_": step.n_features_in_,
    }
    return _with(PCA(), fitted)


def _unit(part: Any) -> Normalizer:
    return _with(Normalizer(), {"n_features_in_": part.n_features_in_})


def _with(estimator: Any, fitted: Mapping[str, Any]) -> Any:
    vars(estimator).update(fitted)
    return estimator


def _pipeline(**steps: Any) -> Pipeline:
    return Pipeline(list(steps.items()))
