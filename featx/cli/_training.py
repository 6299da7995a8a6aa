"""A folder of labelled images -> a fitted pipeline and its scores: the work of ``featx train``.

It stays here, as no public function does all of it: images are embedded once for the folds, the splits and the fit,
and unreadable ones are left out. It is a module apart from the command, so that ``--help`` loads no scikit-learn.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline

from featx._optional import import_optional
from featx._pipeline import image_pipeline
from featx._score_model import describe_images
from featx._validate import check_choice
from featx.auditing import audit, warn_of_copies
from featx.cli._files import LabelledImages, apply_to_readable, read_labelled, read_labels
from featx.evaluation import (
    Folds,
    ModelScores,
    count_targets,
    describe_folds,
    finite_rows,
    is_regression,
    make_folds,
    regression_hint,
    score,
    score_folds,
)
from featx.exceptions import InputError
from featx.heads import LogisticRegression
from featx.images import is_missing
from featx.table import tabular_pipeline


@dataclass
class TrainingResult:
    """A model and its scores.

    Attributes
    ----------
    model : Pipeline
        Fitted on all images, or on those of the split train.
    labels : dict
        The number of images of each label that it was fitted on.
    bad : pandas.DataFrame
        Columns image and error: the images that were left out.
    folds, splits : pandas.DataFrame
        Scores, one row per fold and one row per split other than train.
    notes : list of str
        Warnings for the user.
    rows : int
        The number of rows of a table that it was fitted on.
    scores : ModelScores
        The same, as the model's folder keeps it.
    """

    model: Pipeline
    labels: dict[str, int]
    bad: pd.DataFrame
    folds: pd.DataFrame = field(default_factory=pd.DataFrame)
    splits: pd.DataFrame = field(default_factory=pd.DataFrame)
    notes: list[str] = field(default_factory=list)
    rows: int = 0
    scores: ModelScores = field(default_factory=ModelScores)


def train(
    folder: str,
    head: str,
    n_folds: int,
    parameters: dict[str, Any],
    task: str = "auto",
    split: str | Mapping[str, str] | None = "auto",
    *,
    audited: bool = False,
) -> TrainingResult:
    """Embed each image once, score the head on folds and splits, and fit it.

    Parameters
    ----------
    folder : str
        As for `read_image_folder`.
    head : str
        As for `image_pipeline`.
    n_folds : int
        The number of folds; 0 skips cross-validation. There are fewer if a label has fewer images.
    parameters : dict
        Parameters of `ImageEncoder`.
    task : {"auto", "classification", "regression"}, default="auto"
        ``"auto"``: the head decides.
    split : {"auto"}, mapping of str to str, or None, default="auto"
        As for `read_image_folder`.
    audited : bool, default=False
        Whether the images that it is fitted on are audited too.

    Returns
    -------
    TrainingResult
        The fitted model and its scores.

    Raises
    ------
    InputError
        If there is nothing to learn: no images, one label, no split to train on.
    ParameterError
        If the head is for the other task.

    Warns
    -----
    ImageWarning
        If copies are on both sides of a fold, or of a split.
    """
    model = image_pipeline(head, **parameters)
    regression = is_regression([], task, head=model["head"])
    table = read_labelled(folder, split)
    if "split" in table and not (table["split"] == "train").any():
        raise InputError(f"{folder} has the splits {sorted(table['split'].unique())}. Expected train among them.")
    embeddings, reasons = apply_to_readable(model["encoder"].transform, table["image"].tolist())
    bad = np.isin(np.arange(len(table)), list(reasons))
    if bad.all():
        raise InputError(f"None of {len(table):,} images in {folder} can be read. For example: {reasons[0]}.")
    errors = table.loc[bad, ["image"]].assign(error=list(reasons.values()))
    table = table[~bad].reset_index(drop=True)
    y = read_labels(table["label"], regression)
    fitted_on = (table["split"] == "train").to_numpy() if "split" in table else np.ones(len(y), bool)
    labels = table["label"][fitted_on].value_counts().sort_index()
    if len(labels) < (2 if is_classifier(model) else 1):
        raise InputError(f"The images to train on have the labels {list(labels.index)}. Expected two or more.")
    result = TrainingResult(model, {label: int(n) for label, n in labels.items()}, errors)
    folds, how, bins = _cross_validate(result, embeddings[fitted_on], y[fitted_on], n_folds)
    # The encoder needs no fit, and the steps are those of the pipeline itself.
    model[1:].fit(embeddings[fitted_on], y[fitted_on])
    if "split" in table:
        _score_splits(result, embeddings, y, table["split"].to_numpy(object))
    images = table["image"][fitted_on].tolist()
    counts = audit(images, y[fitted_on], task=task, encoder=model["encoder"], verbose=0).counts if audited else None
    result.scores = _describe(result, images, y[fitted_on], folds, how, bins, counts)
    return result


def train_table(
    table: LabelledImages,
    image: str,
    target: str,
    head: str | None,
    n_folds: int,
    parameters: dict[str, Any],
    *,
    group: str | None = None,
    task: str = "auto",
    log: bool = False,
    audited: bool = False,
) -> TrainingResult:
    """Score a pipeline of a table with a column of images on folds, and fit it.

    Parameters
    ----------
    table : LabelledImages
        Its frame has all columns.
    image, target, group : str
        The columns of images, of labels, and of groups, which are no features.
    head : {"logistic", "ridge", "trees", "lightgbm"}, default=None
        None is ridge for numbers, else logistic.
    n_folds : int
        The number of folds; 0 skips cross-validation.
    parameters : dict
        Parameters of `ImageEncoder`.
    task : {"auto", "classification", "regression"}, default="auto"
        ``"auto"``: the head decides, else the labels.
    log : bool, default=False
        Whether numbers are predicted by their logarithm.
    audited : bool, default=False
        Whether the images are audited too.

    Returns
    -------
    TrainingResult
        Rows whose image cannot be read are left out; those that have none are not.

    Raises
    ------
    InputError, ParameterError
        If there is nothing to learn, or the head is for the other task.
    """
    regression = is_regression(table.labels, task, head=_fitting(head), n_folds=n_folds or 5)
    estimator = _table_head(head or ("ridge" if regression else "logistic"), regression)
    model = tabular_pipeline(estimator, image=image, target="log" if log else "identity", **parameters)
    present = [i for i, cell in enumerate(table.images) if not is_missing(cell)]
    encoder = model["features"].encoder
    _, reasons = apply_to_readable(encoder.transform, [table.images[i] for i in present])
    bad = np.isin(np.arange(len(table.images)), [present[i] for i in reasons])
    if reasons and len(reasons) == len(present):
        raise InputError(f"None of {len(present):,} images can be read. For example: {next(iter(reasons.values()))}.")
    errors = pd.DataFrame({"image": table.frame[image][bad], "error": list(reasons.values())})
    X = table.frame[~bad].drop(columns=[target] if group is None else [target, group]).reset_index(drop=True)
    y, groups = table.labels[~bad], None if table.groups is None else table.groups[~bad]
    counts = (
        {} if regression else {str(label): int(n) for label, n in zip(*np.unique(y, return_counts=True), strict=True)}
    )
    if len(np.unique(y)) < 2:
        raise InputError(f"All rows have the {target} {y[0]}. Expected two values or more.")
    result = TrainingResult(model, counts, errors, rows=len(y))
    given = {} if groups is None else {"features__groups": groups}
    folds, how, bins = [], "", None
    if n_folds:
        folds = make_folds(y, n_folds, groups, regression=regression)
        if groups is None and len(X) == len(present) - len(reasons):
            warn_of_copies(encoder.transform(X[image]), folds)
        result.folds, bins = score_folds(model, X, y, folds, given)
        how = describe_folds(n_folds, regression=regression, groups=group)
    model.fit(X, y, **given)
    found = audit(X[image], y, groups=groups, task=task, encoder=encoder, verbose=0).counts if audited else None
    result.scores = _describe(result, X[image].tolist(), y, folds, how, bins, found)
    return result


TABLE_HEADS = ("logistic", "ridge", "trees", "lightgbm")


def _fitting(head: str | None) -> Any:
    """Return an estimator of the kind that a head's name tells, if it does."""
    return {"logistic": LogisticRegression(), "ridge": Ridge()}.get(head or "")


