"""Split a fitted pipeline into its encoders and what is left of it: a head that takes embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

from featx._image_encoder import ImageEncoder
from featx._rebuild import rebuild
from featx.deploy.export._inputs import (
    ImageInput,
    Parts,
    ValueInput,
    join,
    share_pixels,
    unwrap,
    value_input,
    walk,
)
from featx.deploy.export._table import plain_table
from featx.deploy.export.heads import equivalents
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
        If it is not fitted, or has no encoder, or an encoder of texts, or if images go through another library's
        estimator.
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
    _check_libraries(parts)
    _check_order(parts)
    tables = _tables(parts)
    images, values = _inputs_of_tables(tables) if tables else (_only_images(encoders), [])
    images = share_pixels(images, values)
    values = [replace(value, nulls=nulls.get(value.name)) for value in values]
    # What stands in the place of the encoders, and of featx's own heads, wherever they are.
    places = {(image.name, image.key): place for image, place in zip(images, _places(images), strict=True)}
    replaced = {id(encoder): FunctionTransformer() for encoder in encoders} | equivalents(model)
    if tables:
        replaced |= {id(table): _rewrite(table, places, values, replaced) for table in tables}
    else:
        replaced |= _selections(encoders, {key: place for (_, key), place in places.items()})
    head = _tidy(rebuild(unwrap(model), replaced))
    named = all(hasattr(table, "feature_names_in_") for table in tables)
    _plain_output(head, [replaced[id(table)] for table in tables])
    _count_dates(head)
    if not values and _changes_nothing(head, sum(image.dim for image in images)):
        head = None
    return Parts(images, values, head, is_table=bool(tables), named=named)


def _places(images: Sequence[ImageInput]) -> list[range]:
    """Say where in the embedding each encoder's columns are: side by side."""
    ends = np.cumsum([image.dim for image in images]).tolist()
    return [range(end - image.dim, end) for image, end in zip(images, ends, strict=True)]


def _changes_nothing(head: Any, dim: int) -> bool:
    """Whether all that is left puts embeddings side by side, as they are."""
    if not hasattr(head, "transform") or hasattr(head, "predict"):
        return False
    rows = np.random.default_rng(0).normal(size=(3, dim)).astype(np.float32)
    try:
        return bool(np.array_equal(head.transform(rows), rows))
    except ValueError:  # of a step that wants something else
        return False


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


def _only_images(encoders: Sequence[ImageEncoder]) -> list[ImageInput]:
    """List the different encoders of a pipeline that takes nothing but images."""
    name = next((encoder.feature_names_in_[0] for encoder in encoders if hasattr(encoder, "feature_names_in_")), IMAGE)
    images: dict[Any, ImageInput] = {}
    for encoder in filter(_is_fitted, encoders):
        new = _image_input(str(name), encoder)
        images.setdefault(new.key, new)
    return list(images.values())


def _is_fitted(encoder: ImageEncoder) -> bool:
    # One that puts images side by side is, in an ensemble, also kept as it was before.
    return encoder.__sklearn_is_fitted__()


def _image_input(name: str, encoder: ImageEncoder) -> ImageInput:
    return ImageInput(name, encoder, len(encoder.get_feature_names_out([name])))


def _inputs_of_tables(tables: Sequence[ColumnTransformer]) -> tuple[list[ImageInput], list[ValueInput]]:
    """List the columns that tables' transformers use, those of images first."""
    images: dict[str, dict[Any, ImageInput]] = {}
    uses: dict[str, list[ValueInput]] = {}
    for table in tables:
        for name, transformer, columns in _entries(table):
            names = [_column_name(table, column) for column in columns]
            encoders = _encoders(transformer)
            if not encoders:
                for position, column in enumerate(names):
                    uses.setdefault(column, []).append(value_input(column, transformer, position))
                continue
            if isinstance(unwrap(transformer), ColumnTransformer):
                raise ExportError(
                    f"Step {name!r} is a ColumnTransformer of images inside another one. Expected the ImageEncoder in "
                    "the outer one, with its column."
                )
            for encoder in encoders:
                new = _image_input(names[0], encoder)
                images.setdefault(names[0], {}).setdefault(new.key, new)
    if both := [name for name in images if name in uses]:
        raise ExportError(f"Column {both[0]!r} is used as images and otherwise. Expected one use.")
    return [image for of_column in images.values() for image in of_column.values()], [join(u) for u in uses.values()]


def _encoders(transformer: Any) -> list[ImageEncoder]:
    return [part for part in walk(transformer) if isinstance(part, ImageEncoder) and _is_fitted(part)]


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
    table: ColumnTransformer,
    places: Mapping[tuple[str, Any], range],
    values: Sequence[ValueInput],
    replaced: Mapping[int, Any],
) -> ColumnTransformer:
    """Make the same ColumnTransformer over embeddings, side by side, and values, one column for each."""
    start = max(place.stop for place in places.values())
    columns_of_values = {value.name: start + i for i, value in enumerate(values)}
    entries = []
    for name, transformer, columns in _entries(table):
        names = [_column_name(table, column) for column in columns]
        encoders = _encoders(transformer)
        if encoders:
            keys = {_image_input(names[0], encoder).key for encoder in encoders}
            own = {key: place for (column, key), place in places.items() if column == names[0] and key in keys}
            taken = [i for place in own.values() for i in place]
            ends = np.cumsum([len(place) for place in own.values()]).tolist()
            inside = {key: range(end - len(own[key]), end) for key, end in zip(own, ends, strict=True)}
            # What follows an encoder got arrays from it, and not the frame that a table hands on.
            stand_ins = _selections(encoders, inside, as_arrays=encoders[0] is not transformer)
        else:
            taken, stand_ins = [columns_of_values[column] for column in names], {}
        new = rebuild(transformer, {**replaced, **stand_ins})
        _forget(new, keeps_names=not encoders)
        entries.append((name, new, taken))
    return _with_entries(table, entries, start + len(values))


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


def _selections(
    encoders: Sequence[ImageEncoder], places: Mapping[Any, range], *, as_arrays: bool = False
) -> dict[int, Any]:
    """Find what stands in the place of encoders, by their ids: identity, or a choice of columns where others are too.

    With `as_arrays` it turns a frame into an array.
    """
    dim = max(place.stop for place in places.values())
    found: dict[int, Any] = {}
    for encoder in filter(_is_fitted, encoders):
        place = places[_image_input(IMAGE, encoder).key]
        is_all = len(place) == dim and not as_arrays
        found[id(encoder)] = FunctionTransformer() if is_all else _chosen(place, dim)
    return found


def _chosen(place: range, dim: int) -> ColumnTransformer:
    """Make a step of scikit-learn that hands on some of the columns, as an array."""
    return ColumnTransformer([("embedding", "passthrough", list(place))]).fit(np.zeros((1, dim), np.float32))


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
    """Reduce searches to what they found, and drop steps that change nothing; return None if no other is left."""
    head = unwrap(head)
    if isinstance(head, FunctionTransformer) and head.func is None:
        return None
    if not isinstance(head, Pipeline):
        return head
    (first_name, first), *others = head.steps
    first = _tidy(first)
    steps = [] if first is None else [(first_name, first)]
    steps += [(name, unwrap(step)) for name, step in others if not _is_identity(step)]
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
