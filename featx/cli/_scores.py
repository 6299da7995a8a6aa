"""How good a head is: fold by fold, and on splits that were kept aside."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone, is_classifier
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    mean_absolute_error,
    r2_score,
    recall_score,
    root_mean_squared_error,
)
from sklearn.model_selection import KFold, StratifiedKFold


def split_folds(head: Any, y: np.ndarray, n_folds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Shuffled folds, the same ones at each call; a classifier's are stratified."""
    kind = StratifiedKFold if is_classifier(head) else KFold
    return list(kind(n_folds, shuffle=True, random_state=0).split(np.empty((len(y), 0)), y))


def cross_validate(head: Any, embeddings: np.ndarray, y: np.ndarray, folds: Sequence[tuple[Any, Any]]) -> pd.DataFrame:
    """Score clones of a head on folds.

    Parameters
    ----------
    head : estimator
    embeddings : ndarray of shape (n, dim)
    y : ndarray of shape (n,)
    folds : sequence of (train, test)

    Returns
    -------
    pandas.DataFrame
        A row a fold, as `score` makes it.
    """
    records = []
    for train, test in folds:
        started = time.perf_counter()
        fitted = clone(head).fit(embeddings[train], y[train])
        records.append(score(fitted, embeddings[test], y[test], started))
    return pd.DataFrame(records, index=[f"fold {i + 1}" for i in range(len(folds))])


def score(head: Any, embeddings: np.ndarray, y: np.ndarray, started: float | None = None) -> dict[str, float]:
    """Score a fitted head.

    Parameters
    ----------
    head : estimator
    embeddings : ndarray of shape (n, dim)
    y : ndarray of shape (n,)
    started : float, default=None
        When the clock of `seconds` began; None is now.

    Returns
    -------
    dict
        images, accuracy, balanced_accuracy and macro_f1 of a classifier or r2, mae and rmse, and seconds.
    """
    started = time.perf_counter() if started is None else started
    found = head.predict(embeddings)
    metrics = _classifier_scores(y, found) if is_classifier(head) else _regressor_scores(y, found)
    return {"images": len(y), **metrics, "seconds": time.perf_counter() - started}


def format_scores(folds: pd.DataFrame, splits: pd.DataFrame) -> str:
    """Format them as a table, with mean and standard deviation of the folds."""
    shown = pd.concat([_formatted(frame) for frame in (folds, splits) if len(frame)])
    if len(folds):
        numbers = folds.drop(columns="images")
        summary = {name: f"{numbers[name].mean():.3f} +- {numbers[name].std(ddof=0):.3f}" for name in numbers}
        summary = pd.DataFrame({"images": "", **summary}, index=["mean +- std"])
        shown = pd.concat([shown[: len(folds)], summary, shown[len(folds) :]])
    return shown.to_string()


def _formatted(scores: pd.DataFrame) -> pd.DataFrame:
    return scores.map("{:.3f}".format).assign(images=scores["images"].map("{:,}".format))


def _classifier_scores(y: np.ndarray, found: np.ndarray) -> dict[str, float]:
    return {
        "accuracy": float(accuracy_score(y, found)),
        # As scikit-learn's own, which warns of labels that are predicted and not there.
        "balanced_accuracy": float(recall_score(y, found, labels=np.unique(y), average="macro", zero_division=0)),
        "macro_f1": float(f1_score(y, found, average="macro", zero_division=0)),
    }


def _regressor_scores(y: np.ndarray, found: np.ndarray) -> dict[str, float]:
    return {
        "r2": float(r2_score(y, found)) if len(y) > 1 else float("nan"),
        "mae": float(mean_absolute_error(y, found)),
        "rmse": float(root_mean_squared_error(y, found)),
    }
