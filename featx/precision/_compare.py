"""compare_precisions: what lower precision than float32 costs and gains, on the user's images and labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import cross_val_score

from featx._image_encoder import ImageEncoder, column_of, extraction_of
from featx._pipeline import image_pipeline
from featx._validate import check_choice
from featx.auditing import warn_of_copies
from featx.encoders import Encoder
from featx.evaluation import Folds, check_y, is_regression, make_folds
from featx.exceptions import InputError, NonFiniteEmbeddingError
from featx.extraction import decode_some, network_rate
from featx.images import as_column
from featx.precision._available import EVERY_PRECISION, UNAVAILABLE, in_precision

_COLUMNS = ("cosine", "relative_l2", "relative_l2_worst", "images_per_second", "score", "score_std", "note")
_RUNS = 5
_CANNOT = (*UNAVAILABLE, NonFiniteEmbeddingError)


def compare_precisions(
    X: Any,
    encoder: str | Encoder | ImageEncoder = "efficientnet_lite0",
    y: Any = None,
    *,
    precisions: Sequence[str] = EVERY_PRECISION,
    head: Any = None,
    task: str = "auto",
    cv: Any = 5,
    scoring: Any = None,
    groups: Any = None,
) -> pd.DataFrame:
    """Embed the same images in each precision, and compare with float32.

    Parameters
    ----------
    X : container of images
        n images, as for `ImageEncoder`. ``"int8"`` is calibrated on up to 300 of them and needs at least 10.
    encoder : str, Encoder or ImageEncoder, default="efficientnet_lite0"
        The device, store and preprocessing of an ImageEncoder are used.
    y : array of length n, default=None
        Classes, or numbers to predict. If given, each precision is cross-validated.
    precisions : sequence of str
        Some of float32, tf32, bfloat16, float16 and int8. The default is all.
    head : {"logistic", "svm", "ridge", "probe", "prototype"} or estimator, default=None
        As for `image_pipeline`. None is logistic regression, or ridge for numbers.
    task : {"auto", "classification", "regression"}, default="auto"
        What y holds. With ``"auto"``, the head decides if one is given. Without one, text, bools and categories are
        classes, and numbers with fractions are numbers to predict. So are whole numbers if most of them occur in fewer
        rows than there are folds, and a warning reports that.
    cv : int, splitter or iterable of (train, test), default=5
        An int is the number of folds, which are stratified and shuffled with a fixed seed.
    scoring : str or callable, default=None
        As for `sklearn.model_selection.cross_val_score`. Scores have the unit of the metric; higher is better.
    groups : array of shape (n,), default=None
        Images of one group stay on one side of each fold. A warning reports images of equal content on both sides.

    Returns
    -------
    DataFrame
        One row per precision, in the given order, with the columns

        - ``cosine``: mean cosine of an embedding with the one in float32
        - ``relative_l2``: median of |z - z32| / |z32|; ``relative_l2_worst`` is its maximum
        - ``images_per_second``: rate of the network alone, with pixels in memory; median of several runs, in which
          precisions alternate
        - ``score``, ``score_std``: mean and standard deviation over the folds, if `y` is given
        - ``note``: why a precision is not available on this machine, else ""

    Raises
    ------
    UnknownNameError
        If there is no such precision or task.
    ParameterError
        If the head is for the other task, or cv gives no folds.
    InputError
        If y has another length than X, no image can be read, or a class has too few images, or there are too few
        groups, for so many folds.

    Examples
    --------
    >>> import featx
    >>> from sklearn.datasets import load_sample_images
    >>> photos = load_sample_images().images
    >>> table = featx.compare_precisions(photos, precisions=["float32", "tf32"])
    >>> float(table.loc["float32", "relative_l2"])
    0.0
    """
    for precision in precisions:
        check_choice("precision", precision, EVERY_PRECISION)
    n, folds = len(as_column(X)), []
    if y is not None:
        if len(y) != n:
            raise InputError(f"Got {len(y)} labels for {n} images. Expected one label an image.")
        fitting = None if head is None else image_pipeline(head)[-1]
        regression = is_regression(y, task, head=fitting, n_folds=cv)
        head = ("ridge" if regression else "logistic") if head is None else head
        y = check_y(y, n, regression)
        folds = make_folds(y, cv, groups, regression=regression)
    base = encoder if isinstance(encoder, ImageEncoder) else ImageEncoder(encoder)
    pixels = decode_some(extraction_of(base).spec, column_of(base, X))
    if not pixels:
        raise InputError("Got no readable image. Expected at least one, better a few hundred.")
    reference = _Candidate(base, "float32", X)
    _warn_of_copies(reference.embeddings, folds)
    candidates, notes = _make_candidates(reference, base, precisions, X)
    rows: dict[str, dict[str, Any]] = {precision: {"note": notes.get(precision, "")} for precision in precisions}
    rates = _rates(list(candidates.values()), pixels)
    for (precision, candidate), rate in zip(candidates.items(), rates, strict=True):
        rows[precision] |= {**_distances(candidate.embeddings, reference.embeddings), "images_per_second": rate}
        if y is not None:
            rows[precision] |= _score(candidate.embeddings, y, head, folds, scoring)
    columns = [name for name in _COLUMNS if y is not None or not name.startswith("score")]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("precision")


def _make_candidates(
    reference: _Candidate, base: ImageEncoder, precisions: Sequence[str], X: Any
) -> tuple[dict[str, _Candidate], dict[str, str]]:
    """Embed the images in each precision; return the candidates, and for the other precisions the reason."""
    candidates, notes = {}, {}
    for precision in precisions:
        try:
            candidates[precision] = reference if precision == "float32" else _Candidate(base, precision, X)
        except _CANNOT as error:
            notes[precision] = str(error)
    return candidates, notes


class _Candidate:
    """An encoder in one precision, and its embeddings of the images."""

    def __init__(self, base: ImageEncoder, precision: str, X: Any):
        # First, so that a precision that the device lacks fails before images are read.
        encoder = in_precision(base, precision, X)
        extraction = extraction_of(encoder)
        self._n_threads = extraction.options.n_threads
        self._runtime = extraction.runtime()
        self.embeddings = np.asarray(encoder.transform(X))

    def rate(self, pixels: np.ndarray) -> float:
        """Measure the images per second of the network alone."""
        return network_rate(self._runtime, pixels, self._n_threads)


def _rates(candidates: list[_Candidate], pixels: Sequence[np.ndarray]) -> list[float]:
    """Compute the medians of alternating runs, after one to warm up."""
    stacked = np.stack(pixels)
    runs = [[candidate.rate(stacked) for candidate in candidates] for _ in range(1 + _RUNS)]
    return np.median(runs[1:], axis=0).tolist()


def _distances(embeddings: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    good = np.isfinite(embeddings).all(axis=1) & np.isfinite(reference).all(axis=1)
    z, z32 = embeddings[good].astype(float), reference[good].astype(float)
    lengths = np.linalg.norm(z32, axis=1)
    cosines = (z * z32).sum(axis=1) / (np.linalg.norm(z, axis=1) * lengths)
    errors = np.linalg.norm(z - z32, axis=1) / lengths
    return {"cosine": cosines.mean(), "relative_l2": np.median(errors), "relative_l2_worst": errors.max()}


def _warn_of_copies(embeddings: np.ndarray, folds: Folds) -> None:
    good = np.isfinite(embeddings).all(axis=1)  # unreadable images would all be copies
    place = np.cumsum(good) - 1
    kept = [tuple(place[part[good[part]]] for part in fold) for fold in folds]
    warn_of_copies(embeddings[good], kept)


def _score(embeddings: np.ndarray, y: Any, head: Any, folds: Folds, scoring: Any) -> dict[str, float]:
    without_encoder = image_pipeline(head, on_error="nan")[1:]
    scores = cross_val_score(without_encoder, embeddings, y, cv=folds, scoring=scoring, error_score="raise")
    return {"score": scores.mean(), "score_std": scores.std()}
