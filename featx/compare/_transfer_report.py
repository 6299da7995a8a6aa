"""transfer_report: whether transfer helps on a task, by how much, and how many labels it is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from featx._image_encoder import ImageEncoder, column_of
from featx._pipeline import image_pipeline
from featx._precompute import as_image_encoder
from featx.auditing import warn_of_copies
from featx.compare._decision import HeldOut
from featx.compare._features import (
    BOTH,
    FEATURE_SETS,
    PRETRAINED,
    RANDOM,
    TABLE,
    check_feature_sets,
    embed_feature_sets,
    good_rows,
    has_untrained,
    thumbnails,
)
from featx.compare._folds import Fold, Splits, check_cv, choose_sizes, fix_cv, keep_rows, nested_folds
from featx.compare._learn import FeatureSet, Outcome, Problem, learn, make_head, plain_head
from featx.compare._plots import (
    Predicted,
    confusion_section,
    map_section,
    mistakes_section,
    name_of,
    suspects_section,
)
from featx.compare._report import Report, Section, Table
from featx.compare._tables import (
    Outcomes,
    at_largest,
    curve_table,
    decide_transfer,
    draw_curves,
    efficiency_table,
    interval_table,
    summary_table,
    write_verdict,
)
from featx.encoders import Encoder
from featx.evaluation import ScoreUnit, as_array, check_y, is_regression, unit_of
from featx.exceptions import InputError
from featx.extraction import progress_bar
from featx.images import ImageColumn
from featx.pages import figure
from featx.table import TableEncoder, images_of, vectorizer

if TYPE_CHECKING:
    import pandas as pd

_INTERVAL = "95 % interval"
_COLUMNS = ("features", "score", _INTERVAL, "transfer's gain", _INTERVAL, "errors saved", "labels needed", "time")


class TransferReport(Report):
    """Learning curves of all feature sets, and what follows from them; made by `transfer_report`.

    Attributes
    ----------
    decision : {"helps", "hurts", "undecided"}
        Transfer helps if the pretrained features beat all others at the largest size, it hurts if any others beat them;
        by 95 % intervals that count the test images and the folds (Nadeau & Bengio 2003).
    verdict : str
        The decision and its evidence in a few sentences.
    summary : DataFrame
        One row for each feature set at the largest size: score, low, high; the difference of the pretrained features to
        it and the share of its errors that transfer saves, with their intervals; label_efficiency (``"820 for 126"``:
        labels that it needs for what the pretrained features do with 126); seconds.
    curves : DataFrame
        Columns feature_set, size, fold, score.
    intervals : DataFrame
        Columns feature_set, size, score, low, high.
    label_efficiency : DataFrame
        Labels that each feature set needs for what the pretrained one does with n; inf where it does not get there.
    predictions : DataFrame
        One row for each image and fold that tests it: truth, fold, the prediction from each feature set at the largest
        size, and the confidence of that from the pretrained one.
    notes : list of str
        What was left out, and copies on both sides of a fold.
    scoring : str
        The name of the score.
    n_folds : int
        Number of folds.
    """

    _title = "Does transfer help?"
    _rule = (
        "Transfer helps if the pretrained features beat all others at the largest size, and hurts if any others beat "
        "them, by intervals that count both the test images (whole groups, where there are groups) and the choice of "
        "training images (Nadeau & Bengio 2003). Otherwise it is undecided, which does not prove equality."
    )
    _shown = ("score", "low", "high", "difference", "difference_low", "difference_high", "label_efficiency", "seconds")

    def __init__(
        self,
        outcomes: Outcomes,
        seconds: dict[str, float],
        problem: Problem,
        folds: list[Fold],
        images: ImageColumn,
        embeddings: np.ndarray,
        notes: list[str],
        head: str,
        encoder: ImageEncoder,
    ) -> None:
        self.head, self.regression = head, problem.regression
        self.unit = unit_of(problem.scoring, problem.regression)
        self.scoring = self.unit.name
        self._images, self._embeddings, self._problem, self._encoder = images, embeddings, problem, encoder
        held_out = HeldOut.of(folds, problem.groups)
        decision = decide_transfer(outcomes, held_out)
        summary = summary_table(outcomes, decision, held_out, seconds, errors=problem.scoring is None)
        super().__init__(
            decision.decision, write_verdict(outcomes, decision, self.unit), summary, notes, n_folds=len(folds)
        )
        self.curves = curve_table(outcomes)
        self.intervals = interval_table(outcomes, held_out, capped=self.unit.is_share)
        self.label_efficiency = efficiency_table(outcomes)
        order = np.concatenate([fold.test for fold in folds])
        by_image = np.argsort(order, kind="stable")
        self._rows = order[by_image]
        self.predictions = _predictions(outcomes, problem, folds, images).iloc[by_image]

    def name_of(self, row: int) -> str:
        """Name an image: its file, or its label in X."""
        return name_of(self._images, row)

    def plot(self, ax: Any = None) -> Any:
        """Draw the learning curves with their intervals.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        matplotlib.axes.Axes
        """
        return draw_curves(self.intervals, self.unit.name + self.unit.sense, ax)

    def _subtitle(self) -> str:
        return f"{len(self._images.sources):,} images, {self.n_folds} folds, head {self.head}"

    def _sections(self) -> list[Section]:
        table, problem = self.predictions, self._problem
        sections = [self._curves_section(), self._summary_section()]
        if not self.regression:
            truth, predicted = table["truth"].tolist(), table[PRETRAINED].tolist()
            confidence = table["confidence"].to_numpy()
            found = Predicted(self._images, self._embeddings, self._rows, truth, predicted, confidence)
            sections += [*confusion_section(found), *map_section(found), *mistakes_section(found)]
        labels = problem.y.tolist()
        return [*sections, suspects_section(self._images, labels, problem.groups, self.regression, self._encoder)]

    def _curves_section(self) -> Section:
        text = (
            f"Mean {self.scoring} on images that were not trained on, with 95 % intervals, over {self.n_folds} folds. "
            "Every head is trained on the same samples of a fold's training images, each a part of the next larger one."
        )
        return Section("curves", "Learning curves", text, figure=figure(self.plot().figure))

    def _summary_section(self) -> Section:
        size = int(self.curves["size"].max())
        unit = ", in points" if self.unit.is_share else self.unit.sense
        remark = (
            "Same head, same rows, same choice of regularization, made within the first fold's training rows. Gain: "
            f"the {self.scoring} from the pretrained features minus that from these{unit}. “820 for 126”: these need "
            "820 labels for what the pretrained ones do with 126, read off the curves."
        )
        rows = [_summary_row(str(name), row, self.unit) for name, row in self.summary.iterrows()]
        table = Table(list(_COLUMNS), rows, list(self.summary.index).index(PRETRAINED))
        return Section("features", f"Feature sets, with {size:,} labels", table=table, remarks=[remark])


def transfer_report(
    X: Any,
    y: Any,
    *,
    encoder: str | Encoder | ImageEncoder | Pipeline = "efficientnet_lite0",
    head: Any = None,
    task: str = "auto",
    sizes: Sequence[int] | None = None,
    cv: Any = 5,
    scoring: Any = None,
    groups: Any = None,
    feature_sets: Sequence[str] = FEATURE_SETS,
    extra_feature_sets: Mapping[str, Any] | None = None,
    random_state: int = 0,
    verbose: int = 1,
) -> TransferReport:
    """Compare pretrained features with features that need no pretraining, on the same folds and with the same head.

    Parameters
    ----------
    X : container of images, or frame
        n of them, as for `ImageEncoder`. Images that cannot be read are left out of every feature set. A frame is for
        a pipeline that picks the column by name.
    y : array of shape (n,)
        Classes, or numbers to predict.
    encoder : str, Encoder, ImageEncoder or Pipeline, default="efficientnet_lite0"
        The pretrained encoder. Of `tabular_pipeline`'s its encoder; two more feature sets are compared then, with the
        pipeline's own head: ``"table only"``, the other columns, and ``"both"``. They say what the images add to the
        table, and have no part in the decision on transfer.
    head : {"logistic", "svm", "probe", "prototype", "ridge"} or estimator, default=None
        As for `image_pipeline`, on every feature set; None is logistic regression, or ridge for numbers. How strongly
        a named one is regularized is chosen once for each feature set and size, within the training rows. An
        estimator is used as it is.
    task : {"auto", "classification", "regression"}, default="auto"
        What y holds. With ``"auto"`` the head decides, where one is given. Without one, text, bools and categories are
        classes, and numbers with fractions are to be predicted; whole ones too if most values occur in fewer rows than
        there are folds, and a warning says so.
    sizes : sequence of int, default=None
        Numbers of training images. None is about 5 numbers from 10 a class (fewer of few images) to all of a training
        part.
    cv : int, splitter or iterable of (train, test), default=5
        An int, 3 or more, is that many random splits of the shuffled images, as scikit-learn's ``StratifiedKFold`` with
        ``shuffle=True`` (``KFold`` for numbers): each image is tested once, by a head that was trained on the other
        folds. A scikit-learn splitter, such as ``ShuffleSplit(10)``, or an iterable of arrays of positions in X decides
        by itself; `random_state` then orders the training images alone.
    scoring : str or callable, default=None
        As for `cross_val_score`; None is accuracy, or R2 for numbers. Differences are in points (hundredths) where the
        best score is 1, otherwise in the score's unit.
    groups : array of shape (n,), default=None
        Images of one group (a patient, a video) are never in both training and test. If copies are, a warning and
        `TransferReport.notes` say so: images of equal content, and, where ``"pixels"`` is compared, near copies, as
        `featx.audit` finds them.
    feature_sets : sequence of {"pixels", "hog", "color", "random", "pretrained"}
        The feature sets to compare, by default all. ``"pixels"``: 32 x 32 RGB; ``"hog"``: histograms of oriented
        gradients at 64 x 64; ``"color"``: a joint histogram of 216 colors; ``"random"``: the same network, untrained. A
        `featx.Encoder` has no untrained network; this set is then left out, and the report says so.
    extra_feature_sets : mapping of str to estimator, default=None
        Estimators of the images themselves to compare with, such as a fine-tuned network.
    random_state : int, default=0
        Seed of the folds and of the samples of training images.
    verbose : int, default=1
        1 shows a progress bar on a terminal or in a notebook; 0 does not.

    Returns
    -------
    TransferReport

    Raises
    ------
    InputError
        If y has one class, a class or the groups are too few for so many folds, or lengths differ.
    ParameterError
        If a feature set, a head, a task, a size or cv is not accepted.
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
    >>> labels = ["flower", "temple"] * 12
    >>> report = transfer_report(crops, labels, encoder=encoder, feature_sets=["color", "pretrained"])
    >>> list(report.summary.index)
    ['color', 'pretrained']
    """
    beside = _beside(X, encoder)
    images, encoder = images_of(X, encoder)
    feature_sets, cv = check_feature_sets(feature_sets, extra_feature_sets), check_cv(cv)
    image_encoder = as_image_encoder(encoder)
    column = column_of(image_encoder, images)
    fitting = None if head is None else image_pipeline(head)[-1]
    regression = is_regression(y, task, head=fitting, n_folds=cv)
    problem = _read_problem(y, regression, groups, scoring, len(column))
    head = _default_head(problem) if head is None else head
    shared, notes = make_head(head), []
    if RANDOM in feature_sets and not has_untrained(image_encoder):
        feature_sets = check_feature_sets([name for name in feature_sets if name != RANDOM], extra_feature_sets)
        notes.append("The feature set 'random' is left out: a featx.Encoder has no untrained network.")
    # Errors of the parameters are raised before anything is encoded.
    splits = fix_cv(cv, problem.y, problem.groups, regression=regression)
    _divide(problem, splits, sizes, random_state)
    features, seconds = embed_feature_sets(column, clone(image_encoder).set_params(verbose=verbose), feature_sets)
    rows = good_rows(features)
    if len(rows) < len(column):
        notes.append(f"{len(column) - len(rows):,} of {len(column):,} images cannot be used and are left out.")
    problem = problem.of_rows(rows)
    folds, chosen = _divide(problem, keep_rows(splits, rows, len(column)), sizes, random_state)
    notes += _copies(features, rows, folds)
    compared = [FeatureSet(name, Z[rows].__getitem__, shared, seconds[name]) for name, Z in features.items()]
    for name, estimator in {**(extra_feature_sets or {}), **beside}.items():
        compared.append(FeatureSet(name, partial(_take, X, column, rows), plain_head(estimator)))
    outcomes = _learn_all(compared, problem, folds, chosen, verbose)
    kept = ImageColumn([column.sources[i] for i in rows], [column.label(i) for i in rows], column.name)
    times = {one.name: one.seconds for one in compared}
    embeddings = features[PRETRAINED][rows]
    return TransferReport(outcomes, times, problem, folds, kept, embeddings, notes, str(head), image_encoder)


def _beside(X: Any, encoder: Any) -> dict[str, Any]:
    """Make an estimator of a table's other columns, and of all, of a pipeline of tables."""
    features = encoder.steps[0][1] if isinstance(encoder, Pipeline) else None
    if not isinstance(features, TableEncoder) or not hasattr(X, "columns"):
        return {}
    images = [features.image] if isinstance(features.image, str) else list(features.image)
    others = [column for column in X.columns if column not in images]
    if not others:
        return {}
    table = vectorizer() if features.table is None else clone(features.table)
    chosen = ColumnTransformer([("table", table, others)])
    return {TABLE: Pipeline([("features", chosen), ("head", clone(encoder.steps[-1][1]))]), BOTH: encoder}


