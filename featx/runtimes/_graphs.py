"""Graphs for OpenVINO, converted from torch's networks and kept on disk: the weights, then the graph as XML."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from featx._atomic import TEMPORARY
from featx._process import no_telemetry
from featx._warnings import warn
from featx.encoders import EncoderSpec
from featx.exceptions import ConversionError, StoreWarning, WeightsError
from featx.runtimes._kept import graph_name, graphs_folder, read_digest, read_kept, versions_of, write_kept

with no_telemetry():
    import openvino

if TYPE_CHECKING:
    import torch

_MAGIC = b"featxov1"
_MAX_BATCH = 4096


def load_graph(specs: Sequence[EncoderSpec]) -> openvino.Model:
    """Read the graph of a network, or convert the network and keep the graph.

    Parameters
    ----------
    specs : sequence of EncoderSpec
        Layers of one network.

    Returns
    -------
    openvino.Model
        What `convert` returns.

    Raises
    ------
    ConversionError
        If it cannot be converted.
    WeightsError
        If the encoder is a graph in a file, which is missing or has changed.
    """
    if specs[0].graph is not None:
        return _read_own(specs[0], specs[0].graph)
    file = graph_file(specs)
    model = _read(file)
    if model is None:
        model = convert(specs)
        try:
            write_graph(file, model)
        except (OSError, RuntimeError) as error:  # OpenVINO's own is a RuntimeError
            warn(f"The converted graph cannot be kept in {file.parent}: {error}", StoreWarning)
        # Exactly what later processes will run.
        model = _read(file) or model
    return model


def graph_file(specs: Sequence[EncoderSpec]) -> Path:
    """Return where a network's graph is kept."""
    return graphs_folder() / f"{graph_name(specs)}.graph"


def write_graph(file: Path, model: openvino.Model, *, name_by_content: bool = False) -> tuple[Path, str]:
    """Write a graph.

    Parameters
    ----------
    file : Path
        Where to write it.
    model : openvino.Model
        The graph.
    name_by_content : bool, default=False
        Whether to name the file ``<file>-<digest>.graph``.

    Returns
    -------
    file : Path
        Where it was written.
    digest : str
        SHA-256 of its content, in hex.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=file.parent) as folder:
        openvino.save_model(model, f"{folder}/graph.xml", compress_to_fp16=False)
        weights, xml = Path(folder, "graph.bin").read_bytes(), Path(folder, "graph.xml").read_bytes()
    header = {"versions": _versions(), "weights": len(weights)}
    return write_kept(file, _MAGIC, header, (weights, xml), name_by_content=name_by_content)


def _read_own(spec: EncoderSpec, graph: Path) -> openvino.Model:
    """Read an encoder that is a graph in a file."""
    try:
        digest = read_digest(graph, _MAGIC)
    except OSError as error:
        raise WeightsError(f"The graph of encoder {spec.name!r} cannot be read: {error}") from error
    model = _read(graph, any_version=True) if spec.graph_digest == digest else None
    if model is None:
        raise WeightsError(
            f"{graph} is damaged, or is not the graph that encoder {spec.name!r} was made with. Make it again."
        )
    return model


def _read(file: Path, *, any_version: bool = False) -> openvino.Model | None:
    kept = read_kept(file, _MAGIC)
    if kept is None or (kept[0].get("versions") != _versions() and not any_version):
        return None
    header, content = kept
    weights, xml = content[: header["weights"]], content[header["weights"] :]
    with suppress(RuntimeError):
        # Copied: OpenVINO keeps no reference to an array that it shares.
        return openvino.Core().read_model(xml.tobytes(), openvino.Tensor(weights, shared_memory=False))
    return None


def _versions() -> list[str]:
    """List the versions of all that decides a graph: what reads it, what converts it, and what has the networks."""
    return [openvino.__version__, *versions_of("torch", "torchvision", "timm")]


def convert(specs: Sequence[EncoderSpec]) -> openvino.Model:
    """Build a network and convert it: by tracing, which gives the leaner graph, or by torch.export.

    Parameters
    ----------
    specs : sequence of EncoderSpec
        Layers of one network.

    Returns
    -------
    openvino.Model
        Takes uint8 (any number, size, size, 3) and returns one float32 (n, dim) per spec; it normalizes by mean and std
        itself.

    Raises
    ------
    ConversionError
        If neither way gives torch's numbers, on another number of images than it was made with.
    """
    # Here, so that a graph that is kept needs no torch.
    from featx.runtimes._prepare import as_published

    with as_published():
        return _convert(specs)


def _convert(specs: Sequence[EncoderSpec]) -> openvino.Model:
    import torch

    from featx.runtimes._fold import TOLERANCE
    from featx.runtimes._prepare import example_batch, prepare

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
        except Exception as failure:  # whatever a tracer raises for a user's code
            reasons.append(f"{type(failure).__name__}: {str(failure).strip().partition(chr(10))[0]}")
            continue
        if error <= TOLERANCE:
            return model
        reasons.append(f"its numbers differ by {error:.1e} (relative L2)")
    raise ConversionError(f"{specs[0].name!r} cannot be converted for OpenVINO ({'; '.join(reasons)}).")


def _trace(network: torch.nn.Module, example: torch.Tensor) -> openvino.Model:
    import torch

    # OpenVINO would check the trace, which takes longer than to make it: the graph's numbers are checked later.
    with torch.no_grad():
        traced = torch.jit.trace(network, (example,), check_trace=False, strict=False)
    return openvino.convert_model(traced, example_input=example)


def _export(network: torch.nn.Module, example: torch.Tensor) -> openvino.Model:
    import torch

    images = torch.export.Dim("images", min=1, max=_MAX_BATCH)
    with torch.no_grad():
        program = torch.export.export(network, (example,), dynamic_shapes=({0: images},), strict=False)
    return openvino.convert_model(program)


def _difference(model: openvino.Model, batch: np.ndarray, expected: Sequence[np.ndarray]) -> float:
    from featx.runtimes._prepare import relative_l2

    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    outputs = compiled(batch).values()
    return max(relative_l2(got, wanted) for got, wanted in zip(outputs, expected, strict=True))
