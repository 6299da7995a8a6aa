"""A torch network -> an OpenVINO graph that gives the same numbers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import openvino
import torch

from featx.encoders import EncoderSpec
from featx.exceptions import ConversionError
from featx.runtimes._prepare import as_published, example_batch, prepare
from featx.runtimes._telemetry import no_telemetry

# What float32 may differ by between runtimes.
TOLERANCE = 1e-4
_MAX_BATCH = 4096


def convert(specs: Sequence[EncoderSpec]) -> openvino.Model:
    """Build a network and convert it: by tracing, which gives the leaner graph, or by torch.export.

    Parameters
    ----------
    specs : sequence of EncoderSpec
        Layers of one network.

    Returns
    -------
    openvino.Model
        uint8 (any number, size, size, 3) -> one float32 (n, dim) a spec, mean and std inside.

    Raises
    ------
    ConversionError
        If neither way gives torch's numbers, on another number of images than it was made with.
    """
    with as_published():
        return _convert(specs)


def _convert(specs: Sequence[EncoderSpec]) -> openvino.Model:
    network, _ = prepare(specs)
    made_with, checked_with = example_batch(specs, 2), example_batch(specs, 3)
    with torch.inference_mode():
        expected = [output.numpy() for output in network(checked_with)]
    reasons = []
    for way in (_trace, _export):
        try:
            with warnings.catch_warnings(), no_telemetry():
                warnings.simplefilter("ignore")  # on shapes that become constants, which is what is wanted
                model = way(network, made_with)
            model.reshape([-1, *made_with.shape[1:]])
            error = _difference(model, checked_with.numpy(), expected)
        except Exception as failure:  # whatever a tracer says of a stranger's code
            reasons.append(f"{type(failure).__name__}: {str(failure).strip().partition(chr(10))[0]}")
            continue
        if error <= TOLERANCE:
            return model
        reasons.append(f"its numbers differ by {error:.1e} (relative L2)")
    raise ConversionError(f"{specs[0].name!r} cannot be converted for OpenVINO ({'; '.join(reasons)}).")


def _trace(network: torch.nn.Module, example: torch.Tensor) -> openvino.Model:
    return openvino.convert_model(network, example_input=example)


def _export(network: torch.nn.Module, example: torch.Tensor) -> openvino.Model:
    images = torch.export.Dim("images", min=1, max=_MAX_BATCH)
    with torch.no_grad():
        program = torch.export.export(network, (example,), dynamic_shapes=({0: images},), strict=False)
    return openvino.convert_model(program)


def _difference(model: openvino.Model, batch: np.ndarray, expected: Sequence[np.ndarray]) -> float:
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    outputs = compiled(batch).values()
    return max(relative_l2(got, wanted) for got, wanted in zip(outputs, expected, strict=True))


def relative_l2(got: np.ndarray, wanted: np.ndarray) -> float:
    if not np.array_equal(np.isfinite(got), np.isfinite(wanted)):
        return np.inf
    got, wanted = np.nan_to_num(got), np.nan_to_num(wanted)
    return float(np.linalg.norm(got - wanted) / max(np.linalg.norm(wanted), 1e-12))
