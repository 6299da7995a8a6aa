"""Split a fitted pipeline into its encoders and what is left of it: a head that takes embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

from featx._image_encoder import ImageEncoder, extraction_of
from featx._rebuild import rebuild
from featx.deploy.export._head import equivalents
from featx.deploy.export._inputs import ImageInput, Parts, ValueInput, join, unwrap, value_input, walk
from featx.deploy.export._table import plain_table
from featx.exceptions import ExportError
from featx.table import TableEncoder
from featx.text import TextEncoder

IMAGE = "image"


def split(model: Any) -> Parts:
    """Take the encoders out of a fitted pipeline; the model itself is not changed.

    Parameters
    ----------
    model : estimator
        A Pipeline that begins with an `ImageEncoder`, or with a ColumnTransformer
        that has some, or with a `TableEncoder`; also inside searches, threshold tuning, calibration.

    Returns
    -------
    Parts
        Its inputs and its head.

    Raises
    ------
    ExportError
        If it is not fitted, or has no encoder, or two on one column, or an encoder of texts, or if images go
        through another library's estimator.
    """
    _check_fitted(model)
    model, nulls = _without_skrub(model)
    parts = list(walk(model))
    if any(isinstance(part, TextEncoder) for part in parts):
        raise ExportError(
            "Got a pipeline with a TextEncoder. Expected columns of images, numbers and categories alone: a bundle has "
            "no tokenizer. Save it with featx.save(model, folder)."
        )
    encoders = [part for part in parts if isinstance(part, ImageEncoder)]
    if not encoders:
        raise ExportError(f"Got a {type(model).__name__} without an ImageEncoder. Expected a pipeline of images.")
    if several := next((encoder for encoder in encoders if encoder.combine is not None), None):
        raise ExportError(
            f"Got an ImageEncoder with combine={several.combine!r}. Expected one image a row: a bundle embeds no "
            "lists. Keep the model with featx.save(model, folder)."
        )
    _check_libraries(parts)
    _check_order(parts)
    tables = _tables(parts)
    # What stands in the place of the encoders, and of featx's own heads, wherever they are.
    replaced = {id(encoder): FunctionTransformer() for encoder in encoders} | equivalents(model)
    images, values = _inputs_of_tables(tables) if tables else (_only_image(encoders), [])
    values = [replace(value, nulls=nulls.get(value.name)) for value in values]
    rewritten = {id(table): _rewrite(table, images, values, replaced) for table in tables}
    head = _tidy(rebuild(unwrap(model), replaced | rewritten))
    named = all(hasattr(table, "feature_names_in_") for table in tables)
    _plain_output(head, list(rewritten.values()))
    _count_dates(head)
    return Parts(images, values, head, is_table=bool(tables), named=named)


def _without_skrub(model: Any) -> tuple[Any, dict[str, list[str]]]:
    """Put a ColumnTransformer in the place of each TableEncoder; return the texts that mean a missing value, too."""
    found = {id(part): plain_table(part) for part in walk(model) if _is_fitted_encoder(part)}
    nulls = {column: texts for plain in found.values() for column, texts in plain.nulls.items()}
    return rebuild(model, {key: plain.table for key, plain in found.items()}) if found else model, nulls


def _check_fitted(model: Any) -> None:
    try:
        check_is_fitted(model)
    except NotFittedError as error:
        raise ExportError("Got a pipeline that is not fitted. Call fit first, then export it.") from error
    except TypeError as error:
        raise ExportError(f"Got a {type(model).__name__}. Expected a fitted scikit-learn Pipeline.") from error


def _check_libraries(parts: Sequence[Any]) -> None:
    """Refuse estimators of other libraries in front of an encoder, or beside one in a table."""
    tables = [part for part in parts if _has_images(part)]
    beside = [part for table in tables for _, step, _ in table.transformers_ for part in walk(step)]
    around = [part for part in parts if any(isinstance(inner, ImageEncoder) for inner in walk(part))]
    for part in [*beside, *around]:
        library = type(part).__module__.partition(".")[0]
        if library not in ("sklearn", "featx"):
            raise ExportError(
                f"Got {library}'s {type(part).__name__} on the columns that the pipeline takes, which a bundle's "
                "machine does not have. Expected scikit-learn's own transformers there, as in make_column_transformer"
                '((ImageEncoder(), "photo"), (OneHotEncoder(), ["color"])); or keep the model with featx.save.'
            )


def _check_order(parts: Sequence[Any]) -> None:
    """Refuse steps before an encoder: a bundle reads images as the encoder does."""
    for pipeline in (part for part in parts if isinstance(part, Pipeline)):
        steps = [(name, step) for name, step in pipeline.steps if not _is_identity(step)]
        with_images = [any(isinstance(inner, ImageEncoder) for inner in walk(step)) for _, step in steps]
        if True in with_images[1:]:
            name, step = steps[0]
            raise ExportError(
                f"Step {name!r} (a {type(step).__name__}) comes before the ImageEncoder. Expected that encoder, or a "
                "ColumnTransformer with it, as the first step: prepare images before the pipeline gets them."
            )


def _is_identity(step: Any) -> bool:
    return step in (None, "passthrough") or (isinstance(step, FunctionTransformer) and step.func is None)


def _has_images(part: Any) -> bool:
    return _is_fitted_table(part) and any(
        isinstance(inner, ImageEncoder) for _, transformer, _ in part.transformers_ for inner in walk(transformer)
    )


def _is_fitted_encoder(part: Any) -> bool:
    return isinstance(part, TableEncoder) and hasattr(part, "images_")


def _is_fitted_table(part: Any) -> bool:
    return isinstance(part, ColumnTransformer) and hasattr(part, "transformers_")


def _tables(parts: Sequence[Any]) -> list[ColumnTransformer]:
    """List the ColumnTransformers that get the pipeline's own columns: in an ensemble some may see no images."""
    fitted = [part for part in parts if _is_fitted_table(part)]  # an ensemble also keeps what it has cloned
    inside = {id(inner) for table in fitted for _, step, _ in table.transformers_ for inner in walk(step)}
    tables = [table for table in fitted if id(table) not in inside]
    names = [_names(table) for table in tables if _has_images(table)]
    return [table for table in tables if _has_images(table) or (_names(table) is not None and _names(table) in names)]


