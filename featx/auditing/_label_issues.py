"""Labels that a model trained on other images contradicts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from featx.evaluation import check_classes, check_embeddings, make_folds, regression_hint
from featx.exceptions import InputError
from featx.heads import LogisticRegression


@dataclass
class LabelIssues:
    """Which labels are likely wrong.

    Attributes
    ----------
    issue : ndarray of shape (n,), bool
        Whether another class is more probable than the label, and at least as probable as it is on average among the
        images with its label.
    suggested : ndarray of shape (n,), object
        For an issue, the class that would fit; None elsewhere.
    quality : ndarray of shape (n,), float64
        The probability of the given label, from 0 to 1, by a model that was not trained on the image. NaN if the class
        has too few images.
    thresholds : dict
        For each class, its mean probability among the images with its label.
    n_folds : int
        Number of folds, which the rarest checked class limits.
    unjudged : list
        Classes with a single image or a single group, which cannot be checked.
    """

    issue: np.ndarray
    suggested: np.ndarray
    quality: np.ndarray
    thresholds: dict[Any, float]
    n_folds: int
    unjudged: list[Any]

    def spread(self, rows: np.ndarray, n: int) -> LabelIssues:
        """Extend the result to n rows, of which only the given ones were checked."""
        issue: np.ndarray = np.zeros(n, bool)
        suggested: np.ndarray = np.full(n, None, object)
        quality: np.ndarray = np.full(n, np.nan)
        issue[rows], suggested[rows], quality[rows] = self.issue, self.suggested, self.quality
        return replace(self, issue=issue, suggested=suggested, quality=quality)


def find_label_issues(embeddings: Any, y: Any, *, groups: Any = None, cv: int = 5) -> LabelIssues:
    """Find labels that are likely wrong, by confident learning.

    Each label is checked by a model (StandardScaler, LogisticRegression(C=0.01)) that was trained on the other folds.
    A label is an issue if the most probable class, among those whose probability reaches their threshold, is another
    one (Northcutt, Jiang & Chuang 2021, "Confident learning", arXiv:1911.00068). The threshold of a class is its mean
    probability over the images with its label.

    Parameters
    ----------
    embeddings : array of shape (n, dim)
        Embeddings.
    y : array of shape (n,)
        Classes.
    groups : array of shape (n,), default=None
        Rows of one group stay in one fold. Otherwise a copy in the training set would confirm a wrong label.
    cv : int, default=5
        Number of folds; fewer if a class has fewer images or groups.

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
    >>> X, y = load_iris(return_X_y=True)
    >>> y[0] = 2
    >>> issues = find_label_issues(X, y)
    >>> bool(issues.issue[0]), issues.suggested[0]
    (True, 0)
    """
    Z = check_embeddings(embeddings)
    codes, classes = check_classes(y, len(Z))
    groups = np.arange(len(Z)) if groups is None else np.asarray(groups)
    if groups.shape != codes.shape:
        raise InputError(f"Got groups of shape {groups.shape} for {len(Z):,} rows. Expected one group a row.")
    counts = np.array([len(np.unique(groups[codes == code])) for code in range(len(classes))])
    checked = counts >= 2
    if checked.sum() < 2:
        raise InputError(
            f"Got {checked.sum()} classes with two images or more. Expected two such classes.{regression_hint(classes)}"
        )
    rows = np.flatnonzero(checked[codes])
    n_folds = int(min(cv, counts[checked].min()))
    kept = np.flatnonzero(checked)
    given = np.asarray(np.searchsorted(kept, codes[rows]))
    probabilities = _out_of_sample(Z[rows], given, groups[rows], n_folds)
    return _find_issues(probabilities, codes, classes, kept, rows, n_folds)


def _out_of_sample(Z: np.ndarray, codes: np.ndarray, groups: np.ndarray, n_folds: int) -> np.ndarray:
    """Predict each row's probabilities by a model that was trained without its fold."""
    probabilities: np.ndarray = np.zeros((len(Z), codes.max() + 1))
    # Without copies plain stratified folds are fairer to rare classes than grouped ones.
    has_copies = len(np.unique(groups)) < len(groups)
    for train, test in make_folds(codes, n_folds, groups if has_copies else None):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
        seen = np.unique(codes[train])
        if len(seen) < 2:  # grouped folds may leave a rare class out
            probabilities[test, seen] = 1
            continue
        probabilities[np.ix_(test, seen)] = model.fit(Z[train], codes[train]).predict_proba(Z[test])
    return probabilities


def _find_issues(
    probabilities: np.ndarray, codes: np.ndarray, classes: np.ndarray, kept: np.ndarray, rows: np.ndarray, n_folds: int
) -> LabelIssues:
    given = np.searchsorted(kept, codes[rows])
    own = probabilities[np.arange(len(rows)), given]
    thresholds = np.array([own[given == code].mean() for code in range(len(kept))])
    confident = np.where(probabilities >= thresholds, probabilities, -1)
    best = confident.argmax(axis=1)
    # The best class overall, too: if a more probable one does not reach its threshold, nothing is certain.
    wrong = (confident.max(axis=1) > 0) & (best != given) & (best == probabilities.argmax(axis=1))
    issue: np.ndarray = np.zeros(len(codes), bool)
    issue[rows] = wrong
    suggested: np.ndarray = np.full(len(codes), None, object)
    suggested[rows[wrong]] = classes[kept[best[wrong]]].tolist()
    quality: np.ndarray = np.full(len(codes), np.nan)
    quality[rows] = own
    return LabelIssues(
        issue,
        suggested,
        quality,
        dict(zip(classes[kept].tolist(), thresholds.tolist(), strict=True)),
        n_folds,
        [label for code, label in enumerate(classes.tolist()) if code not in kept],
    )
