"""ONNX: a network written as a graph that gives the same numbers in ONNX Runtime, once; later processes read it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from featx._optional import import_optional
from featx._warnings import warn
from featx.encoders import EncoderSpec
from featx.exceptions import ConversionError, StoreWarning
from featx.runtimes._kept import graph_name, graphs_folder, read_kept, versions_of, write_kept

if TYPE_CHECKING:
    import onnx
    import torch

# What scikit-learn's converters know, and every runtime of the last two years.
OPSET = 20
_MAX_BATCH = 4096
_MAGIC = b"featxon1"


def to_onnx(specs: Sequence[EncoderSpec]) -> onnx.ModelProto:
    """Read a network as ONNX, or build it, write it and keep what was written.

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

    Warns
    -----
    StoreWarning
        If it cannot be kept.
    """
    onnx = import_optional("onnx", extra="export", purpose="Writing ONNX")
    if specs[0].graph is not None:
        raise ConversionError(
            f"{specs[0].name!r} is a graph for OpenVINO, which cannot become ONNX. Export the encoder that it was made "
            'of; quantize="int8" makes it small there.'
        )
    file = graphs_folder() / f"{graph_name(specs)}.onnx"
    versions = versions_of("torch", "torchvision", "timm", "onnx", "onnxscript")
    kept = read_kept(file, _MAGIC)
    if kept is not None and kept[0] == {"versions": versions}:
        return onnx.load_from_string(kept[1].tobytes())
    graph = _write(specs)
    try:
        write_kept(file, _MAGIC, {"versions": versions}, [graph])
    except OSError as error:
        warn(f"The ONNX graph cannot be kept in {file.parent}: {error}", StoreWarning)
    return onnx.load_from_string(graph)


def _write(specs: Sequence[EncoderSpec]) -> bytes:
    for module in ("onnxscript", "onnxruntime"):
        import_optional(module, extra="export", purpose="Writing ONNX")
    import torch

    from featx.runtimes._fold import TOLERANCE
    from featx.runtimes._prepare import as_published, example_batch, prepare, relative_l2

    name = specs[0].name
    with as_published():
        network = _side_by_side(prepare(specs)[0])
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


def _side_by_side(network: torch.nn.Module) -> torch.nn.Module:
    """Return the network with its layers as one row per image."""
    import torch

    class SideBySide(torch.nn.Module):
        def __init__(self, network: torch.nn.Module):
            super().__init__()
            self.network = network

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.cat(self.network(pixels), dim=1)

    return SideBySide(network)


def _export(network: torch.nn.Module, example: torch.Tensor) -> onnx.ModelProto:
    import torch

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