def _names(table: ColumnTransformer) -> list[str] | None:
    return list(table.feature_names_in_) if hasattr(table, "feature_names_in_") else None


def _only_image(encoders: Sequence[ImageEncoder]) -> list[ImageInput]:
    if len({extraction_of(encoder).specs for encoder in encoders}) > 1:
        raise ExportError(
            "Got several encoders on one column of images. Expected one: use layers=[...] of one encoder, or a "
            "ColumnTransformer with a column for each."
        )
    name = next((encoder.feature_names_in_[0] for encoder in encoders if hasattr(encoder, "feature_names_in_")), IMAGE)
    return [_image_input(str(name), encoders[0])]


def _image_input(name: str, encoder: ImageEncoder) -> ImageInput:
    return ImageInput(name, encoder, len(encoder.get_feature_names_out([name])))


def _inputs_of_tables(tables: Sequence[ColumnTransformer]) -> tuple[list[ImageInput], list[ValueInput]]:
    """List the columns that tables' transformers use, those of images first."""
    images: dict[str, ImageInput] = {}
    uses: dict[str, list[ValueInput]] = {}
    for table in tables:
        here: set[str] = set()
        for name, transformer, columns in _entries(table):
            names = [_column_name(table, column) for column in columns]
            encoders = [part for part in walk(transformer) if isinstance(part, ImageEncoder)]
            if not encoders:
                for position, column in enumerate(names):
                    uses.setdefault(column, []).append(value_input(column, transformer, position))
                continue
            if isinstance(unwrap(transformer), ColumnTransformer):
                raise ExportError(
                    f"Step {name!r} is a ColumnTransformer of images inside another one. Expected the ImageEncoder in "
                    "the outer one, with its column."
                )
            if len(names) != 1 or names[0] in here:
                raise ExportError(f"Step {name!r} shares its column of images, or has several. Expected one for each.")
            here.add(names[0])
            new = _image_input(names[0], encoders[0])
            if images.setdefault(names[0], new).specs != new.specs:
                raise ExportError(f"Column {names[0]!r} has several encoders. Expected one: use layers=[...] of it.")
    if both := [name for name in images if name in uses]:
        raise ExportError(f"Column {both[0]!r} is used as images and otherwise. Expected one use.")
    return list(images.values()), [join(of_column) for of_column in uses.values()]


def _entries(table: ColumnTransformer) -> Iterator[tuple[str, Any, list[int]]]:
    """Yield name, transformer and positions of columns; dropped columns are left out."""
    for name, transformer, _ in table.transformers_:
        columns = list(table._transformer_to_input_indices[name])
        if columns and not (isinstance(transformer, str) and transformer == "drop"):
            yield name, transformer, columns


def _column_name(table: ColumnTransformer, column: int) -> str:
    names = getattr(table, "feature_names_in_", None)
    return f"x{column}" if names is None else str(names[column])