def _table_head(name: str, regression: bool) -> Any:
    check_choice("head", name, TABLE_HEADS)
    if name == "logistic":
        return LogisticRegression(max_iter=1000)
    if name == "ridge":
        return Ridge()
    if name == "trees":
        return (
            HistGradientBoostingRegressor(random_state=0)
            if regression
            else HistGradientBoostingClassifier(random_state=0)
        )
    lightgbm = import_optional("lightgbm", extra="table", purpose="The head 'lightgbm'")
    kind = lightgbm.LGBMRegressor if regression else lightgbm.LGBMClassifier
    return kind(random_state=0, verbose=-1)


def format_scores(folds: pd.DataFrame, splits: pd.DataFrame) -> str:
    """Format scores as a table, with mean and standard deviation of the folds."""
    shown = pd.concat([_formatted(frame) for frame in (folds, splits) if len(frame)])
    if len(folds):
        numbers = folds.drop(columns="images")
        summary = {name: f"{numbers[name].mean():.3f} +- {numbers[name].std(ddof=0):.3f}" for name in numbers}
        summary = pd.DataFrame({"images": "", **summary}, index=["mean +- std"])
        shown = pd.concat([shown[: len(folds)], summary, shown[len(folds) :]])
    return shown.to_string()


def _cross_validate(
    result: TrainingResult, embeddings: np.ndarray, y: np.ndarray, n_folds: int
) -> tuple[Folds, str, list[dict[str, Any]] | None]:
    """Score the head on shuffled folds, the same ones at each call; a classifier's are stratified.

    Return the folds, how they were made, and how reliable probabilities are.
    """
    head, counts = result.model[1:], pd.Series(result.labels)
    regression = not is_classifier(head)
    if regression:
        counts = pd.Series({"all": len(y)})
    possible, note = _possible_folds(n_folds, counts)
    if note:
        result.notes.append(note)
    if not possible:
        return [], "", None
    folds = make_folds(y, possible, regression=regression)
    warn_of_copies(embeddings, folds)
    result.folds, bins = score_folds(head, embeddings, y, folds)
    return folds, describe_folds(possible, regression=regression), bins


