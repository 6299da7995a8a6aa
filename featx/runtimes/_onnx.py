"""ONNX: a network written as a graph that gives the same numbers in ONNX Runtime."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from featx._optional import import_optional
from featx.encoders import EncoderSpec
from featx.exceptions import ConversionError
from featx.runtimes._prepare import TOLERANCE, as_published, example_batch, prepare, relative_l2

if TYPE_CHECKING:
    import onnx

# What scikit-learn's converters know, and every runtime of the last two years.
OPSET = 20
_MAX_BATCH = 4096


def to_onnx(specs: Sequence[EncoderSpec]) -> onnx.ModelProto:
    """Build a network and write it as ONNX.

    Parameters
    ----------
    specs : sequence of EncoderSpec
        Layers of one network.

    Returns
    -------
    onnx.ModelProto
        Takes ``pixels``, uint8 (any number, size, size, 3), and returns
        ``embedding``, float32 (n, sum of dims): the layers side by side. It
        normalizes by mean and std itself, in float32.

    Raises
    ------
    ConversionError
        If it cannot be written, or does not give torch's numbers in ONNX Runtime
        on another number of images than it was made with.
    MissingDependencyError
        If the extra ``export`` is not installed.
    """
    for module in ("onnx", "onnxscript", "onnxruntime"):
        import_optional(module, extra="export", purpose="Writing ONNX")
    import onnx

    return onnx.load_from_string(_write(tuple(specs)))


# Several heads on one encoder are exported one after the other, and writing the encoder takes seconds.
@lru_cache(maxsize=2)
def _write(specs: tuple[EncoderSpec, ...]) -> bytes:
    name = specs[0].name
    if specs[0].graph is not None:
        raise ConversionError(
            f"{name!r} is a graph for OpenVINO, which cannot become ONNX. Export the encoder that it was made of; "
            'quantize="int8" makes it small there.'
        )
    with as_published():
        network = _SideBySide(prepare(specs)[0])
        checked_with = example_batch(specs, 3)
        with torch.inference_mode():
            expected = network(checked_with).numpy()
        try:
            model = _export(network, example_batch(specs, 2))
            got = _run(model, checked_with.numpy())
        except Exception as error:  # whatever an exporter raises for a user's code
            reason = str(error).strip().partition("\n")[0]
            raise ConversionError(f"{name!r} cannot be written as ONNX ({type(error).__name__}: {reason}).") from error
    if (difference := relative_l2(got, expected)) > TOLERANCE:
        raise ConversionError(f"{name!r} gives other numbers as ONNX: they differ by {difference:.1e} (relative L2).")
    return model.SerializeToString()


class _SideBySide(torch.nn.Module):
    """The network's layers as one row per image."""

    def __init__(self, network: torch.nn.Module):
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.cat(self.network(pixels), dim=1)


def _export(network: torch.nn.Module, example: torch.Tensor) -> onnx.ModelProto:
    images = torch.export.Dim("images", min=1, max=_MAX_BATCH)
    with torch.no_grad(), _quiet():
        program = torch.export.export(network, (example,), dynamic_shapes=({0: images},), strict=False)
        model = torch.onnx.export(
            program,
            dynamo=True,
            input_names=["pixels"],
            output_names=["embedding"],
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        ).model_proto
    # These show where in the user's sources nodes come from.
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence exporters, which warn of their own deprecations and log what they do."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _run(model: onnx.ModelProto, pixels: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["embedding"], {"pixels": pixels})[0]
