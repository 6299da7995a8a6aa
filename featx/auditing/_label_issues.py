"""Labels that a model trained on the other images contradicts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from featx.evaluation import check_classes, check_embeddings, make_folds, regression_hint
from featx.exceptions import InputError


@dataclass
class LabelIssues:
    """Which labels are likely wrong.

    Attributes
    ----------
    issue : ndarray of shape (n,), bool
        Another class is more probable than the label, and as probable as it is among its own images.
    suggested : ndarray of shape (n,), object
        The class of an issue that would fit; None elsewhere.
    quality : ndarray of shape (n,), float64
        The probability of the given label, from a model that did not see the image: 0 to 1. NaN where the class has
        too few images.
    thresholds : dict
        Class -> its mean probability among its own images.
    n_folds : int
        How many folds the rarest class that was judged allowed.
    unjudged : list
        Classes with a single image or a single group: no model can be tested on them.
    """

    issue: np.ndarray
    suggested: np.ndarray
    quality: np.ndarray
    thresholds: dict[Any, float]
    n_folds: int
    unjudged: list[Any]

    def spread(self, rows: np.ndarray, n: int) -> LabelIssues:
        """The same for n rows, of which these are the ones that were judged."""
        issue, suggested, quality = np.zeros(n, bool), np.full(n, None, object), np.full(n, np.nan)
        issue[rows], suggested[rows], quality[rows] = self.issue, self.suggested, self.quality
        return replace(self, issue=issue, suggested=suggested, quality=quality)


def find_label_issues(Z: Any, y: Any, *, groups: Any = None, cv: int = 5) -> LabelIssues:
    """Find labels that are likely wrong, by confident learning.

    Each image is judged by a model (StandardScaler, LogisticRegression(C=0.01)) that was trained on the other folds.
    A label is an issue where the most probable class among those whose probability reaches their own threshold is
    another one (Northcutt, Jiang & Chuang 2021, "Confident learning", arXiv:1911.00068); the threshold of a class is
    its mean probability over the images that bear its label.

    Parameters
    ----------
    Z : array of shape (n, dim)
        Embeddings.
    y : array of shape (n,)
        Classes.
    groups : array of shape (n,), default=None
        Rows of one group stay in one fold: a copy would vouch for its own wrong label.
    cv : int, default=5
        Folds; fewer where a class has fewer images or groups.

    Returns
    -------
    LabelIssues

    Raises
    ------
    InputError
        If embeddings or labels cannot be used, or fewer than two classes have two images of two groups.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from featx.auditing import find_label_issues
    >>> Z, y = load_iris(return_X_y=True)
    >>> y[0] = 2
    >>> issues = find_label_issues(Z, y)
    >>> bool(issues.issue[0]), issues.suggested[0]
    (True, 0)
    """
    Z = check_embeddings(Z)
    codes, classes = check_classes(y, len(Z))
    groups = np.arange(len(Z)) if groups is None else np.asarray(groups)
    if groups.shape != codes.shape:
        raise InputError(f"Got groups of shape {groups.shape} for {len(Z):,} rows. Expected one group a row.")
    counts = np.array([len(np.unique(groups[codes == code])) for code in range(len(classes))])
    judged = counts >= 2
    if judged.sum() < 2:
        raise InputError(
            f"Got {judged.sum()} classes with two images or more. Expected two such classes.{regression_hint(classes)}"
        )
    rows = np.flatnonzero(judged[codes])
    n_folds = int(min(cv, counts[judged].min()))
    kept = np.flatnonzero(judged)
    probabilities = _out_of_sample(Z[rows], np.searchsorted(kept, codes[rows]), groups[rows], n_folds)
    return _judge(probabilities, codes, classes, kept, rows, n_folds)


def _out_of_sample(Z: np.ndarray, codes: np.ndarray, groups: np.ndarray, n_folds: int) -> np.ndarray:
    """Each row's probabilities by a model that was trained without its fold."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probabilities = np.zeros((len(Z), codes.max() + 1))
    # Without copies plain stratified folds are fairer to rare classes than grouped ones.
    groups = groups if len(np.unique(groups)) < len(groups) else None
    for train, test in make_folds(codes, n_folds, groups):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
        seen = np.unique(codes[train])
        if len(seen) < 2:  # grouped folds may leave a rare class out
            probabilities[test, seen] = 1
            continue
        probabilities[np.ix_(test, seen)] = model.fit(Z[train], codes[train]).predict_proba(Z[test])
    return probabilities


def _judge(
    probabilities: np.ndarray, codes: np.ndarray, classes: np.ndarray, kept: np.ndarray, rows: np.ndarray, n_folds: int
) -> LabelIssues:
    given = np.searchsorted(kept, codes[rows])
    own = probabilities[np.arange(len(rows)), given]
    thresholds = np.array([own[given == code].mean() for code in range(len(kept))])
    confident = np.where(probabilities >= thresholds, probabilities, -1)
    best = confident.argmax(axis=1)
    # The arg-max of all: where another class is more probable yet, but not confident, nothing is sure.
    wrong = (confident.max(axis=1) > 0) & (best != given) & (best == probabilities.argmax(axis=1))
    issue = np.zeros(len(codes), bool)
    issue[rows] = wrong
    suggested = np.full(len(codes), None, object)
    suggested[rows[wrong]] = classes[kept[best[wrong]]].tolist()
    quality = np.full(len(codes), np.nan)
    quality[rows] = own
    return LabelIssues(
        issue,
        suggested,
        quality,
        dict(zip(classes[kept].tolist(), thresholds.tolist(), strict=True)),
        n_folds,
        [label for code, label in enumerate(classes.tolist()) if code not in kept],
    )