def _rewrite(
    table: ColumnTransformer, images: Sequence[ImageInput], values: Sequence[ValueInput], replaced: dict[int, Any]
) -> ColumnTransformer:
    """Make the same ColumnTransformer over embeddings, side by side, and values, one column for each."""
    starts = np.cumsum([0, *(image.dim for image in images)])
    places = {image.name: list(range(a, b)) for image, a, b in zip(images, starts, starts[1:], strict=False)}
    places |= {value.name: [int(starts[-1]) + i] for i, value in enumerate(values)}
    entries = []
    for name, transformer, columns in _entries(table):
        of_images = [part for part in walk(transformer) if isinstance(part, ImageEncoder)]
        dim = sum(len(places[_column_name(table, column)]) for column in columns)
        # What follows an encoder got arrays from it, and not the frame that a table hands on.
        arrays = {id(encoder): _as_array(dim) for encoder in of_images if encoder is not transformer}
        new = rebuild(transformer, replaced | arrays)
        _forget(new, keeps_names=not of_images)
        entries.append((name, new, [i for column in columns for i in places[_column_name(table, column)]]))
    return _with_entries(table, entries, int(starts[-1]) + len(values))


def _with_entries(table: ColumnTransformer, entries: list[tuple[str, Any, list[int]]], n: int) -> ColumnTransformer:
    new = ColumnTransformer(
        entries,
        remainder="drop",
        sparse_threshold=table.sparse_threshold,
        transformer_weights=table.transformer_weights,
    )
    new.transformers_ = entries
    new.sparse_output_ = table.sparse_output_
    new.n_features_in_ = n
    new._transformer_to_input_indices = {name: columns for name, _, columns in entries}
    # Read by older scikit-learn (1.6, 1.7).
    new._columns, new._remainder = [columns for _, _, columns in entries], ("remainder", "drop", [])
    return new


def _as_array(dim: int) -> ColumnTransformer:
    """Make a step of scikit-learn that turns a frame into an array, as it is."""
    return ColumnTransformer([("embedding", "passthrough", list(range(dim)))]).fit(np.zeros((1, dim), np.float32))


def _forget(part: Any, *, keeps_names: bool) -> None:
    """Have no frames between the steps of a table's transformer; only what gets the table itself keeps its names."""
    part = unwrap(part)
    getattr(part, "__dict__", {}).pop("_sklearn_output_config", None)
    if isinstance(part, Pipeline):
        getattr(part, "__dict__", {}).pop("feature_names_in_", None)
        for _, step in part.steps:
            _forget(step, keeps_names=keeps_names)
            keeps_names = keeps_names and _is_identity(step)
    elif isinstance(part, ColumnTransformer | FeatureUnion):
        is_table = isinstance(part, ColumnTransformer)
        if is_table and not keeps_names:
            _select_by_position(part)
        for step in part.transformers_ if is_table else part.transformer_list:
            _forget(step[1], keeps_names=keeps_names)
    else:
        for inner in walk(part):
            getattr(inner, "__dict__", {}).pop("_sklearn_output_config", None)
            if not keeps_names:
                getattr(inner, "__dict__", {}).pop("feature_names_in_", None)


def _select_by_position(table: ColumnTransformer) -> None:
    """Choose columns by position, for a table that gets arrays."""
    table.transformers_ = [(name, step, _positions(table, name)) for name, step, _ in table.transformers_]
    vars(table).pop("feature_names_in_", None)


def _positions(table: ColumnTransformer, name: str) -> list[int]:
    return [int(column) for column in table._transformer_to_input_indices[name]]


def _tidy(head: Any) -> Any:
    """Reduce searches to what they found, and drop the encoder's place at the front; return None if nothing is left."""
    head = unwrap(head)
    if isinstance(head, FunctionTransformer) and head.func is None:
        return None
    if not isinstance(head, Pipeline):
        return head
    (first_name, first), *others = head.steps
    first = _tidy(first)
    steps = [*([] if first is None else [(first_name, first)]), *((name, unwrap(step)) for name, step in others)]
    return Pipeline(steps) if steps else None


def _plain_output(head: Any, tables: Sequence[ColumnTransformer]) -> None:
    """Have arrays between all steps, and no names of columns: only a table's own steps get frames."""
    inside = {id(part) for table in tables for part in walk(table)}
    for part in walk(head):
        if id(part) not in inside:
            if _is_fitted_table(part):
                _select_by_position(part)
            for attribute in ("feature_names_in_", "_sklearn_output_config"):
                getattr(part, "__dict__", {}).pop(attribute, None)  # a tree's own nodes have none


def _count_dates(head: Any) -> None:
    """Make labels of dates and durations the integers that they are: ONNX has no dates, `polish` gives them back."""
    for part in walk(head):
        classes = getattr(part, "__dict__", {}).get("classes_")
        if isinstance(classes, np.ndarray) and classes.dtype.kind in "mM":
            part.classes_ = classes.astype(np.int64)
