"""What a stripped pipeline takes: columns of images, of numbers, of categories."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from featx._image_encoder import ImageEncoder
from featx.encoders import EncoderSpec
from featx.exceptions import ExportError

# Not whole ones alone: numbers that float32 rounds must be among them.
_STEPS = (-2, -1.1, -0.6, -0.1, 0, 0.3, 0.7, 1.3, 2)


@dataclass(frozen=True)
class ImageInput:
    """A column of images.

    Attributes
    ----------
    name : str
    encoder : ImageEncoder
    dim : int
        Length of its embedding.
    """

    name: str
    encoder: ImageEncoder
    dim: int

    @property
    def tensor(self) -> str:
        return tensor_name(self.name)

    @property
    def specs(self) -> tuple[EncoderSpec, ...]:
        return in_float32(self.encoder)._specs()


@dataclass(frozen=True)
class ValueInput:
    """Another column.

    Attributes
    ----------
    name : str
    kind : {"number", "integer", "category"}
    categories : list or None
        Those that an encoder of categories was fitted on.
    typical : tuple of float
        Numbers such as a scaler or an imputer was fitted on.
    """

    name: str
    kind: str
    categories: list[Any] | None = None
    typical: tuple[float, ...] = ()

    @property
    def tensor(self) -> str:
        return tensor_name(self.name)


def in_float32(encoder: ImageEncoder) -> ImageEncoder:
    """A copy of an encoder in the precision that bundles compute in."""
    encoder = copy.copy(encoder)
    encoder.precision = "float32"
    return encoder


def tensor_name(column: str) -> str:
    """A column's name in the graph, where outputs have names too."""
    return f"{column}_input" if column in ("label", "probabilities", "decision", "embedding") else column


def value_input(name: str, transformer: Any, position: int) -> ValueInput:
    categories = next((p.categories_[position] for p in walk(transformer) if hasattr(p, "categories_")), None)
    statistics = next((p.statistics_[position] for p in walk(transformer) if hasattr(p, "statistics_")), 0.0)
    if categories is None:
        kind = "category" if isinstance(statistics, str) else "number"
        return ValueInput(name, kind, typical=_typical(transformer, position) if kind == "number" else ())
    known = [value for value in categories.tolist() if value == value]
    if categories.dtype.kind in "biu":
        return ValueInput(name, "integer", [int(value) for value in known])
    if categories.dtype.kind == "f":
        return ValueInput(name, "number", known)
    if odd := [value for value in known if not isinstance(value, str)]:
        raise ExportError(
            f"Column {name!r} has the category {odd[0]!r} in a column of objects. Expected text there, NaN where it is "
            "missing; or a column of integers. Mend it, and fit again."
        )
    return ValueInput(name, "category", known)


def _typical(transformer: Any, position: int) -> tuple[float, ...]:
    """Numbers of the size that a column was fitted on, as far as its scaler or imputer tells."""
    # A scaler behind an imputer knows more than it.
    for part in sorted(walk(transformer), key=lambda part: hasattr(part, "statistics_")):
        if getattr(part, "mean_", None) is not None and getattr(part, "scale_", None) is not None:
            middle, width = float(part.mean_[position]), float(part.scale_[position])
            return tuple(middle + steps * width for steps in _STEPS)
        if getattr(part, "center_", None) is not None and getattr(part, "scale_", None) is not None:
            middle, width = float(part.center_[position]), float(part.scale_[position])
            return tuple(middle + steps * width for steps in _STEPS)
        if hasattr(part, "data_min_"):
            low, high = float(part.data_min_[position]), float(part.data_max_[position])
            return tuple(low + share * (high - low) for share in (0, 0.3, 0.5, 0.7, 1))
        if hasattr(part, "statistics_"):
            middle = float(part.statistics_[position])
            return tuple(middle + steps for steps in (-1000, -100, -10, -1, 0, 1, 10, 100, 1000))
    return ()


def walk(part: Any, seen: set[int] | None = None) -> Iterator[Any]:
    """Every estimator inside, itself first; of a search only what it found."""
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
    """A search predicts with its best estimator."""
    while hasattr(part, "best_estimator_"):
        part = part.best_estimator_
    return part
