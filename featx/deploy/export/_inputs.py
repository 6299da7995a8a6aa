"""The parts of a pipeline: the columns that it takes (images, numbers, categories), and its head."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, count
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer

from featx._image_encoder import ImageEncoder, extraction_of
from featx.encoders import EncoderSpec
from featx.exceptions import ExportError

# Not whole ones alone: numbers that float32 rounds must be among them.
_STEPS = (-2, -1.1, -0.6, -0.1, 0, 0.3, 0.7, 1.3, 2)


@dataclass(frozen=True)
class ImageInput:
    """A column of images, and one of the encoders that see it.

    Attributes
    ----------
    name : str
        The column's name.
    encoder : ImageEncoder
        What embeds it.
    dim : int
        Length of its embedding.
    alias : str
        What its pixels are called in the graph, if not as the column is.
    """

    name: str
    encoder: ImageEncoder
    dim: int
    alias: str = ""

    @property
    def tensor(self) -> str:
        return self.alias or tensor_name(self.name)

    @cached_property
    def specs(self) -> tuple[EncoderSpec, ...]:
        return extraction_of(in_float32(self.encoder)).specs

    @property
    def n_images(self) -> int | None:
        """Images that a row has side by side; None where they become one."""
        return self.encoder.n_images_ if self.encoder.combine == "concat" else None

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells it from other encoders of the column."""
        encoder = self.encoder
        return self.specs, encoder.combine, self.n_images, encoder.on_error, encoder.on_missing

    @property
    def pixels(self) -> tuple[Any, ...]:
        """What tells its pixels from those of other encoders of the column."""
        return self.specs[0].preprocess, self.specs[0].decode, self.encoder.combine is None


@dataclass(frozen=True)
class ValueInput:
    """Another column.

    Attributes
    ----------
    name : str
        The column's name.
    kind : {"number", "integer", "category"}
        What its values are.
    categories : list or None
        Those that an encoder of categories was fitted on.
    typical : tuple of float
        Numbers such as a scaler or an imputer was fitted on.
    null : {"NaN", "None"}
        Which of the missing values it was fitted with; NaN where it had none.
    only_categories : bool
        Whether nothing but encoders of these categories sees the column.
    nulls : list of str or None
        Texts that mean a missing value; then other values than text are not taken, and all that is missing is NaN. None
        where categories are taken as they are.
    """

    name: str
    kind: str
    categories: list[Any] | None = None
    typical: tuple[float, ...] = ()
    null: str = "NaN"
    only_categories: bool = False
    nulls: list[str] | None = None

    @property
    def tensor(self) -> str:
        return tensor_name(self.name)


@dataclass(frozen=True)
class Parts:
    """A pipeline without its encoders.

    Attributes
    ----------
    images : list of ImageInput
        The columns of images; one of several encoders is there for each, one after the other.
    values : list of ValueInput
        The other columns.
    head : estimator or None
        Takes the embeddings, side by side, then the values, one column for each; None
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


def in_float32(encoder: ImageEncoder) -> ImageEncoder:
    """Copy an encoder, in the precision that bundles compute in."""
    encoder = copy.copy(encoder)
    encoder.precision = "float32"
    return encoder


def tensor_name(column: str) -> str:
    """Return a column's name in the graph, where outputs have names too."""
    return f"{column}_input" if column in ("label", "probabilities", "decision", "embedding") else column


def unused(name: str, taken: set[str]) -> str:
    """Return a name that no tensor of the graph has, and add it to them."""
    names = chain([name], (f"{name}_{i}" for i in count(2)))
    new = next(new for new in names if new not in taken)
    taken.add(new)
    return new


def share_pixels(images: Sequence[ImageInput], values: Sequence[ValueInput]) -> list[ImageInput]:
    """Let encoders of one column take one tensor where they want the same pixels, and name the others' tensors."""
    taken = {image.tensor for image in images} | {value.tensor for value in values}
    tensors: dict[tuple[Any, ...], str] = {}
    for image in images:
        is_first = all(name != image.name for name, _ in tensors)
        if (image.name, image.pixels) not in tensors:
            tensors[image.name, image.pixels] = image.tensor if is_first else unused(image.tensor, taken)
    return [replace(image, alias=tensors[image.name, image.pixels]) for image in images]


def value_input(name: str, transformer: Any, position: int) -> ValueInput:
    """Find out what a transformer takes in one of its columns.

    Parameters
    ----------
    name : str
        The column's name.
    transformer : estimator or "passthrough"
        A fitted one.
    position : int
        The column's position among those that it takes.

    Returns
    -------
    ValueInput
        The column.

    Raises
    ------
    ExportError
        If it was fitted on categories of a type that bundles do not have.
    """
    seen = list(_locate(transformer, position))
    encoder, column = next(((part, at) for part, at in seen if _fitted(part, "categories_", at) is not None), (None, 0))
    if encoder is None:
        statistics = [_fitted(part, "statistics_", at) for part, at in seen]
        kind = "category" if any(isinstance(value, str) for value in statistics) else "number"
        return ValueInput(name, kind, typical=_typical(seen) if kind == "number" else ())
    before = [part for part, _ in seen[: [part for part, _ in seen].index(encoder)]]
    # What stands before it may make categories of other values, but for an imputer.
    direct = all(isinstance(part, SimpleImputer | Pipeline | FunctionTransformer) for part in before)
    direct = direct and not any(getattr(part, "func", None) for part in before)
    sentinels = [part.missing_values for part in before if isinstance(part, SimpleImputer)]
    return _of_categories(name, encoder.categories_[column], sentinels, direct)


