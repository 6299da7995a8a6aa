"""Converted graphs, kept on disk: the second process needs no torch.

One file a graph, in the user's cache folder: magic, SHA-256 of all that follows, length of the header, the
header (JSON), the weights, the graph (XML). A file that is damaged, or of another version, is as if
it were not there.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import openvino

from featx._cache_folder import user_folder
from featx._version import __version__
from featx.encoders import EncoderSpec
from featx.exceptions import StoreWarning, WeightsError

_MAGIC = b"featxov1"
_START = len(_MAGIC) + 32 + 8


def load_graph(specs: Sequence[EncoderSpec]) -> openvino.Model:
    """Read the graph of a network, or convert the network and keep the graph.

    Parameters
    ----------
    specs : sequence of EncoderSpec
        Layers of one network.

    Returns
    -------
    openvino.Model
        As `convert` makes it.

    Raises
    ------
    ConversionError
        If it cannot be converted.
    WeightsError
        If the encoder is a graph in a file, and that is not there or not the same.
    """
    if specs[0].graph is not None:
        return _read_own(specs[0])
    file = graph_file(specs)
    model = _read(file)
    if model is None:
        # Here, so that a graph that is kept needs no torch.
        from featx.runtimes._convert import convert

        model = convert(specs)
        try:
            write_graph(file, model)
        except (OSError, RuntimeError) as error:  # OpenVINO's own is a RuntimeError
            warnings.warn(f"The converted graph cannot be kept in {file.parent}: {error}", StoreWarning, stacklevel=2)
        # What later processes will run, to the last bit.
        model = _read(file) or model
    return model


def graphs_folder() -> Path:
    """Where graphs are kept."""
    return user_folder() / "graphs"


def graph_file(specs: Sequence[EncoderSpec]) -> Path:
    """Where a network's graph is kept: named by all that is in it (one graph serves each precision)."""
    unlike = ("precision", "executor", "decode", "policy")
    identities = [{key: value for key, value in spec.identity().items() if key not in unlike} for spec in specs]
    name = hashlib.sha256(json.dumps(identities, sort_keys=True).encode()).hexdigest()[:32]
    return graphs_folder() / f"{name}.graph"


def write_graph(file: Path, model: openvino.Model, *, name_by_content: bool = False) -> tuple[Path, str]:
    """Write a graph.

    Parameters
    ----------
    file : Path
    model : openvino.Model
    name_by_content : bool, default=False
        Whether the file is to be named ``<file>-<digest>.graph``.

    Returns
    -------
    file : Path
    digest : str
        SHA-256 of its content, in hex.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=file.parent) as folder:
        openvino.save_model(model, f"{folder}/graph.xml", compress_to_fp16=False)
        weights, xml = Path(folder, "graph.bin").read_bytes(), Path(folder, "graph.xml").read_bytes()
        header = json.dumps({"versions": _versions(), "weights": len(weights)}).encode()
        rest = (len(header).to_bytes(8, "little"), header, weights, xml)
        digest = _sha256(*rest)
        with open(f"{folder}/graph", "wb") as output:
            output.write(_MAGIC + digest)
            output.writelines(rest)
        if name_by_content:
            file = file.with_name(f"{file.name}-{digest.hex()[:32]}.graph")
        os.replace(f"{folder}/graph", file)
    return file, digest.hex()


def _read_own(spec: EncoderSpec) -> openvino.Model:
    try:
        with open(spec.graph, "rb") as file:
            digest = file.read(_START - 8)[len(_MAGIC) :].hex()
    except OSError as error:
        raise WeightsError(f"The graph of encoder {spec.name!r} cannot be read: {error}") from error
    model = _read(spec.graph, any_version=True) if spec.graph_digest == digest else None
    if model is None:
        raise WeightsError(
            f"{spec.graph} is damaged, or is not the graph that encoder {spec.name!r} was made with. Make it again."
        )
    return model


def _read(file: Path, *, any_version: bool = False) -> openvino.Model | None:
    try:
        content = np.fromfile(file, np.uint8)
    except OSError:
        return None
    whole = memoryview(content)
    if bytes(whole[: len(_MAGIC)]) != _MAGIC or bytes(whole[len(_MAGIC) : _START - 8]) != _sha256(whole[_START - 8 :]):
        return None
    start = _START + int.from_bytes(whole[_START - 8 : _START], "little")
    header = json.loads(bytes(whole[_START:start]))
    if header.get("versions") != _versions() and not any_version:
        return None
    end = start + header["weights"]
    with suppress(RuntimeError):
        # Copied: OpenVINO keeps no reference to an array that it shares.
        return openvino.Core().read_model(bytes(whole[end:]), openvino.Tensor(content[start:end], shared_memory=False))
    return None


def _versions() -> list[str]:
    """Of all that decides a graph: what reads it, what converts it, and whose code the networks are."""
    versions = [openvino.__version__, __version__]
    for package in ("torch", "torchvision", "timm"):
        with suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{package} {importlib.metadata.version(package)}")
    return versions


def _sha256(*parts: bytes | memoryview) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()
