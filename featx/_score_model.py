"""score_model: cross-validate a pipeline, and note the data that its scores are of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import is_classifier

from featx._machine import count_threads
from featx._validate import is_integer
from featx.auditing import Audit, crossing_groups
from featx.evaluation import (
    ModelScores,
    as_array,
    as_labels,
    count_targets,
    describe_folds,
    finite_rows,
    make_folds,
    score_folds,
)
from featx.images import DigestMemo, as_column, digest_many, is_missing
from featx.table import image_column

if TYPE_CHECKING:
    from featx.evaluation import Folds


def score_model(
    model: Any, X: Any, y: Any, *, cv: Any = 5, groups: Any = None, audit: Audit | Mapping[str, int] | None = None
) -> ModelScores:
    """Cross-validate a model, and note what a bundle's card says of its data and scores.

    Parameters
    ----------
    model : estimator
        A Pipeline of images or of a table with images; clones of it are fitted.
    X : container of images, or DataFrame
        n rows, as `model` takes them.
    y : array of shape (n,)
        Classes, or numbers to predict.
    cv : int, splitter or iterable of (train, test), default=5
        An int is the number of folds, which are shuffled with a fixed seed; those of a classifier are stratified.
    groups : array of shape (n,), default=None
        Rows of one group are never in both training and test.
    audit : Audit or its counts, default=None
        What `audit` found in the same images.

    Returns
    -------
    ModelScores
        For ``scores=`` of `export_bundle` and `save`: scores with their folds, the probabilities held against what was
        right, the number of rows of each class, and a digest of images and labels.

    Raises
    ------
    InputError
        If a class has too few rows, or there are too few groups, for so many folds.
    ImageReadError
        If images cannot be read.

    Examples
    --------
    >>> import featx
    >>> from sklearn.datasets import load_sample_images
    >>> images = [photo[y : y + 90, :90] for photo in load_sample_images().images for y in range(0, 320, 40)]
    >>> model = featx.image_pipeline(cache=False, verbose=0)
    >>> scores = featx.score_model(model, images, ["temple"] * 8 + ["flower"] * 8, cv=2)
    >>> scores.rows, scores.how
    (16, '2 folds, shuffled (seed 0), with the same share of each class')
    """
    y, regression = as_array(as_labels(y)), not is_classifier(model)
    folds = make_folds(y, cv, groups, regression=regression)
    table, reliability = score_folds(model, X, y, folds)
    of_groups = None if groups is None else "group"
    how = (
        describe_folds(len(folds), regression=regression, groups=of_groups)
        if is_integer(cv)
        else f"{len(folds)} folds, as given (cv={cv!r:.100})"
    )
    images = image_column(model, X) if hasattr(X, "columns") else X
    return ModelScores(
        finite_rows(table),
        how,
        reliability=reliability,
        audit=None if audit is None else dict(audit.counts if isinstance(audit, Audit) else audit),
        **count_targets(y, regression=regression),
        **describe_images(as_column(images).sources, y, folds),
    )


def describe_images(images: Sequence[Any], y: np.ndarray, folds: Folds) -> dict[str, Any]:
    """Digest images and labels, and count equal images that are on both sides of a fold.

    Parameters
    ----------
    images : sequence
        A cell each; a row may hold several, or none.
    y : ndarray of shape (n,)
        Labels.
    folds : list of (train, test)
        Positions; none where there was no cross-validation.

    Returns
    -------
    dict
        ``digest`` and ``copies``, for `ModelScores`.
    """
    rows = [cell if isinstance(cell, list | tuple) else [cell] for cell in images]
    cells = [cell for row in rows for cell in row if not is_missing(cell)]
    with ThreadPoolExecutor(count_threads(-1), thread_name_prefix="featx") as pool:
        keys = iter(digest_many(cells, memo=DigestMemo(), pool=pool)[0])
    texts = ["+".join(next(keys).tobytes().hex() for cell in row if not is_missing(cell)) for row in rows]
    lines = sorted(f"{text} {label}\n" for text, label in zip(texts, y.tolist(), strict=True))
    named = [text or f"none {i}" for i, text in enumerate(texts)]  # rows without an image are no copies
    return {
        "digest": hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest(),
        "copies": crossing_groups(np.unique(named, return_inverse=True)[1], folds) if folds else None,
    }
