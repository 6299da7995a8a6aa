"""transfer_report: whether transfer helps on a task, by how much, and how many labels it is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone

from featx._pipeline import image_pipeline
from featx._precompute import as_image_encoder
from featx.auditing import warn_of_copies
from featx.compare._arms import ARMS, PRETRAINED, RANDOM, check_arms, embed_arms, good_rows, has_untrained
from featx.compare._baselines import thumbnails
from featx.compare._draws import Draw, choose_sizes, make_draws
from featx.compare._head import bare, make_head
from featx.compare._learn import Arm, Outcome, Question, learn
from featx.compare._result import TransferReport
from featx.encoders import Encoder
from featx.evaluation import check_y, is_regression
from featx.exceptions import InputError
from featx.extraction import progress_bar
from featx.images import ImageColumn, as_column

if TYPE_CHECKING:
    from featx._image_encoder import ImageEncoder


def transfer_report(
    X: Any,
    y: Any,
    *,
    encoder: str | Encoder | ImageEncoder = "efficientnet_lite0",
    head: Any = None,
    task: str = "auto",
    sizes: Sequence[int] | None = None,
    draws: int = 5,
    scoring: Any = None,
    groups: Any = None,
    arms: Sequence[str] = ARMS,
    extra_arms: Mapping[str, Any] | None = None,
    random_state: int = 0,
    verbose: int = 1,
) -> TransferReport:
    """Compare a pretrained encoder with what does without one, on the same rows and with the same head.

    Parameters
    ----------
    X : container of images
        n of them, as for `ImageEncoder`. Images that cannot be read are left out of every arm.
    y : array of shape (n,)
        Classes, or numbers to predict.
    encoder : str, Encoder or ImageEncoder, default="efficientnet_lite0"
    head : {"logistic", "svm", "probe", "prototype", "ridge"} or estimator, default=None
        As for `image_pipeline`, for every arm; None is logistic regression, or ridge for numbers. How strongly a named
        one is regularised is chosen once for each arm and size, within the training rows. An estimator is used as it
        is.
    task : {"auto", "classification", "regression"}, default="auto"
        What y holds. ``"auto"``: the head decides, where one is given. Without one, text, bools and categories are
        classes, numbers with fractions are to be predicted; whole ones too if most values occur in fewer rows than
        there are draws, and a warning says so.
    sizes : sequence of int, default=None
        Training images; None is about 5 numbers from 10 a class (fewer of few images) to all of a training part.
    draws : int, default=5
        Folds, 3 or more: each image is tested once, by a head that was trained on a part of the other folds.
    scoring : str or callable, default=None
        As for `cross_val_score`; None is accuracy, or R2 for numbers. Differences are told in points (hundredths)
        where the best score is 1, otherwise in the score's own unit.
    groups : array of shape (n,), default=None
        Images of one group (a patient, a video) are never in both training and test. If copies are, a warning and
        `TransferReport.notes` say so: images of equal content, and, where ``"pixels"`` is an arm, near copies, as
        `featx.audit` tells them.
    arms : sequence of {"pixels", "hog", "color", "random", "pretrained"}
        All by default. ``"pixels"``: 32 x 32 RGB; ``"hog"``: histograms of oriented gradients at 64 x 64;
        ``"color"``: a joint histogram of 216 colours; ``"random"``: the same network untrained. A `featx.Encoder` has
        no untrained one; its arm is left out, and the report says so.
    extra_arms : mapping of str to estimator, default=None
        Estimators of the images themselves, such as a fine-tuned network.
    random_state : int, default=0
        Of the folds and the samples of training images.
    verbose : int, default=1
        1 shows a progress bar on a terminal or in a notebook; 0 does not.

    Returns
    -------
    TransferReport

    Raises
    ------
    InputError
        If y has one class, a class or the groups are too few for so many draws, or lengths differ.
    ParameterError
        If an arm, a head, a task or a size is not accepted.
    MissingDependencyError
        If scikit-image is not installed, for HOG (``pip install 'featx[report]'``).

    Examples
    --------
    >>> import featx
    >>> from sklearn.datasets import load_sample_images
    >>> from featx.compare import transfer_report
    >>> flower, temple = load_sample_images().images
    >>> crops = [photo[i : i + 64, i : i + 64] for i in range(0, 240, 20) for photo in (flower, temple)]
    >>> encoder = featx.ImageEncoder(cache=False, verbose=0)
    >>> report = transfer_report(crops, ["flower", "temple"] * 12, encoder=encoder, arms=["color", "pretrained"])
    >>> list(report.summary.index)
    ['color', 'pretrained']
    """
    arms, column = check_arms(arms, extra_arms), as_column(X)
    fitting = None if head is None else image_pipeline(head)[-1]
    regression = is_regression(y, task, head=fitting, n_folds=draws, stacklevel=2)
    question = _ask(y, regression, groups, scoring, len(column))
    head = _default_head(question) if head is None else head
    shared = make_head(head)
    encoder, notes = as_image_encoder(encoder), []
    if RANDOM in arms and not has_untrained(encoder):
        arms = check_arms([name for name in arms if name != RANDOM], extra_arms)
        notes.append("The arm 'random' is left out: a featx.Encoder has no untrained network.")
    # What is asked in vain is said before anything is encoded.
    _divide(question, draws, sizes, random_state)
    features, seconds = embed_arms(column, clone(encoder).set_params(verbose=verbose), arms)
    rows = good_rows(features)
    if len(rows) < len(column):
        notes.append(f"{len(column) - len(rows):,} of {len(column):,} images cannot be used and are left out.")
    question = _of_rows(question, rows)
    folds, sizes = _divide(question, draws, sizes, random_state)
    notes += _copies(features, rows, folds)
    compared = [Arm(name, Z[rows].__getitem__, shared, seconds[name]) for name, Z in features.items()]
    for name, estimator in (extra_arms or {}).items():
        compared.append(Arm(name, partial(_take, X, column, rows), bare(estimator)))
    outcomes = _learn_all(compared, question, folds, sizes, verbose)
    images = ImageColumn([column.sources[i] for i in rows], [column.label(i) for i in rows], column.name)
    times = {arm.name: arm.seconds for arm in compared}
    embeddings = features[PRETRAINED][rows]
    return TransferReport(outcomes, times, question, folds, images, embeddings, notes, str(head), encoder)


def _ask(y: Any, regression: bool, groups: Any, scoring: Any, n: int) -> Question:
    labels = check_y(y, n, regression)
    if groups is not None:
        groups = np.asarray(groups)
        if groups.shape != (n,):
            raise InputError(f"Got groups of shape {groups.shape} for {n:,} images. Expected one group an image.")
    return Question(labels, groups, regression, scoring)


def _default_head(question: Question) -> str:
    return "ridge" if question.regression else "logistic"


def _of_rows(question: Question, rows: np.ndarray) -> Question:
    groups = None if question.groups is None else question.groups[rows]
    return Question(question.y[rows], groups, question.regression, question.scoring)


def _divide(question: Question, draws: int, sizes: Any, seed: int) -> tuple[list[Draw], list[int]]:
    rng = np.random.default_rng(seed)
    folds = make_draws(question.y, draws, question.groups, question.regression, rng)
    return folds, choose_sizes(sizes, folds, 1 if question.regression else len(np.unique(question.y)))


def _copies(features: dict[str, np.ndarray], rows: np.ndarray, folds: list[Draw]) -> list[str]:
    pixels = thumbnails(features["pixels"][rows]) if "pixels" in features else None
    text = warn_of_copies(features[PRETRAINED][rows], [(fold.train, fold.test) for fold in folds], pixels, stacklevel=3)
    return [text] if text else []


def _learn_all(
    arms: list[Arm], question: Question, folds: list[Draw], sizes: list[int], verbose: int
) -> dict[tuple[str, int], Outcome]:
    total = len(arms) * len(sizes) * len(folds)
    with progress_bar(total, description="heads", verbose=verbose, unit="fit") as bar:
        return {(arm.name, size): learn(arm, question, folds, size, bar.update) for size in sizes for arm in arms}


def _take(X: Any, column: ImageColumn, good: np.ndarray, positions: np.ndarray) -> Any:
    rows = good[positions]
    return X.iloc[rows] if hasattr(X, "iloc") else [column.sources[i] for i in rows]
