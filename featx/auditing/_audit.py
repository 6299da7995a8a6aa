"""audit: what is wrong with a set of images and labels, before training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from featx._image_encoder import ImageEncoder, extraction_of
from featx._precompute import as_image_encoder
from featx.auditing._calibration import Calibration, calibrate
from featx.auditing._duplicates import group_alike, merge_groups
from featx.auditing._label_issues import LabelIssues, find_label_issues
from featx.auditing._look import Whitening, similarity
from featx.auditing._ood import OODDetector
from featx.auditing._result import Audit
from featx.auditing._survey import Survey, survey
from featx.encoders import Encoder
from featx.evaluation import is_regression
from featx.exceptions import InputError
from featx.images import as_column

_FENCE = 3.0
_FEW = 20


def audit(
    X: Any,
    y: Any = None,
    *,
    groups: Any = None,
    task: str = "auto",
    encoder: str | Encoder | ImageEncoder = "efficientnet_lite0",
    cv: int = 5,
    verbose: int = 1,
) -> Audit:
    """Find unreadable images, duplicates, likely wrong labels and outliers.

    Nothing is changed or deleted: `Audit.clean` chooses rows.

    Parameters
    ----------
    X : container of images
        n of them, as for `ImageEncoder`.
    y : array of shape (n,), default=None
        Classes. A missing one (None, NaN) is an image without a label. Numbers to predict are not judged, as every
        method here is of classes, and a note says so; copies with different numbers are in conflict all the same.
    groups : array of shape (n,), default=None
        Rows that belong together for reasons of your own (a patient, a video); they are joined with the duplicates
        in `Audit.groups`. A missing one belongs to none.
    task : {"auto", "classification", "regression"}, default="auto"
        Whether y holds classes or numbers. ``"auto"``: text, bools and categories are classes, numbers with fractions
        are numbers; whole ones too if most values occur in fewer rows than there are folds, and a warning says so.
    encoder : str, Encoder or ImageEncoder, default="efficientnet_lite0"
        Its embeddings tell wrong labels and outliers; they are kept in its store.
    cv : int, default=5
        Folds in which labels are judged; no group is on both sides of one.
    verbose : int, default=1
        1 shows the encoder's progress.

    Returns
    -------
    Audit

    Raises
    ------
    InputError
        If X holds no images, or y or groups are of another length.
    UnknownNameError
        If there is no such task.

    Notes
    -----
    Near duplicates are told by 8 x 8 pixels, whitened and aligned (each image whole, and without 5 or 10 % around the
    centre), from a similarity on that one image in 1,000 is expected to have to a different one, and no lower than 0.9.
    Copies of up to 100 of the images (saved again as JPEG, halved, cropped) tell how many are missed:
    `Audit.calibration` has the rates. Mirrored and turned copies, stronger crops, and crops of one side alone are not
    found. Blank images, all of one color, are told apart and never called copies.

    Labels are judged by confident learning (`find_label_issues`). The outlier score is the distance to the tenth
    nearest embedding (`OODDetector`); outliers are those that lie three interquartile ranges above the third quartile:
    another kind of image, not an odd one of the same kind.

    On 2,000 images of Fashion-MNIST, 40 crops of photos and 120 tiles of them with planted faults
    (``python -m tests.benchmarks.audit``):

    ======================================  =======  ======  ======
    found                                   Fashion   crops   tiles
    ======================================  =======  ======  ======
    copies saved again as JPEG                 1.00    1.00    0.75
    copies of half the size                    1.00    1.00    1.00
    copies cropped by 5 %                      0.98    1.00    1.00
    pairs found that are copies                0.99    1.00    1.00
    wrong labels                               0.72       -       -
    labels suspected that are wrong            0.36       -       -
    20 photos among Fashion, as outliers       1.00       -       -
    outliers found that are photos             1.00       -       -
    ======================================  =======  ======  ======

    Examples
    --------
    >>> import featx
    >>> from featx.auditing import audit
    >>> from sklearn.datasets import load_sample_images
    >>> china, flower = load_sample_images().images
    >>> audited = audit([china, flower, china, None], encoder=featx.ImageEncoder(cache=False), verbose=0)
    >>> audited.groups.tolist()
    [0, 1, 0, 2]
    >>> len(audited.clean())
    2
    """
    column = as_column(X)
    n = len(column)
    if n == 0:
        raise InputError("Got no images. Expected at least one.")
    labels = _labels(y, n)
    regression = is_regression([] if y is None else y, task, n_folds=cv, stacklevel=2)
    given = _user_groups(groups, n)
    encoder = clone(as_image_encoder(encoder)).set_params(on_error="nan", on_missing="nan", verbose=verbose)
    extraction_of(encoder)  # wrong parameters are refused before images are read
    seen = survey(column.sources, encoder.max_pixels, encoder.n_jobs)
    ok = np.array([not error for error in seen.errors])
    duplicates, calibration = _duplicates(seen, ok & ~seen.blank)
    together = merge_groups(duplicates, given)
    Z = _embed(encoder, column.sources, ok)
    judged, note = _judge(Z, labels, regression, ok, together, cv)
    scores, outlier, far = _outliers(Z, duplicates[ok], ok)
    return Audit(
        _table(column, seen, ok, duplicates, labels, judged, scores, outlier),
        together,
        calibration,
        judged,
        [text for text in (note, *_said_of(judged, cv), far) if text],
        encoder,
    )


def _labels(y: Any, n: int) -> np.ndarray | None:
    if y is None:
        return None
    labels = _as_array(y)
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.shape != (n,):
        raise InputError(f"Got y of shape {labels.shape} for {n:,} images. Expected one label an image.")
    return labels


def _as_array(values: Any) -> np.ndarray:
    # Of ["a", nan] numpy alone makes the text "nan".
    return np.asarray(pd.Series(values, dtype=object) if isinstance(values, list | tuple) else values)


def _user_groups(groups: Any, n: int) -> np.ndarray:
    if groups is None:
        return np.arange(n)
    groups = _as_array(groups)
    if groups.shape != (n,):
        raise InputError(f"Got groups of shape {groups.shape} for {n:,} images. Expected one group an image.")
    codes = pd.factorize(groups)[0]
    return np.where(codes < 0, n + np.arange(n), codes)


def _duplicates(seen: Survey, ok: np.ndarray) -> tuple[np.ndarray, Calibration | None]:
    """A group for each row, and the similarity that decided; rows that are not ok stay alone."""
    groups = np.arange(len(ok))
    if not ok.any():
        return groups, None
    rows = np.flatnonzero(ok)
    whitening = Whitening(seen.looks[rows])
    points = whitening(seen.looks[rows])
    place = np.searchsorted(rows, list(seen.sample)) if seen.sample else np.empty(0, int)
    calibration = calibrate(points, whitening, place, list(seen.sample.values())) if seen.sample else None
    digests = [seen.digests[i] for i in rows]
    threshold = calibration.threshold if calibration else 2.0
    groups[rows] = rows[_first_rows(group_alike(points, similarity, threshold, digests))]
    return groups, calibration


def _first_rows(groups: np.ndarray) -> np.ndarray:
    """Of each row the first row of its group."""
    return np.unique(groups, return_index=True)[1][groups]


def _embed(encoder: ImageEncoder, sources: Any, ok: np.ndarray) -> np.ndarray:
    readable = [sources[i] for i in np.flatnonzero(ok)]
    return np.asarray(encoder.transform(readable), np.float64) if readable else np.empty((0, 1))


def _judge(
    Z: np.ndarray, labels: np.ndarray | None, regression: bool, ok: np.ndarray, groups: np.ndarray, cv: int
) -> tuple[LabelIssues | None, str]:
    """What labels are worth, of all n rows; or why that cannot be told."""
    if labels is None:
        return None, ""
    labelled = ~pd.isna(labels)
    rows = np.flatnonzero(ok & labelled)
    if len(rows) and regression:
        return None, "Labels are numbers to predict: they are not judged."
    usable = np.isfinite(Z).all(axis=1)
    rows = rows[usable[np.searchsorted(np.flatnonzero(ok), rows)]]
    if not len(rows):
        return None, "No readable image has a label: labels are not judged."
    chosen = np.array(labels[rows].tolist())
    try:
        found = find_label_issues(Z[np.searchsorted(np.flatnonzero(ok), rows)], chosen, groups=groups[rows], cv=cv)
    except InputError as error:
        return None, f"Labels are not judged. {error}"
    return found.spread(rows, len(ok)), ""


def _said_of(judged: LabelIssues | None, cv: int) -> list[str]:
    if judged is None:
        return []
    notes = []
    if judged.n_folds < cv:
        notes.append(f"Labels are judged in {judged.n_folds} folds instead of {cv}: a class has no more images apart.")
    if judged.unjudged:
        names = ", ".join(map(str, judged.unjudged[:5])) + (", ..." if len(judged.unjudged) > 5 else "")
        notes.append(f"Classes with one image apart from copies are not judged: {names}.")
    return notes


def _outliers(Z: np.ndarray, groups: np.ndarray, ok: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Distances, outliers among them, and why there are none."""
    scores, outlier = np.full(len(ok), np.nan), np.zeros(len(ok), bool)
    usable = np.isfinite(Z).all(axis=1)
    first = np.flatnonzero(usable)[np.unique(groups[usable], return_index=True)[1]] if len(groups) else []
    if len(first) < 2:
        return scores, outlier, "Outliers are not looked for: there is one image, apart from copies."
    # One of each group: copies would vouch for each other.
    detector = OODDetector("knn").fit(Z[first])
    rows = np.flatnonzero(ok)[usable]
    scores[rows] = -detector.score_samples(Z[usable])
    if len(first) < _FEW:
        return scores, outlier, f"Outliers are scored, but not marked: there are {len(first)} images apart from copies."
    low, high = np.quantile(scores[rows], [0.25, 0.75])
    outlier[rows] = scores[rows] > high + _FENCE * (high - low)
    return scores, outlier, ""


