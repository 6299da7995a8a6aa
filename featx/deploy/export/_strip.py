"""A fitted pipeline -> its encoders, and what is left of it: a head that takes embeddings."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

from featx._image_encoder import ImageEncoder
from featx.deploy.export._equivalent import equivalents
from featx.deploy.export._inputs import ImageInput, ValueInput, unwrap, value_input, walk
from featx.exceptions import ExportError
from featx.text import TextEncoder

IMAGE = "image"


@dataclass(frozen=True)
class Stripped:
    """A pipeline without its encoders.

    Attributes
    ----------
    images : list of ImageInput
    values : list of ValueInput
    head : estimator or None
        Takes the embeddings, side by side, then the values, a column each; None
        where there was nothing but an encoder.
    is_table : bool
        Whether the pipeline takes a table, be it of one column.
    named : bool
        Whether its columns have names.
    """

    images: list[ImageInput]
    values: list[ValueInput] = field(default_factory=list)
    head: Any = None
    is_table: bool = False
    named: bool = True


def strip(model: Any) -> Stripped:
    """Take the encoders out of a fitted pipeline; the model itself is left as it is.

    Parameters
    ----------
    model : estimator
        A Pipeline that begins with an `ImageEncoder`, or with a ColumnTransformer
        that has some; also inside searches, threshold tuning, calibration.

    Returns
    -------
    Stripped

    Raises
    ------
    ExportError
        If it is not fitted, or holds no encoder, or two on one column, or an encoder of texts.
    """
    _check_fitted(model)
    parts = list(walk(model))
    if any(isinstance(part, TextEncoder) for part in parts):
        raise ExportError(
            "Got a pipeline with a TextEncoder. Expected columns of images, numbers and categories alone: a bundle has "
            "no tokenizer. Save it with featx.save(model, folder)."
        )
    encoders = [part for part in parts if isinstance(part, ImageEncoder)]
    if not encoders:
        raise ExportError(f"Got a {type(model).__name__} without an ImageEncoder. Expected a pipeline of images.")
    tables = [part for part in parts if _is_table(part)]
    # deepcopy puts what the memo has in the place of the encoders, and of featx's own heads, wherever they are.
    memo = {id(encoder): FunctionTransformer() for encoder in encoders} | equivalents(model)
    images, values = _inputs_of_table(tables) if tables else (_only_image(model, encoders), [])
    memo |= {id(table): _rewrite(table, images, values, dict(memo)) for table in tables}
    head = _tidy(copy.deepcopy(unwrap(model), memo))
    named = all(hasattr(table, "feature_names_in_") for table in tables)
    return Stripped(images, values, _forget_names(head), is_table=bool(tables), named=named)


def _check_fitted(model: Any) -> None:
    try:
        check_is_fitted(model)
    except NotFittedError as error:
        raise ExportError("Got a pipeline that is not fitted. Call fit first, then export it.") from error
    except TypeError as error:
        raise ExportError(f"Got a {type(model).__name__}. Expected a fitted scikit-learn Pipeline.") from error


def _is_table(part: Any) -> bool:
    return isinstance(part, ColumnTransformer) and any(
        isinstance(inner, ImageEncoder)
        for _, transformer, _ in getattr(part, "transformers_", [])
        for inner in walk(transformer)
    )


def _only_image(model: Any, encoders: Sequence[ImageEncoder]) -> list[ImageInput]:
    if len({encoder._specs() for encoder in encoders}) > 1:
        raise ExportError(
            "Got several encoders on one column of images. Expected one: use layers=[...] of one encoder, or a "
            "ColumnTransformer with a column for each."
        )
    name = next((encoder.feature_names_in_[0] for encoder in encoders if hasattr(encoder, "feature_names_in_")), IMAGE)
    return [_image_input(str(name), encoders[0])]


def _image_input(name: str, encoder: ImageEncoder) -> ImageInput:
    return ImageInput(name, encoder, len(encoder.get_feature_names_out([name])))


def _inputs_of_table(tables: Sequence[ColumnTransformer]) -> tuple[list[ImageInput], list[ValueInput]]:
    """The columns that a table's transformers use, those of images first."""
    table = tables[0]
    used = [{_column_name(t, column) for _, _, columns in _entries(t) for column in columns} for t in tables]
    if any(names != used[0] for names in used):
        raise ExportError(f"Got tables of different columns: {used}. Expected the same in each.")
    images: dict[int, ImageInput] = {}
    values: dict[int, ValueInput] = {}
    for name, transformer, columns in _entries(table):
        encoders = [part for part in walk(transformer) if isinstance(part, ImageEncoder)]
        if encoders and (len(columns) != 1 or columns[0] in images):
            raise ExportError(f"Step {name!r} shares its column of images, or has several. Expected one for each.")
        if encoders:
            images[columns[0]] = _image_input(_column_name(table, columns[0]), encoders[0])
        else:
            for position, column in enumerate(columns):
                known = values.get(column, ValueInput("", "number"))
                if known.kind == "number":
                    new = value_input(_column_name(table, column), transformer, position)
                    values[column] = replace(new, typical=new.typical or known.typical)
    if both := [images[column].name for column in images if column in values]:
        raise ExportError(f"Column {both[0]!r} is used as images and otherwise. Expected one use.")
    return list(images.values()), list(values.values())