def _read_problem(y: Any, regression: bool, groups: Any, scoring: Any, n: int) -> Problem:
    labels = check_y(y, n, regression)
    if groups is not None:
        groups = as_array(groups)
        if groups.shape != (n,):
            raise InputError(f"Got groups of shape {groups.shape} for {n:,} images. Expected one group an image.")
    return Problem(labels, groups, regression, scoring)


def _default_head(problem: Problem) -> str:
    return "ridge" if problem.regression else "logistic"


def _divide(problem: Problem, cv: int | Splits, sizes: Any, seed: int) -> tuple[list[Fold], list[int]]:
    rng = np.random.default_rng(seed)
    folds = nested_folds(problem.y, cv, problem.groups, problem.regression, rng)
    return folds, choose_sizes(sizes, folds, 1 if problem.regression else len(np.unique(problem.y)))


def _copies(features: dict[str, np.ndarray], rows: np.ndarray, folds: list[Fold]) -> list[str]:
    pixels = thumbnails(features["pixels"][rows]) if "pixels" in features else None
    text = warn_of_copies(features[PRETRAINED][rows], [(fold.train, fold.test) for fold in folds], pixels)
    return [text] if text else []


def _learn_all(
    compared: list[FeatureSet], problem: Problem, folds: list[Fold], sizes: list[int], verbose: int
) -> dict[tuple[str, int], Outcome]:
    total = len(compared) * len(sizes) * len(folds)
    with progress_bar(total, description="heads", verbose=verbose, unit="fit") as bar:
        return {(one.name, size): learn(one, problem, folds, size, bar.update) for size in sizes for one in compared}


