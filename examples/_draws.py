"""Several draws of training images and seeds -> a table with intervals, and whether transfer helps."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing


def score_ways(
    ways: Mapping[str, Any],
    images: Sequence[Any] | pd.DataFrame,
    labels: np.ndarray,
    splits: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Accuracies of each way, one a draw, on the same rows as the others'; and its mean seconds."""
    scores, seconds = {name: [] for name in ways}, dict.fromkeys(ways, 0.0)
    for train, test in splits:
        for name, way in ways.items():
            started = time.perf_counter()
            way.fit(_safe_indexing(images, train), labels[train])
            scores[name].append(way.score(_safe_indexing(images, test), labels[test]))
            seconds[name] += (time.perf_counter() - started) / len(splits)
    return scores, seconds


def draw_splits(labels: np.ndarray, draws: int, **size: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test rows of each draw, with each class's share; the size as `train_test_split` has it."""
    rows = np.arange(len(labels))
    return [tuple(train_test_split(rows, random_state=i, stratify=labels, **size)) for i in range(draws)]


def interval(values: Sequence[float], shared: float) -> tuple[float, float]:
    """Mean and half the 95 % interval of it: Student's t over draws, NaN for one draw.

    Draws share images, so the variance of their mean is (1/k + shared) s^2, not s^2/k. For random splits `shared` is
    n_test / n_train (Nadeau & Bengio 2003, Inference for the generalization error). Of n_train images drawn from n,
    on test images that hardly change, it is n_train / (n - n_train).
    """
    values = np.asarray(values, float)
    if len(values) < 2:
        return float(values.mean()), np.nan
    error = values.std(ddof=1) * np.sqrt(1 / len(values) + shared)
    return float(values.mean()), float(t.ppf(0.975, len(values) - 1) * error)


def table_of(
    scores: Mapping[str, Sequence[float]], seconds: Mapping[str, float], baseline: str, shared: float
) -> pd.DataFrame:
    """A way a row: accuracy on the same test images, the paired difference to the baseline, seconds of a draw."""
    rows = []
    for name, values in scores.items():
        difference = "" if name == baseline else said(np.subtract(values, scores[baseline]), "+", shared)
        rows.append((name, said(values, "", shared), difference, f"{seconds[name]:.0f}"))
    return pd.DataFrame(rows, columns=["", "accuracy", f"against {baseline}", "seconds"])


def said(values: Sequence[float], sign: str, shared: float) -> str:
    mean, half = interval(values, shared)
    return f"{mean:{sign}.3f}" + ("" if np.isnan(half) else f" +- {half:.3f}")


def verdict(scores: Mapping[str, Sequence[float]], name: str, baseline: str, shared: float) -> str:
    mean, half = interval(np.subtract(scores[name], scores[baseline]), shared)
    if np.isnan(half):
        return f"{name} against {baseline}: {100 * mean:+.1f} points in one draw, which is no evidence"
    word = "helps" if mean > half else "hurts" if mean < -half else "makes no clear difference"
    return f"{name} {word} against {baseline}: {100 * mean:+.1f} points +- {100 * half:.1f}"
