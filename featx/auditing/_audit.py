"""audit: what is wrong with a set of images and labels, before training."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from featx._image_encoder import ImageEncoder, column_of, extraction_of
from featx._machine import count_threads
from featx._precompute import as_image_encoder
from featx.auditing._duplicates import group_alike, merge_groups
from featx.auditing._label_issues import LabelIssues, find_label_issues
from featx.auditing._leaks import notes_on_names
from featx.auditing._ood import OODDetector
from featx.auditing._result import Audit
from featx.auditing._similarity import (
    SIGNATURE_SHAPE,
    Calibration,
    Whitening,
    calibrate,
    choose_threshold,
    shrink,
    signature,
    similarity,
)
from featx.encoders import Encoder
from featx.evaluation import as_array, is_regression
from featx.exceptions import InputError
from featx.images import BLANK, MAX_PIXELS, DecodeError, is_missing, load, note_on, open_column
from featx.table import images_of

_FENCE = 3.0
_FEW = 20
_AT_LEAST = 64
_SAMPLED = 100


def audit(
    X: Any,
    y: Any = None,
    *,
    groups: Any = None,
    task: str = "auto",
    encoder: str | Encoder | ImageEncoder | Pipeline = "efficientnet_lite0",
    cv: int = 5,
    verbose: int = 1,
) -> Audit:
    """Find unreadable images, duplicates, likely wrong labels and outliers.

    Nothing is changed or deleted: `Audit.clean` chooses rows.

    Parameters
    ----------
    X : container of images, or frame
        n images, as for `ImageEncoder`; a frame is for a pipeline that picks the column by name.
    y : array of shape (n,), default=None
        Classes; None and NaN mark images without a label. Numbers to predict are not checked, since all methods here
        are for classes, and a note says so. Copies with different numbers are still reported as a conflict.
    groups : array of shape (n,), default=None
        Rows that belong together for other reasons (a patient, a video). They are joined with the duplicates in
        `Audit.groups`. A row whose group is missing belongs to no other.
    task : {"auto", "classification", "regression"}, default="auto"
        What y holds. With ``"auto"``, text, bools and categories are classes, and numbers with fractions are numbers to
        predict. So are whole numbers if most of them occur in fewer rows than there are folds, and a warning reports
        that.
    encoder : str, Encoder, ImageEncoder or Pipeline, default="efficientnet_lite0"
        The encoder whose embeddings are used to find wrong labels and outliers; they are kept in its store. Of a
        pipeline, such as `tabular_pipeline`'s, its encoder.
    cv : int, default=5
        Number of folds in which labels are checked; no group is on both sides of a fold.
    verbose : int, default=1
        1 shows the progress of the encoder.

    Returns
    -------
    Audit
        The findings, image by image.

    Raises
    ------
    InputError
        If X holds no images, or y or groups have another length.
    UnknownNameError
        If there is no such task.

    Notes
    -----
    Near duplicates are recognized by 8 x 8 pixels, whitened and aligned (each image whole, and with 5 or 10 % cropped
    around the center). Two images count as duplicates from a similarity that one image in 1,000 is expected to have to
    a different one, and at least 0.9. Copies of up to 100 of the images (saved again as JPEG, halved, cropped) measure
    how many are missed; `Audit.calibration` has the rates. Mirrored and rotated copies, stronger crops, and crops of
    one side only are not found. Blank images, with one color throughout, are reported as such and never as copies.

    Labels are checked by confident learning (`find_label_issues`). The outlier score is the distance to the tenth
    nearest embedding (`OODDetector`). Outliers lie more than three interquartile ranges above the third quartile: they
    are images of another kind, not odd ones of the same kind.

    ``tests/benchmarks/RESULTS.md`` has the shares of planted faults that this finds on three sets of images.

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
    table = X if hasattr(X, "columns") else None
    X, encoder = images_of(X, encoder)
    used = clone(as_image_encoder(encoder)).set_params(on_error="nan", on_missing="nan", verbose=verbose)
    column = column_of(used, X)
    n = len(column)
    if n == 0:
        raise InputError("Got no images. Expected at least one.")
    labels = _check_labels(y, n)
    regression = is_regression([] if y is None else y, task, n_folds=cv)
    given = _check_groups(groups, n)
    extraction_of(used)  # refuses wrong parameters before images are read
    found = scan(column.sources, used.max_pixels, used.n_jobs)
    ok = np.array([not error for error in found.errors])
    duplicates, calibration = _find_duplicates(found, ok & ~found.blank)
    together = merge_groups(duplicates, given)
    embeddings = _embed(used, column.sources, ok)
    issues, note = _check_label_issues(embeddings, labels, regression, ok, together, cv)
    outliers = _find_outliers(embeddings, duplicates[ok], ok)
    names = [] if y is None else notes_on_names(column.sources, table, list(y))
    return Audit(
        _make_table(column, found, duplicates, labels, issues, outliers),
        together,
        calibration,
        issues,
        [text for text in (note, *_notes_on(issues, cv), outliers.note, *names) if text],
        used,
    )