def _describe(
    result: TrainingResult,
    images: Sequence[Any],
    y: np.ndarray,
    folds: Folds,
    how: str,
    bins: list[dict[str, Any]] | None,
    counts: dict[str, int] | None,
) -> ModelScores:
    """Put together what the model's folder keeps of its data and scores."""
    splits = {str(name): finite_rows(result.splits.loc[[name]]) for name in result.splits.index}
    return ModelScores(
        finite_rows(result.folds),
        how,
        {name: {metric: values[0] for metric, values in scores.items()} for name, scores in splits.items()},
        left_out=len(result.bad),
        reliability=bins,
        audit=counts,
        **count_targets(y, regression=not is_classifier(result.model)),
        **describe_images(images, y, folds),
    )


def _possible_folds(n_folds: int, counts: pd.Series) -> tuple[int, str]:
    """Return as many folds as the rarest label has images, and a note if these are fewer."""
    fewest = int(counts.min())
    if not n_folds or n_folds <= fewest:
        return n_folds, ""
    note = f"{fewest} folds instead of {n_folds}: {counts.idxmin()!r} has {fewest} readable images"
    if fewest < 2:
        note, fewest = f"no cross-validation: {counts.idxmin()!r} has one readable image", 0
    if regression_hint(counts.index.tolist()):
        note += ". If these are numbers to predict, use --task regression"
    return fewest, note


def _score_splits(result: TrainingResult, embeddings: np.ndarray, y: np.ndarray, split: np.ndarray) -> None:
    others = {name: split == name for name in sorted(set(split) - {"train"})}
    divided = [(np.flatnonzero(split == "train"), np.flatnonzero(rows)) for rows in others.values()]
    warn_of_copies(embeddings, divided, divided="a split")
    scores = {}
    for name, rows in others.items():
        started = time.perf_counter()
        found = score(result.model[1:], embeddings[rows], y[rows])
        scores[name] = {**found, "seconds": time.perf_counter() - started}
    result.splits = pd.DataFrame.from_dict(scores, orient="index")


def _formatted(scores: pd.DataFrame) -> pd.DataFrame:
    return scores.map("{:.3f}".format).assign(images=scores["images"].map("{:,}".format))
