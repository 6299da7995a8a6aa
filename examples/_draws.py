"""Several draws of training images and seeds -> a table with intervals, and whether transfer helps."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t
from sklearn.model_selection import train_test_split


def score_ways(
    ways: Mapping[str, Any], images: Sequence[Any], labels: np.ndarray, splits: Sequence[tuple[np.ndarray, np.ndarray]]
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Accuracies of each way, one a draw, on the same rows as the others'; and its mean seconds."""
    scores, seconds = {name: [] for name in ways}, dict.fromkeys(ways, 0.0)
    for train, test in splits:
        for name, way in ways.items():
            started = time.perf_counter()
            way.fit([images[i] for i in train], labels[train])
            scores[name].append(way.score([images[i] for i in test], labels[test]))
            seconds[name] += (time.perf_counter() - started) / len(splits)
    return scores, seconds


def draw_splits(labels: np.ndarray, draws: int, **size: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test rows of each draw, with each class's share; the size as `train_test_split` has it."""
    rows = np.arange(len(labels))
    return [tuple(train_test_split(rows, random_state=i, stratify=labels, **size)) for i in range(draws)]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half the 95 % interval of it: Student's t over draws, NaN for one draw."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return float(values.mean()), np.nan
    return float(values.mean()), float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))


def table_of(scores: Mapping[str, Sequence[float]], seconds: Mapping[str, float], baseline: str) -> pd.DataFrame:
    """A way a row: accuracy on the same test images, the paired difference to the baseline, seconds of a draw."""
    rows = []
    for name, values in scores.items():
        difference = "" if name == baseline else said(np.subtract(values, scores[baseline]), "+")
        rows.append((name, said(values), difference, f"{seconds[name]:.0f}"))
    return pd.DataFrame(rows, columns=["", "accuracy", f"against {baseline}", "seconds"])


def said(values: Sequence[float], sign: str = "") -> str:
    mean, half = interval(values)
    return f"{mean:{sign}.3f}" + ("" if np.isnan(half) else f" +- {half:.3f}")


def verdict(scores: Mapping[str, Sequence[float]], name: str, baseline: str) -> str:
    mean, half = interval(np.subtract(scores[name], scores[baseline]))
    word = "helps" if mean > half else "hurts" if mean < -half else "makes no clear difference"
    return f"{name} {word} against {baseline}: {100 * mean:+.1f} points" + (
        "" if np.isnan(half) else f" +- {100 * half:.1f}"
    )
