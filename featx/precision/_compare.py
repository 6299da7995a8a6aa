"""compare_precisions: what less than float32 costs and gains, on the user's images and labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from featx._image_encoder import ImageEncoder, extraction_of
from featx._pipeline import image_pipeline
from featx.auditing import warn_of_copies
from featx.encoders import PRECISIONS, Encoder
from featx.evaluation import Folds, check_y, is_regression, make_folds
from featx.exceptions import (
    ConversionError,
    DeviceError,
    InputError,
    MissingDependencyError,
    NonFiniteEmbeddingError,
    ParameterError,
    UnknownNameError,
)
from featx.extraction import decode_some, network_rate
from featx.images import as_column
from featx.precision._quantize import quantize_encoder

if TYPE_CHECKING:
    import pandas as pd

_INT8 = "int8"
_ALL = (*PRECISIONS, _INT8)
_COLUMNS = ("cosine", "relative_l2", "relative_l2_worst", "images_per_second", "score", "score_std", "note")
_RUNS = 5
# Of one precision, while others go on.
_CANNOT = (
    ConversionError,
    DeviceError,
    MissingDependencyError,
    NonFiniteEmbeddingError,
    ParameterError,
    InputError,
)


def compare_precisions(
    images: Any,
    encoder: str | Encoder | ImageEncoder = "efficientnet_lite0",
    y: Any = None,
    *,
    precisions: Sequence[str] = _ALL,
    head: Any = None,
    task: str = "auto",
    cv: Any = 5,
    scoring: Any = None,
    groups: Any = None,
) -> pd.DataFrame:
    """Embed the same images in each precision, and compare with float32.

    Parameters
    ----------
    images : container of images
        n of them, as for `ImageEncoder`. For ``"int8"``, which is calibrated on
        up to 300 of them, at least 10.
    encoder : str, Encoder or ImageEncoder, default="efficientnet_lite0"
        An ImageEncoder brings its device, store and preprocessing along.
    y : array of length n, default=None
        Classes, or numbers to predict; with them each precision is cross-validated.
    precisions : sequence of str
        Of float32, tf32, bfloat16, float16 and int8; default: all.
    head : {"logistic", "svm", "ridge", "probe", "prototype"} or estimator, default=None
        As for `image_pipeline`; None is logistic regression, or ridge for numbers.
    task : {"auto", "classification", "regression"}, default="auto"
        What y holds. ``"auto"``: the head decides, where one is given. Without one, text, bools and categories are
        classes, numbers with fractions are to be predicted; whole ones too if most values occur in fewer rows than
        there are folds, and a warning says so.
    cv : int, splitter or iterable of (train, test), default=5
        A number of folds is shuffled with a fixed seed; each gets its share of each class.
    scoring : str or callable, default=None
        As for scikit-learn's `cross_val_score`; a score is in its own unit, and higher is better.
    groups : array of shape (n,), default=None
        Images of one group stay on one side of a fold. If images of equal content do not, a warning says so.

    Returns
    -------
    DataFrame
        A row for each precision, in the order given, with the columns

        - ``cosine``: mean cosine of an embedding with its float32 one
        - ``relative_l2``: median of |z - z32| / |z32|; ``relative_l2_worst`` its maximum
        - ``images_per_second``: of the network alone, pixels in memory; median of
          runs in turns
        - ``score``, ``score_std``: cross-validated, over the folds (with `y`)
        - ``note``: why a precision is not there on this machine, else ""

    Raises
    ------
    UnknownNameError
        If there is no such precision or task.
    ParameterError
        If the head is for the other task, or cv gives no folds.
    InputError
        If y has not the images' length, no image can be read, or a class or the groups are too few for so many folds.

    Examples
    --------
    >>> import featx
    >>> from sklearn.datasets import load_sample_images
    >>> photos = load_sample_images().images
    >>> table = featx.compare_precisions(photos, precisions=["float32", "tf32"])
    >>> float(table.loc["float32", "relative_l2"])
    0.0
    """
    import pandas as pd

    for precision in precisions:
        if precision not in _ALL:
            raise UnknownNameError("precision", precision, _ALL)
    n, folds = len(as_column(images)), []
    if y is not None:
        if len(y) != n:
            raise InputError(f"Got {len(y)} labels for {n} images. Expected one label an image.")
        fitting = None if head is None else image_pipeline(head)[-1]
        regression = is_regression(y, task, head=fitting, n_folds=cv, stacklevel=2)
        head = ("ridge" if regression else "logistic") if head is None else head
        y = check_y(y, n, regression)
        folds = make_folds(y, cv, groups, regression=regression)
    base = encoder if isinstance(encoder, ImageEncoder) else ImageEncoder(encoder)
    pixels = decode_some(extraction_of(base).spec, images)
    if not pixels:
        raise InputError("Got no readable image. Expected at least one, better a few hundred.")
    reference = _Candidate(base, "float32", images)
    _warn_of_copies(reference.embeddings, folds)
    candidates, rows = {}, {precision: {"note": ""} for precision in precisions}
    for precision in precisions:
        try:
            candidates[precision] = reference if precision == "float32" else _Candidate(base, precision, images)
        except _CANNOT as error:
            rows[precision]["note"] = str(error)
    rates = _rates(list(candidates.values()), pixels)
    for (precision, candidate), rate in zip(candidates.items(), rates, strict=True):
        rows[precision] |= {**_distances(candidate.embeddings, reference.embeddings), "images_per_second": rate}
        if y is not None:
            rows[precision] |= _score(candidate.embeddings, y, head, folds, scoring)
    columns = [name for name in _COLUMNS if y is not None or not name.startswith("score")]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("precision")


class _Candidate:
    """An encoder in one precision, and what it makes of the images."""

    def __init__(self, base: ImageEncoder, precision: str, images: Any):
        self._encoder = clone(base).set_params(precision="float32" if precision == _INT8 else precision)
        if precision == _INT8:
            self._encoder.set_params(
                encoder=quantize_encoder(base, images), weights="default", runtime="openvino", device="cpu"
            )
        extraction = extraction_of(self._encoder)
        self._n_threads = extraction.options.n_threads
        # First, so that a precision that the device lacks is known before images are read.
        self._runtime = extraction.runtime()
        self.embeddings = np.asarray(self._encoder.transform(images))

    def rate(self, pixels: np.ndarray) -> float:
        """Images/s of the network alone."""
        return network_rate(self._runtime, pixels, self._n_threads)


def _rates(candidates: list[_Candidate], pixels: Sequence[np.ndarray]) -> list[float]:
    """Medians of runs in turns, after one to warm up."""
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
    good = np.isfinite(embeddings).all(axis=1)  # unreadable images are all the same
    place = np.cumsum(good) - 1
    kept = [tuple(place[part[good[part]]] for part in fold) for fold in folds]
    warn_of_copies(embeddings[good], kept, stacklevel=3)


def _score(embeddings: np.ndarray, y: Any, head: Any, folds: Folds, scoring: Any) -> dict[str, float]:
    without_encoder = image_pipeline(head, on_error="nan")[1:]
    scores = cross_val_score(without_encoder, embeddings, y, cv=folds, scoring=scoring, error_score="raise")
    return {"score": scores.mean(), "score_std": scores.std()}
