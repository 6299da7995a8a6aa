"""Write a fitted TableEncoder as a ColumnTransformer of scikit-learn, which a bundle's machine has.

skrub's TableVectorizer is taken apart: numbers stay what they are, categories become a OneHotEncoder. What the imputer
and the scaler behind it have learned is divided among the columns.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from featx.exceptions import ExportError
from featx.table import TableEncoder

# Steps of skrub that leave numbers and categories what they are, and what others take.
_KEPT = ("CleanCategories", "CleanNullStrings", "DropUninformative", "PassThrough", "ShortReprDict", "ToFloat", "ToStr")
_BEYOND = {
    "DurationToFloat": "durations",
    "ToDatetime": "dates",
    "StringEncoder": "free text (more than {most} different ones)",
}


@dataclass(frozen=True)
class PlainTable:
    """A TableEncoder without skrub.

    Attributes
    ----------
    table : ColumnTransformer
        What answers as it does. Its image encoders are those of the original.
    nulls : dict of str to list of str
        The columns of categories, which take text alone, and the texts that mean a missing value there.
    """

    table: ColumnTransformer
    nulls: dict[str, list[str]]


def plain_table(encoder: TableEncoder) -> PlainTable:
    """Make a ColumnTransformer of a fitted TableEncoder.

    Parameters
    ----------
    encoder : TableEncoder
        A fitted one; it is not changed.

    Returns
    -------
    PlainTable

    Raises
    ------
    ExportError
        If a column holds dates, free text, or what else only skrub makes numbers of.
    """
    images = list(encoder.images_)
    columns = encoder.feature_names_in_.tolist()
    if odd := [column for column in columns if not isinstance(column, str)]:
        raise ExportError(f"Got columns named {odd}. Expected names that are text: rename them and fit again.")
    others = columns[len(images) :]
    nulls: dict[str, list[str]] = {}
    entries: list[tuple[str, Any, list[str]]] = []
    if encoder.table_ is not None:
        vectorizer, *behind = _steps(encoder.table_)
        if _is_vectorizer(vectorizer) and _are_columnwise(behind):
            entries += _divide(vectorizer, behind)
            nulls = {column: _nulls(vectorizer, column) for column in _categories(vectorizer)}
        else:
            entries.append(("table", encoder.table_, others))
    entries += [(f"image {name}", _plain_image(encoder.images_[name]), [name]) for name in images]
    return PlainTable(_fitted_table(entries, columns), nulls)


def _plain_image(image: Pipeline) -> Pipeline:
    """Write the weight as a step; leave out the inner table, unless it has an indicator of missing images too."""
    inner = image["features"]
    reduction = inner.named_transformers_["embedding"]
    n = inner.output_indices_["embedding"].stop
    steps = [*reduction.steps, ("weight", _times(inner.transformer_weights["embedding"], n))]
    if len(inner.transformers_) == 1:
        return Pipeline([image.steps[0], *steps])
    (_, _, embedding), *others = inner.transformers_
    weighted = copy.copy(inner)
    weighted.transformers_ = [("embedding", Pipeline(steps), embedding), *others]
    weighted.transformers, weighted.transformer_weights = weighted.transformers_, None
    return Pipeline([image.steps[0], ("features", weighted)])


def _times(weight: float, n: int) -> StandardScaler:
    """Make a step of scikit-learn that multiplies n columns: it divides by the inverse, by infinity for 0."""
    scaler = StandardScaler(with_mean=False)
    with np.errstate(divide="ignore"):
        vars(scaler).update(scale_=1 / np.full(n, weight), n_features_in_=n, mean_=None, var_=None, n_samples_seen_=1)
    return scaler


def _fitted_table(entries: list[tuple[str, Any, list[str]]], columns: list[str]) -> ColumnTransformer:
    table = ColumnTransformer(entries)
    table.transformers_ = entries
    table.sparse_output_ = False
    table.feature_names_in_ = np.array(columns, dtype=object)
    table.n_features_in_ = len(columns)
    table._transformer_to_input_indices = {name: [columns.index(one) for one in taken] for name, _, taken in entries}
    table._columns, table._remainder = [taken for _, _, taken in entries], ("remainder", "drop", [])
    return table


def _steps(transformer: Any) -> list[Any]:
    return [step for _, step in transformer.steps] if isinstance(transformer, Pipeline) else [transformer]


def _is_vectorizer(step: Any) -> bool:
    return type(step).__module__.partition(".")[0] == "skrub" and type(step).__name__ == "TableVectorizer"


def _are_columnwise(steps: Sequence[Any]) -> bool:
    return [type(step) for step in steps] in ([], [SimpleImputer, StandardScaler])


def _categories(vectorizer: Any) -> list[str]:
    return [column for column in vectorizer.all_processing_steps_ if _is_one_hot(vectorizer, column)]


def _is_one_hot(vectorizer: Any, column: str) -> bool:
    return isinstance(vectorizer.transformers_.get(column), OneHotEncoder)


def _nulls(vectorizer: Any, column: str) -> list[str]:
    """List the texts that skrub takes for a missing value."""
    from skrub._clean_null_strings import STR_NA_VALUES

    cleaners = [s for s in vectorizer.all_processing_steps_[column] if type(s).__name__ == "CleanNullStrings"]
    return [text for step in cleaners for text in (*STR_NA_VALUES, *(step.null_strings or ()))]


def _divide(vectorizer: Any, behind: Sequence[Any]) -> Iterator[tuple[str, Any, list[str]]]:
    """Yield what each column goes through: its encoder, and its part of the imputer and of the scaler."""
    imputer, scaler = behind or (None, None)
    position = 0
    places: dict[int, str] = {}
    for column in vectorizer.feature_names_in_:
        if column not in vectorizer.transformers_:  # dropped: it has nothing but missing values
            continue
        names = vectorizer.input_to_outputs_[column]
        places |= dict.fromkeys(range(position, position + len(names)), column)
        part = slice(position, position + len(names))
        position += len(names)
        one_hot = _one_hot_of(vectorizer, column)
        steps: list[Any] = [one_hot or (imputer and _imputer(imputer, part)), scaler and _scaler(scaler, part)]
        yield f"column {column}", _named(steps, column), [column]
    indicators = [] if imputer is None or imputer.indicator_ is None else imputer.indicator_.features_.tolist()
    for feature in indicators:
        steps = [_indicator(), _scaler(scaler, slice(position, position + 1))]
        position += 1
        yield f"missing {places[feature]}", _named(steps, places[feature]), [places[feature]]


def _named(steps: Sequence[Any], column: str) -> Any:
    """Make a pipeline, of which the first step has seen the column's name."""
    steps = [step for step in steps if step is not None] or [FunctionTransformer()]
    steps[0].feature_names_in_ = np.array([column], dtype=object)
    return Pipeline([(type(step).__name__, step) for step in steps])