def _entries(table: ColumnTransformer) -> Iterator[tuple[str, Any, list[int]]]:
    """Name, transformer and positions of columns; dropped columns are left out."""
    for name, transformer, _ in table.transformers_:
        columns = list(table._transformer_to_input_indices[name])
        if columns and not (isinstance(transformer, str) and transformer == "drop"):
            yield name, transformer, columns


def _column_name(table: ColumnTransformer, column: int) -> str:
    names = getattr(table, "feature_names_in_", None)
    return f"x{column}" if names is None else str(names[column])


def _rewrite(
    table: ColumnTransformer, images: Sequence[ImageInput], values: Sequence[ValueInput], memo: dict[int, Any]
) -> ColumnTransformer:
    """The same ColumnTransformer over embeddings, side by side, and values, a column each."""
    starts = np.cumsum([0, *(image.dim for image in images)])
    places = {image.name: list(range(a, b)) for image, a, b in zip(images, starts, starts[1:], strict=False)}
    places |= {value.name: [int(starts[-1]) + i] for i, value in enumerate(values)}
    entries = [
        (name, copy.deepcopy(transformer, dict(memo)), [i for c in columns for i in places[_column_name(table, c)]])
        for name, transformer, columns in _entries(table)
    ]
    new = ColumnTransformer(
        entries,
        remainder="drop",
        sparse_threshold=table.sparse_threshold,
        transformer_weights=table.transformer_weights,
    )
    new.transformers_ = entries
    new.sparse_output_ = table.sparse_output_
    new.n_features_in_ = int(starts[-1]) + len(values)
    new._transformer_to_input_indices = {name: columns for name, _, columns in entries}
    return new


def _tidy(head: Any) -> Any:
    """Searches as what they found, and without the encoder's place where it is the first step; None: nothing left."""
    head = unwrap(head)
    if isinstance(head, FunctionTransformer) and head.func is None:
        return None
    if not isinstance(head, Pipeline):
        return head
    (first_name, first), *others = head.steps
    first = _tidy(first)
    steps = [*([] if first is None else [(first_name, first)]), *((name, unwrap(step)) for name, step in others)]
    return Pipeline(steps) if steps else None


def _forget_names(head: Any) -> Any:
    """Without the names of columns that it was fitted with: it gets arrays. Only a table's own steps get frames."""
    inside_tables = {id(part) for table in walk(head) if isinstance(table, ColumnTransformer) for part in walk(table)}
    for part in walk(head):
        if id(part) not in inside_tables:
            for attribute in ("feature_names_in_", "_sklearn_output_config"):
                getattr(part, "__dict__", {}).pop(attribute, None)  # a tree's own nodes have none
    return head