def _table(
    column: Any,
    seen: Survey,
    ok: np.ndarray,
    duplicates: np.ndarray,
    labels: np.ndarray | None,
    judged: LabelIssues | None,
    scores: np.ndarray,
    outlier: np.ndarray,
) -> pd.DataFrame:
    n = len(ok)
    several = np.bincount(duplicates, minlength=n)[duplicates] > 1
    columns = {
        "image": pd.Series(list(column.sources), dtype=object),
        "label": pd.Series(np.full(n, None) if labels is None else labels.tolist(), dtype=object),
        "ok": ok,
        "error": seen.errors,
        "blank": seen.blank,
        "duplicate_group": _numbered(duplicates, several),
        "duplicate_label_conflict": _conflicts(duplicates, labels),
        "suggested_label": np.full(n, None) if judged is None else judged.suggested,
        "label_quality": np.full(n, np.nan) if judged is None else judged.quality,
        "outlier": outlier,
        "outlier_score": scores,
    }
    table = pd.DataFrame(columns)
    return table if column.index is None else table.set_axis(pd.Index(column.index), axis=0)


def _numbered(duplicates: np.ndarray, several: np.ndarray) -> pd.Series:
    """0, 1, ... for groups of two or more, missing for the others."""
    numbers = pd.Series(pd.NA, index=range(len(several)), dtype="Int64")
    numbers[several] = pd.factorize(duplicates[several])[0]
    return numbers


def _conflicts(duplicates: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """Rows of a group whose labels differ; numbers to predict are compared like classes."""
    if labels is None:
        return np.zeros(len(duplicates), bool)
    names = pd.Series(pd.factorize(labels.astype(object))[0]).replace(-1, np.nan)
    return (names.groupby(duplicates).transform("nunique") > 1).to_numpy()
