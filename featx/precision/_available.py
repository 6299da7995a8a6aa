"""An encoder in another precision, if this machine runs it."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone

from featx._image_encoder import ImageEncoder, extraction_of
from featx.encoders import PRECISIONS
from featx.exceptions import ConversionError, DeviceError, InputError, MissingDependencyError, ParameterError
from featx.precision._quantize import quantize_encoder

INT8 = "int8"
EVERY_PRECISION = (*PRECISIONS, INT8)
# Errors that concern one precision: a comparison goes on with the others.
UNAVAILABLE = (ConversionError, DeviceError, MissingDependencyError, ParameterError, InputError)


def in_precision(encoder: ImageEncoder, precision: str, images: Any) -> ImageEncoder:
    """Make an encoder in another precision, and try whether it runs here.

    Parameters
    ----------
    encoder : ImageEncoder
        The encoder, which stays as it is.
    precision : {"float32", "tf32", "bfloat16", "float16", "int8"}
        The precision.
    images : container of images
        ``"int8"`` is calibrated on some of them.

    Returns
    -------
    ImageEncoder
        In int8 it holds the encoder that `quantize_encoder` makes.

    Raises
    ------
    ConversionError, DeviceError, MissingDependencyError, ParameterError, InputError
        If the encoder, its device or this machine does not run the precision, or int8 has too few images.
    """
    changed = clone(encoder)
    if precision == INT8:
        changed.set_params(
            encoder=quantize_encoder(encoder, images),
            weights="default",
            precision="float32",
            runtime="openvino",
            device="cpu",
        )
    else:
        changed.set_params(precision=precision)
    extraction_of(changed).runtime()
    return changed