def copy_groups(X: Any, *, max_pixels: int = MAX_PIXELS, n_jobs: int | None = -1) -> np.ndarray:
    """Assign numbers to images so that copies share one: equal content, and near duplicates as `audit` finds them.

    Parameters
    ----------
    X : container of images
        n images, as for `ImageEncoder`.
    max_pixels : int, default=89_000_000
        Larger images are not read.
    n_jobs : int, default=-1
        Threads that decode.

    Returns
    -------
    ndarray of shape (n,), int64
        An image without copies has a number to itself, and so has one that cannot be read. Blank images are copies only
        if their content is equal.

    Examples
    --------
    >>> from featx.auditing import copy_groups
    >>> from sklearn.datasets import load_sample_images
    >>> china, flower = load_sample_images().images
    >>> copy_groups([china, flower, china]).tolist()
    [0, 1, 0]
    """
    found = scan(open_column(X).sources, max_pixels, n_jobs, n_sampled=0)
    near = np.arange(len(found.errors))
    rows = np.flatnonzero(np.array([not error for error in found.errors], bool) & ~found.blank)
    if len(rows):
        points = Whitening(found.signatures[rows])(found.signatures[rows])
        near[rows] = rows[_first_of_each(group_alike(points, similarity, choose_threshold(points)[0], None))]
    equal = [digest or i.to_bytes(8) for i, digest in enumerate(found.digests)]
    return merge_groups(near, equal)


@dataclass(frozen=True)
class Scan:
    """What decoding every image once has shown.

    Attributes
    ----------
    errors : list of str
        Why an image cannot be used; "" for those that can.
    digests : list of bytes
        Equal for equal content; b"" for an unreadable image.
    signatures : ndarray of shape (n, 3, 192), uint8
        As made by `signature`; 0 for an unreadable image.
    sample : dict of int to PIL.Image.Image
        Up to 100 of the images, evenly spaced, small.
    blank : ndarray of shape (n,), bool
        Whether all pixels have one color.
    """

    errors: list[str]
    digests: list[bytes]
    signatures: np.ndarray
    sample: dict[int, Image.Image]
    blank: np.ndarray


def scan(sources: Sequence[Any], max_pixels: int, n_jobs: int | None = -1, *, n_sampled: int = _SAMPLED) -> Scan:
    """Decode every image once, in threads."""
    chosen = set(np.linspace(0, len(sources) - 1, min(n_sampled, len(sources))).astype(int).tolist())

    def scan_one(i: int) -> tuple[str, bytes, np.ndarray, Image.Image | None, bool]:
        try:
            if is_missing(sources[i]):
                raise DecodeError(f"missing ({sources[i]!r})")
            # Large JPEGs are decoded at a fraction of their size, unless they are in the sample.
            digest, image = load(sources[i], max_pixels, None if i in chosen else _AT_LEAST)
        except DecodeError as error:
            return str(error), b"", np.zeros(SIGNATURE_SHAPE, np.uint8), None, False
        blank = note_on(image).startswith(BLANK)
        return "", digest, signature(image), shrink(image) if i in chosen and not blank else None, blank

    with ThreadPoolExecutor(count_threads(n_jobs)) as pool:
        errors, digests, signatures, images, blank = zip(*pool.map(scan_one, range(len(sources))), strict=True)
    sample = {i: image for i, image in enumerate(images) if image is not None}
    return Scan(list(errors), list(digests), np.array(signatures), sample, np.array(blank))


@dataclass(frozen=True)
class _Outliers:
    scores: np.ndarray
    marked: np.ndarray
    note: str  # why none are marked


def _check_labels(y: Any, n: int) -> np.ndarray | None:
    if y is None:
        return None
    labels = as_array(y)
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.shape != (n,):
        raise InputError(f"Got y of shape {labels.shape} for {n:,} images. Expected one label an image.")
    return labels


def _check_groups(groups: Any, n: int) -> np.ndarray:
    """Encode the user's groups; one group for all rows is allowed."""
    if groups is None:
        return np.arange(n)
    groups = as_array(groups)
    if groups.shape != (n,):
        raise InputError(f"Got groups of shape {groups.shape} for {n:,} images. Expected one group an image.")
    codes = pd.factorize(groups)[0]
    return np.where(codes < 0, n + np.arange(n), codes)


def _find_duplicates(found: Scan, usable: np.ndarray) -> tuple[np.ndarray, Calibration | None]:
    """Group duplicates, and measure the threshold; rows that are not usable stay alone."""
    groups = np.arange(len(usable))
    if not usable.any():
        return groups, None
    rows = np.flatnonzero(usable)
    whitening = Whitening(found.signatures[rows])
    points = whitening(found.signatures[rows])
    calibration = None
    if found.sample:
        place = np.asarray(np.searchsorted(rows, list(found.sample))).tolist()
        calibration = calibrate(points, whitening, place, list(found.sample.values()))
    digests = [found.digests[i] for i in rows]
    threshold = calibration.threshold if calibration else 2.0
    numbers = group_alike(points, similarity, threshold, digests)
    groups[rows] = rows[_first_of_each(numbers)]
    return groups, calibration


