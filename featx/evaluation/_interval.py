"""How sure a mean over folds is."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import t


def fold_interval(
    values: Any,
    test_share: float,
    level: float = 0.95,
    *,
    variance: float | None = None,
    degrees_of_freedom: int | None = None,
) -> tuple[float, float]:
    """Interval of a mean over folds or draws whose training rows overlap.

    Plain standard errors are too small there; the variance of the mean of J values is taken as
    (1/J + n_test/n_train) s^2, with Student's t of J - 1 degrees of freedom (Nadeau & Bengio 2003, "Inference for
    the generalization error", Machine Learning 52, section 3).

    Parameters
    ----------
    values : array of shape (J,)
        A score, or a difference of two scores, a fold.
    test_share : float
        n_test / n_train of a fold; 1 / (J - 1) in cross-validation.
    level : float, default=0.95
    variance : float, default=None
        The variance s^2 of one fold's value, where more is known of it than the values show.
    degrees_of_freedom : int, default=None
        The degrees of freedom of that variance; None is J - 1.

    Returns
    -------
    low, high : float
        NaN where there are fewer than two values.

    Examples
    --------
    >>> from featx.evaluation._interval import fold_interval
    >>> low, high = fold_interval([0.90, 0.92, 0.91, 0.93, 0.89], test_share=0.25)
    >>> round(low, 3), round(high, 3)
    (0.881, 0.939)
    """
    values = np.asarray(values, float)
    n = len(values)
    if n < 2:
        return np.nan, np.nan
    variance = values.var(ddof=1) if variance is None else variance
    quantile = t.ppf((1 + level) / 2, n - 1 if degrees_of_freedom is None else degrees_of_freedom)
    half = quantile * np.sqrt(variance * (1 / n + test_share))
    return float(values.mean() - half), float(values.mean() + half)