def _one_hot_of(vectorizer: Any, column: str) -> OneHotEncoder | None:
    """Return the encoder of a category; None for numbers, which stay as they are."""
    for step in vectorizer.all_processing_steps_[column]:
        kind = type(step).__name__
        if kind in _KEPT or isinstance(step, OneHotEncoder):
            continue
        holds = _BEYOND.get(kind, "values").format(most=vectorizer.cardinality_threshold - 1)
        raise ExportError(
            f"Column {column!r} holds {holds}, which {kind} makes numbers of: a bundle's machine has no skrub. "
            "Expected numbers, categories and images: leave the column out and fit again, or keep the model with "
            "featx.save."
        )
    transformer = vectorizer.transformers_[column]
    return _one_hot(transformer) if isinstance(transformer, OneHotEncoder) else None


def _one_hot(encoder: OneHotEncoder) -> OneHotEncoder:
    """Leave out a category that is dropped: no column says that it is there, as with one that was never seen."""
    (categories,) = encoder.categories_
    dropped = None if encoder.drop_idx_ is None else encoder.drop_idx_[0]
    if dropped is not None:
        categories = np.delete(categories, dropped)
    plain = OneHotEncoder(categories=[categories], handle_unknown="ignore", sparse_output=False)
    return plain.fit(categories.reshape(-1, 1))


def _imputer(imputer: SimpleImputer, part: slice) -> SimpleImputer:
    one = SimpleImputer(strategy=imputer.strategy, keep_empty_features=True)
    vars(one).update(
        statistics_=imputer.statistics_[part],
        indicator_=None,
        _fit_dtype=imputer._fit_dtype,
        _fill_dtype=imputer._fill_dtype,
        n_features_in_=1,
    )
    return one


def _scaler(scaler: StandardScaler, part: slice) -> StandardScaler:
    one = copy.copy(scaler)
    vars(one).pop("feature_names_in_", None)
    for name in ("mean_", "var_", "scale_"):
        setattr(one, name, getattr(scaler, name)[part])
    one.n_features_in_ = part.stop - part.start
    return one


def _indicator() -> MissingIndicator:
    return MissingIndicator(features="all").fit(np.zeros((1, 1)))