def _first_of_each(numbers: np.ndarray) -> np.ndarray:
    """Return for each row the first row of its group; the groups are 0, 1, ..."""
    return np.unique(numbers, return_index=True)[1][numbers]


def _embed(encoder: ImageEncoder, sources: Any, ok: np.ndarray) -> np.ndarray:
    readable = [sources[i] for i in np.flatnonzero(ok)]
    return np.asarray(encoder.transform(readable), np.float64) if readable else np.empty((0, 1))


def _check_label_issues(
    embeddings: np.ndarray, labels: np.ndarray | None, regression: bool, ok: np.ndarray, groups: np.ndarray, cv: int
) -> tuple[LabelIssues | None, str]:
    """Check the labels of all n rows; if that is impossible, return the reason."""
    if labels is None:
        return None, ""
    rows = np.flatnonzero(ok & ~pd.isna(labels))
    if len(rows) and regression:
        return None, "Labels are numbers to predict: they are not judged."
    place = np.asarray(np.searchsorted(np.flatnonzero(ok), rows))
    usable = np.isfinite(embeddings).all(axis=1)[place]
    rows, place = rows[usable], place[usable]
    if not len(rows):
        return None, "No readable image has a label: labels are not judged."
    try:
        issues = find_label_issues(embeddings[place], np.array(labels[rows].tolist()), groups=groups[rows], cv=cv)
    except InputError as error:
        return None, f"Labels are not judged. {error}"
    return issues.spread(rows, len(ok)), ""


def _notes_on(issues: LabelIssues | None, cv: int) -> list[str]:
    if issues is None:
        return []
    notes = []
    if issues.n_folds < cv:
        notes.append(f"Labels are judged in {issues.n_folds} folds instead of {cv}: a class has no more images apart.")
    if issues.unjudged:
        names = ", ".join(map(str, issues.unjudged[:5])) + (", ..." if len(issues.unjudged) > 5 else "")
        notes.append(f"Classes with one image apart from copies are not judged: {names}.")
    return notes


def _find_outliers(embeddings: np.ndarray, groups: np.ndarray, ok: np.ndarray) -> _Outliers:
    scores: np.ndarray = np.full(len(ok), np.nan)
    marked: np.ndarray = np.zeros(len(ok), bool)
    usable = np.isfinite(embeddings).all(axis=1)
    # One image of each group: otherwise copies would make each other usual.
    first = np.flatnonzero(usable)[np.unique(groups[usable], return_index=True)[1]] if len(groups) else []
    if len(first) < 2:
        return _Outliers(scores, marked, "Outliers are not looked for: there is one image, apart from copies.")
    detector = OODDetector("knn").fit(embeddings[first])
    rows = np.flatnonzero(ok)[usable]
    scores[rows] = -detector.score_samples(embeddings[usable])
    if len(first) < _FEW:
        note = f"Outliers are scored, but not marked: there are {len(first)} images apart from copies."
        return _Outliers(scores, marked, note)
    low, high = np.quantile(scores[rows], [0.25, 0.75])
    marked[rows] = scores[rows] > high + _FENCE * (high - low)
    return _Outliers(scores, marked, "")


def _make_table(
    column: Any,
    found: Scan,
    duplicates: np.ndarray,
    labels: np.ndarray | None,
    issues: LabelIssues | None,
    outliers: _Outliers,
) -> pd.DataFrame:
    n = len(found.errors)
    several = np.bincount(duplicates, minlength=n)[duplicates] > 1
    columns = {
        "image": pd.Series(list(column.sources), dtype=object),
        "label": pd.Series(np.full(n, None) if labels is None else labels.tolist(), dtype=object),
        "ok": [not error for error in found.errors],
        "error": found.errors,
        "blank": found.blank,
        "duplicate_group": _number(duplicates, several),
        "duplicate_label_conflict": _find_conflicts(duplicates, labels),
        "suggested_label": np.full(n, None) if issues is None else issues.suggested,
        "label_quality": np.full(n, np.nan) if issues is None else issues.quality,
        "outlier": outliers.marked,
        "outlier_score": outliers.scores,
    }
    table = pd.DataFrame(columns)
    return table if column.index is None else table.set_axis(pd.Index(column.index), axis=0)


def _number(duplicates: np.ndarray, several: np.ndarray) -> pd.Series:
    """Assign the numbers 0, 1, ... to groups of two or more; rows without duplicates get none."""
    numbers = pd.Series(pd.NA, index=range(len(several)), dtype="Int64")
    numbers[several] = pd.factorize(duplicates[several])[0]
    return numbers


def _find_conflicts(duplicates: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """Mark the rows of groups whose labels differ; numbers to predict are compared like classes."""
    if labels is None:
        return np.zeros(len(duplicates), bool)
    names = pd.Series(pd.factorize(labels.astype(object))[0]).replace(-1, np.nan)
    return (names.groupby(duplicates).transform("nunique") > 1).to_numpy()
