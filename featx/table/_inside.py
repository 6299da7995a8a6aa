"""What an estimator of a table does with its images: the column that it embeds, and the encoder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from featx._image_encoder import ImageEncoder
from featx.encoders import Encoder
from featx.exceptions import ParameterError
from featx.table._table_encoder import TableEncoder


def encoder_parameter(estimator: Any) -> str | None:
    """Return the name of the parameter that holds an `ImageEncoder`; None if there is none."""
    return next(_encoder_parameters(estimator), None)


def image_column(estimator: Any, X: Any) -> Any:
    """Return what reaches the `ImageEncoder` of an estimator: X, or one column of it.

    Raises
    ------
    ParameterError
        If it embeds several columns.
    """
    if isinstance(estimator, Pipeline):
        return image_column(estimator.steps[0][1], X)
    if isinstance(estimator, TableEncoder):
        names = [estimator.image] if isinstance(estimator.image, str) else list(estimator.image)
        if len(names) != 1:
            raise ParameterError(f"Got a pipeline with image={names!r}. Expected one column of images.")
        return X[names[0]]
    if isinstance(estimator, ColumnTransformer):
        for _, part, columns in estimator.transformers:
            if hasattr(part, "get_params") and (isinstance(part, ImageEncoder) or any(_encoder_parameters(part))):
                return X[columns[0] if isinstance(columns, list | tuple) else columns]
    for value in estimator.get_params(deep=False).values():  # a search over a pipeline
        if isinstance(value, Pipeline | ColumnTransformer | TableEncoder):
            return image_column(value, X)
    return X


def images_of(X: Any, encoder: Any) -> tuple[Any, Any]:
    """Return the column of images and the encoder of a pipeline; images and an encoder as they are.

    Raises
    ------
    ParameterError
        If a pipeline has no `ImageEncoder`, or embeds several columns.
    """
    if isinstance(encoder, str | Encoder | ImageEncoder) or not hasattr(encoder, "get_params"):
        return X, encoder
    slot = encoder_parameter(encoder)
    if slot is None:
        raise ParameterError(f"Got a {type(encoder).__name__} without an ImageEncoder. Expected a pipeline of images.")
    return image_column(encoder, X) if hasattr(X, "columns") else X, encoder.get_params()[slot]


def _encoder_parameters(estimator: Any) -> Iterator[str]:
    for name, value in estimator.get_params(deep=True).items():
        if isinstance(value, ImageEncoder):
            yield name
