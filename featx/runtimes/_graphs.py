"""Converted graphs, kept on disk: the second process needs no torch.

One file a graph, in the user's cache folder: magic, SHA-256 of all that follows, length of the header, the
header (JSON), the weights, the graph (XML). A file that is damaged, or of another version, is as if
it were not there.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import openvino
import platformdirs

from featx.encoders import EncoderSpec
from featx.exceptions import StoreWarning

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
    """
    file = graph_file(specs)
    model = _read(file)
    if model is None:
        # Here, so that a graph that is kept needs no torch.
        from featx.runtimes._convert import convert

        model = convert(specs)
        try:
            _write(file, model)
        except OSError as error:
            warnings.warn(f"The converted graph cannot be kept in {file.parent}: {error}", StoreWarning, stacklevel=2)
        # What later processes will run, to the last bit.
        model = _read(file) or model
    return model


def graph_file(specs: Sequence[EncoderSpec]) -> Path:
    """Where a network's graph is kept: named by fingerprints, precision aside (a graph serves each)."""
    identities = [{**spec.identity(), "precision": None, "executor": None} for spec in specs]
    name = hashlib.sha256(json.dumps(identities, sort_keys=True).encode()).hexdigest()[:32]
    return platformdirs.user_cache_path("featx", appauthor=False) / "graphs" / f"{name}.graph"


def _write(file: Path, model: openvino.Model) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=file.parent) as folder:
        openvino.save_model(model, f"{folder}/graph.xml", compress_to_fp16=False)
        weights, xml = Path(folder, "graph.bin").read_bytes(), Path(folder, "graph.xml").read_bytes()
        header = json.dumps({"openvino": openvino.__version__, "weights": len(weights)}).encode()
        rest = (len(header).to_bytes(8, "little"), header, weights, xml)
        with open(f"{folder}/graph", "wb") as output:
            output.write(_MAGIC + _sha256(*rest))
            output.writelines(rest)
        os.replace(f"{folder}/graph", file)


def _read(file: Path) -> openvino.Model | None:
    try:
        content = np.fromfile(file, np.uint8)
    except OSError:
        return None
    whole = memoryview(content)
    if bytes(whole[: len(_MAGIC)]) != _MAGIC or bytes(whole[len(_MAGIC) : _START - 8]) != _sha256(whole[_START - 8 :]):
        return None
    start = _START + int.from_bytes(whole[_START - 8 : _START], "little")
    header = json.loads(bytes(whole[_START:start]))
    if header["openvino"] != openvino.__version__:
        return None
    end = start + header["weights"]
    with suppress(RuntimeError):
        # Copied: OpenVINO keeps no reference to an array that it shares.
        return openvino.Core().read_model(bytes(whole[end:]), openvino.Tensor(content[start:end], shared_memory=False))
    return None


def _sha256(*parts: bytes | memoryview) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()
