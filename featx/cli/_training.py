"""A folder of labelled images -> a fitted pipeline and its scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline

from featx._pipeline import image_pipeline
from featx.auditing import warn_of_copies
from featx.cli._folder import read_labelled
from featx.cli._readable import apply_to_readable
from featx.cli._scores import cross_validate, score, split_folds
from featx.cli._task import read_labels
from featx.evaluation import is_regression, regression_hint
from featx.exceptions import InputError


@dataclass
class Trained:
    """A model, and how good it is.

    Attributes
    ----------
    model : Pipeline
        Fitted on all images, or on those of the split train.
    labels : dict
        How many images of each label it was fitted on.
    bad : pandas.DataFrame
        Columns image and error: the images that were left out.
    folds, splits : pandas.DataFrame
        Scores, a row a fold and a row a split other than train.
    notes : list of str
        What the user should know.
    """

    model: Pipeline
    labels: dict[str, int]
    bad: pd.DataFrame
    folds: pd.DataFrame = field(default_factory=pd.DataFrame)
    splits: pd.DataFrame = field(default_factory=pd.DataFrame)
    notes: list[str] = field(default_factory=list)


def train(
    folder: str,
    head: str,
    n_folds: int,
    parameters: dict[str, Any],
    task: str = "auto",
    split: str | Mapping[str, str] | None = "auto",
) -> Trained:
    """Embed each image once, score the head on folds and splits, fit it.

    Parameters
    ----------
    folder : str
        As for `read_image_folder`.
    head : str
        As for `image_pipeline`.
    n_folds : int
        0 is no cross-validation; it is fewer where a label has fewer images.
    parameters : dict
        Of `ImageEncoder`.
    task : {"auto", "classification", "regression"}, default="auto"
        ``"auto"``: the head decides.
    split : {"auto"}, mapping of str to str, or None, default="auto"
        As for `read_image_folder`.

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
    return _fit(model, embeddings, read_labels(table["label"], regression), table, errors, n_folds)


def _fit(
    model: Pipeline, embeddings: np.ndarray, y: np.ndarray, table: pd.DataFrame, bad: pd.DataFrame, n_folds: int
) -> Trained:
    split = table["split"].to_numpy(object) if "split" in table else np.full(len(y), "train", object)
    fitted_on = split == "train"
    labels = table["label"][fitted_on].value_counts().sort_index()
    if len(labels) < (2 if is_classifier(model) else 1):
        raise InputError(f"The images to train on have the labels {list(labels.index)}. Expected two or more.")
    trained = Trained(model, {label: int(n) for label, n in labels.items()}, bad)
    folds = _possible_folds(n_folds, labels if is_classifier(model) else labels.groupby(lambda _: "all").sum(), trained)
    head = model[1:]
    if folds:
        divided = split_folds(head, y[fitted_on], folds)
        warn_of_copies(embeddings[fitted_on], divided, stacklevel=3)
        trained.folds = cross_validate(head, embeddings[fitted_on], y[fitted_on], divided)
    # The encoder needs no fit, and the steps are the pipeline's own.
    head.fit(embeddings[fitted_on], y[fitted_on])
    others = {name: split == name for name in sorted(set(split) - {"train"})}
    divided = [(np.flatnonzero(fitted_on), np.flatnonzero(rows)) for rows in others.values()]
    warn_of_copies(embeddings, divided, stacklevel=3, divided="a split")
    scores = {name: score(head, embeddings[rows], y[rows]) for name, rows in others.items()}
    trained.splits = pd.DataFrame.from_dict(scores, orient="index")
    return trained


def _possible_folds(n_folds: int, counts: pd.Series, trained: Trained) -> int:
    """As many as the rarest label has images, and a note if these are fewer."""
    fewest = int(counts.min())
    if not n_folds or n_folds <= fewest:
        return n_folds
    said = f"{fewest} folds instead of {n_folds}: {counts.idxmin()!r} has {fewest} readable images"
    if fewest < 2:
        said, fewest = f"no cross-validation: {counts.idxmin()!r} has one readable image", 0
    if regression_hint(counts.index.tolist()):
        said += ". If these are numbers to predict, use --task regression"
    trained.notes.append(said)
    return fewest