def _take(X: Any, column: ImageColumn, good: np.ndarray, positions: np.ndarray) -> Any:
    rows = good[positions]
    return X.iloc[rows] if hasattr(X, "iloc") else [column.sources[i] for i in rows]


def _predictions(outcomes: Outcomes, problem: Problem, folds: list[Fold], images: ImageColumn) -> pd.DataFrame:
    """Tabulate the predictions at the largest size, fold after fold."""
    import pandas as pd

    order, last = np.concatenate([fold.test for fold in folds]), at_largest(outcomes)
    columns: dict[str, Any] = {"truth": list(problem.y[order])}
    columns["fold"] = np.repeat(range(len(folds)), [len(fold.test) for fold in folds])
    columns |= {name: list(np.concatenate(outcome.predicted)) for name, outcome in last.items()}
    columns["confidence"] = np.concatenate(last[PRETRAINED].confidence)
    return pd.DataFrame(columns, index=pd.Index([images.label(i) for i in order], name="image"))


def _summary_row(name: str, row: pd.Series, unit: ScoreUnit) -> list[str]:
    score, seconds = [name, f"{row.score:.3f}", f"{row.low:.3f} to {row.high:.3f}"], f"{row.seconds:,.1f} s"
    if name == PRETRAINED:
        return [*score, "", "", "", "", seconds]
    gain, low, high = (
        unit.figure(row[column]).replace("-", "\N{MINUS SIGN}")
        for column in ("difference", "difference_low", "difference_high")
    )
    saved = row.get("error_reduction", np.nan)
    saved = "" if np.isnan(saved) else f"{100 * saved:.0f} %" if saved >= 0 else "none"
    return [*score, gain, f"{low} to {high}", saved, row.label_efficiency, seconds]