def _of_categories(name: str, categories: np.ndarray, sentinels: list[Any], direct: bool) -> ValueInput:
    values = categories.tolist()
    known = [value for value in values if value is not None and value == value]
    has_nan, has_none = any(value != value for value in values), any(value is None for value in values)
    kind: str
    of: type
    null = "None" if (has_none and not has_nan) or any(value is None for value in sentinels) else "NaN"
    if categories.dtype.kind in "biu" or (
        known and all(type(value) is int for value in known) and len(known) == len(values)
    ):
        kind, of = "integer", int
    elif categories.dtype.kind == "f":
        kind, of = "number", float
    else:
        kind, of = "category", str
    if odd := [value for value in known if of is str and not isinstance(value, str)]:
        raise ExportError(
            f"Column {name!r} has the category {odd[0]!r}, of dtype {categories.dtype}. Expected text there, NaN or "
            "None where it is missing; or a column of integers, or of floats. Mend it, and fit again."
        )
    if kind == "integer" and any(not -(2**63) <= value < 2**63 for value in known):
        raise ExportError(f"Column {name!r} has categories beyond 64 bits. Expected text, or smaller integers.")
    if direct:
        known += [value for value in sentinels if isinstance(value, of) and value == value and value not in known]
    known = [of(value) for value in known]
    return ValueInput(
        name, kind, known if direct or not known else None, () if of is str else tuple(known), null, direct
    )


def join(uses: Sequence[ValueInput]) -> ValueInput:
    """Join what several transformers take in one column: what all of them know, and the narrowest kind."""
    first = next((use for kind in ("category", "integer") for use in uses if use.kind == kind), uses[0])
    lists = [use.categories for use in uses if use.categories is not None]
    common = [value for value in lists[0] if all(value in known for known in lists)] if lists else None
    only = len(lists) == len(uses) and all(set(known) == set(common or ()) for known in lists)
    typical = next((use.typical for use in uses if use.typical), ())
    return replace(
        first, categories=common, typical=typical, only_categories=only and all(u.only_categories for u in uses)
    )


def _locate(part: Any, position: int) -> Iterator[tuple[Any, int]]:
    """Yield every estimator that sees a column, in order, and where it sees it."""
    part = unwrap(part)
    if isinstance(part, ColumnTransformer):
        for name, inner, _ in part.transformers_:
            columns = list(part._transformer_to_input_indices[name])
            if position in columns:
                yield from _locate(inner, columns.index(position))
    elif isinstance(part, Pipeline | FeatureUnion):
        for step in part.steps if isinstance(part, Pipeline) else part.transformer_list:
            yield from _locate(step[1], position)
    else:
        yield from ((inner, position) for inner in walk(part))


def _fitted(part: Any, attribute: str, position: int) -> Any:
    """Return what an estimator has learned of one column, if it has."""
    learned = getattr(part, attribute, None)
    return learned[position] if isinstance(learned, list | np.ndarray) and len(learned) > position else None


def _typical(seen: Sequence[tuple[Any, int]]) -> tuple[float, ...]:
    """Return numbers of the size that a column was fitted on, as far as its scaler or imputer knows."""
    # A scaler behind an imputer knows more than it.
    for part, position in sorted(seen, key=lambda pair: hasattr(pair[0], "statistics_")):
        middle = _fitted(part, "mean_", position)
        middle = _fitted(part, "center_", position) if middle is None else middle
        width = _fitted(part, "scale_", position)
        if middle is not None and width is not None:
            return tuple(float(middle) + steps * float(width) for steps in _STEPS)
        if (low := _fitted(part, "data_min_", position)) is not None:
            high = float(part.data_max_[position])
            return tuple(float(low) + share * (high - float(low)) for share in (0, 0.3, 0.5, 0.7, 1))
        if (middle := _fitted(part, "statistics_", position)) is not None:
            return tuple(float(middle) + steps for steps in (-1000, -100, -10, -1, 0, 1, 10, 100, 1000))
    return ()


def walk(part: Any, seen: set[int] | None = None) -> Iterator[Any]:
    """Yield every estimator inside of one, itself first; of a search only what it found."""
    seen = set() if seen is None else seen
    part = unwrap(part)
    if id(part) in seen or isinstance(part, str | bytes | np.ndarray):
        return
    seen.add(id(part))
    if isinstance(part, dict):
        children = list(part.values())
    elif isinstance(part, list | tuple | set):
        children = list(part)
    elif hasattr(part, "get_params") or hasattr(part, "fit") or hasattr(part, "predict"):
        yield part
        children = list(vars(part).values()) if hasattr(part, "__dict__") else []
    else:  # such as one of CalibratedClassifierCV's pairs of classifier and calibrator
        children = [child for child in getattr(part, "__dict__", {}).values() if hasattr(child, "get_params")]
    for child in children:
        yield from walk(child, seen)


def unwrap(part: Any) -> Any:
    """Return the estimator that a search predicts with; any other as it is."""
    while hasattr(part, "best_estimator_"):
        part = part.best_estimator_
    return part
