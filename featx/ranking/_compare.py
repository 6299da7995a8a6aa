"""What a ranking says as a whole: the frontier, the agreement of its scores, one sentence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import weightedtau

from featx.evaluation import ScoreUnit, fold_interval


def on_frontier(score: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Which candidates no other beats: none is as good and faster, or better and as fast.

    Parameters
    ----------
    score, rate : ndarray of shape (n,)
        Higher is better; NaN is never on it.

    Returns
    -------
    ndarray of shape (n,), bool
    """
    beaten = np.array(
        [((score >= s) & (rate >= r) & ((score > s) | (rate > r))).any() for s, r in zip(score, rate, strict=True)]
    )
    return ~beaten & ~np.isnan(score) & ~np.isnan(rate)


def agreement(table: pd.DataFrame, scores: Sequence[str], reference: str) -> dict[str, float]:
    """How far each score ranks the candidates as the reference does: weighted Kendall tau.

    Differences at the top weigh most (Vigna 2015, arXiv:1404.3325); 1 is the same order, 0 none, -1 the opposite.

    Parameters
    ----------
    table : DataFrame
        A row a candidate.
    scores : sequence of str
        Columns.
    reference : str
        The column of the honest score.

    Returns
    -------
    dict of str to float
        NaN where fewer than three candidates have both, or all have one value.
    """
    taus = {}
    for name in scores:
        both = table[[name, reference]].dropna()
        usable = len(both) > 2 and (both.nunique() > 1).all()
        taus[name] = float(weightedtau(both[name], both[reference]).statistic) if usable else float("nan")
    return taus


def in_words(
    labels: Sequence[str], folds: Sequence[np.ndarray], rates: np.ndarray, test_share: float, unit: ScoreUnit
) -> str:
    """The best candidate beside the best of those that are faster.

    Parameters
    ----------
    labels : sequence of str
        The candidates, best first.
    folds : sequence of ndarray of shape (n_folds,)
        Their scores on the same folds.
    rates : ndarray
        Images/s.
    test_share : float
        n_test / n_train of a fold.
    unit : ScoreUnit
        Of the scores.

    Returns
    -------
    str
        For instance ``"resnet50: +1.2 +- 0.9 points for 3.8x the time of resnet18"``.
    """
    best = f"{labels[0]}: {unit.name} {folds[0].mean():.3f}"
    faster = [i for i in range(1, len(labels)) if rates[i] > rates[0]]
    if not faster:
        others = len(labels) - 1
        return f"{best}, the best" + (
            f" and the fastest of {others + 1} candidates" if others else ", of one candidate"
        )
    i = faster[0]
    low, high = fold_interval(folds[0] - folds[i], test_share)
    gain, half = (low + high) / 2, (high - low) / 2
    doubt = " (no more than chance explains: take the faster)" if gain < half else ""
    return f"{labels[0]}: {unit.format(gain, half)} for {rates[i] / rates[0]:.1f}x the time of {labels[i]}{doubt}"
