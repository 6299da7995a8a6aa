"""Scores of estimators: on rows that they were not fitted on, fold by fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    mean_absolute_error,
    r2_score,
    recall_score,
    root_mean_squared_error,
)
from sklearn.model_selection import cross_validate

from featx.evaluation._reliability import reliability


def score_folds(
    estimator: Any,
    X: Any,
    y: np.ndarray,
    folds: Sequence[tuple[Any, Any]],
    params: Mapping[str, Any] | None = None,
) -> tuple[pd.DataFrame, list[dict[str, Any]] | None]:
    """Score clones of an estimator on folds.

    Parameters
    ----------
    estimator : estimator
        A classifier or regressor; it is not changed.
    X : array or DataFrame of n rows
        What it takes.
    y : ndarray of shape (n,)
        Labels.
    folds : sequence of (train, test)
        Positions.
    params : mapping, default=None
        What is handed to its fit.

    Returns
    -------
    table : pandas.DataFrame
        One row per fold, with the columns of `score` and seconds.
    reliability : list of dict, or None
        As `reliability` returns it, of the test rows of all folds; None without probabilities.
    """
    found = cross_validate(
        estimator, X, y, cv=folds, scoring=score, error_score="raise", params=params, return_estimator=True
    )
    columns = {name.removeprefix("test_"): found[name] for name in found if name.startswith("test_")}
    table = pd.DataFrame(columns, index=[f"fold {i + 1}" for i in range(len(folds))])
    table = table.assign(seconds=found["fit_time"] + found["score_time"])
    if not is_classifier(estimator) or not all(hasattr(fitted, "predict_proba") for fitted in found["estimator"]):
        return table, None
    pairs = [
        _confidence(fitted, X.iloc[test] if hasattr(X, "iloc") else np.asarray(X)[test], y[test])
        for fitted, (_, test) in zip(found["estimator"], folds, strict=True)
    ]
    probability, right = map(np.concatenate, zip(*pairs, strict=True))
    return table, reliability(probability, right)


def _confidence(classifier: Any, X: Any, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability of each predicted label, and whether it is right."""
    labels, table = classifier.predict(X), classifier.predict_proba(X)
    # Not the largest: a tuned threshold may choose another label.
    columns = np.searchsorted(classifier.classes_, labels)
    return table[np.arange(len(labels)), columns], np.asarray(labels) == np.asarray(y)


def score(estimator: Any, X: Any, y: np.ndarray) -> dict[str, float]:
    """Score a fitted estimator.

    Parameters
    ----------
    estimator : estimator
        A fitted classifier or regressor.
    X : array or DataFrame of n rows
        The rows to predict.
    y : ndarray of shape (n,)
        Their labels.

    Returns
    -------
    dict
        images; accuracy, balanced_accuracy and macro_f1 of a classifier, or r2, mae and rmse of a regressor.
    """
    found = estimator.predict(X)
    return {"images": len(y), **(_score_labels if is_classifier(estimator) else _score_numbers)(y, found)}


def _score_labels(y: np.ndarray, found: np.ndarray) -> dict[str, float]:
    return {
        "accuracy": float(accuracy_score(y, found)),
        # balanced_accuracy_score would warn of labels that are predicted and not there.
        "balanced_accuracy": float(recall_score(y, found, labels=np.unique(y), average="macro", zero_division=0)),
        "macro_f1": float(f1_score(y, found, average="macro", zero_division=0)),
    }


def _score_numbers(y: np.ndarray, found: np.ndarray) -> dict[str, float]:
    return {
        "r2": float(r2_score(y, found)) if len(y) > 1 else float("nan"),
        "mae": float(mean_absolute_error(y, found)),
        "rmse": float(root_mean_squared_error(y, found)),
    }
