"""Every torchvision classification model, with every set of weights that torchvision publishes for it.

The table beside this file holds what torchvision documents about them, so that naming one, or reading its rows from a
warm store, does not import torch. A test compares the table with the installed torchvision.
"""

from __future__ import annotations

import csv
import os
import re
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featx.encoders._spec import Architecture, Weights
from featx.exceptions import WeightsError
from featx.images import Preprocess

if TYPE_CHECKING:
    import torch

_SOURCE = "https://pytorch.org/vision/stable/models.html"
# The published DenseNets name a layer's nodes as torch no longer allows.
_LEGACY_NODE = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d)\.")
_HALF = (0.5, 0.5, 0.5)
_SCALES: dict[str, dict[str, Any]] = {"imagenet": {}, "half": {"mean": _HALF, "std": _HALF}}


def architectures() -> list[Architecture]:
    """Return the torchvision encoders for the registry."""
    by_name: dict[str, list[dict[str, str]]] = {}
    with files("featx.encoders").joinpath("_torchvision.csv").open(encoding="utf-8") as table:
        for row in csv.DictReader(table):
            by_name.setdefault(row["name"], []).append(row)
    return [_architecture(name, rows) for name, rows in by_name.items()]


def build(name: str, size: int) -> torch.nn.Module:
    """Build a torchvision model with random weights, in the form that its published weights fit."""
    from torchvision import models

    options: dict[str, object] = {}
    if name in ("googlenet", "inception_v3"):
        options = {"transform_input": True, "aux_logits": True, "init_weights": True}
    elif name.startswith("vit_"):
        options = {"image_size": size}
    elif name.startswith("maxvit"):
        options = {"input_size": (size, size)}
    return models.get_model(name, weights=None, **options)


def _architecture(name: str, rows: list[dict[str, str]]) -> Architecture:
    default = rows[0]
    return Architecture(
        name=f"torchvision:{name}",
        dim=int(default["dim"]),
        classifier=default["classifier"],
        parameters=float(default["parameters"]),
        gmacs=float(default["gmacs"]),
        weights=tuple(_weights(row) for row in rows),
        build=partial(build, name),
        rename=partial(_LEGACY_NODE.sub, r"\1\2."),
        stages=tuple(default["stages"].split()),
    )


def _weights(row: dict[str, str]) -> Weights:
    return Weights(
        name=row["weights"],
        identity=f"torchvision:{row['file'].removesuffix('.pth')}",
        preprocess=Preprocess(
            size=int(row["size"]),
            resize=int(row["resize"]),
            interpolation=row["interpolation"],
            **_SCALES[row["scale"]],
        ),
        top1=float(row["top1"]),
        source=_SOURCE,
        license=row["license"],
        is_local=lambda: (_checkpoint_folder() / row["file"]).is_file(),
        file=lambda: _checkpoint_folder() / row["file"],
        load=partial(_load, row["name"], row["weights"], row["file"]),
    )


def _load(name: str, weights: str, file: str) -> dict[str, torch.Tensor]:
    from torchvision import models

    published = models.get_model_weights(name)[weights]
    if not published.url.endswith(f"/{file}"):
        raise WeightsError(
            f"This torchvision publishes {published.url.rpartition('/')[2]} as {name} {weights}, featx knows {file}. "
            "Update featx, or pass weights= the path of a file."
        )
    try:
        # The hash in the file's name is checked by torch.hub.
        return published.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:
        raise WeightsError(
            f"The weights {weights} of {name} could not be fetched ({error}). They are published at {published.url}: "
            f"fetch the file by hand into {_checkpoint_folder()}, or pass its path as weights=."
        ) from error


def _checkpoint_folder() -> Path:
    """Find where torch.hub keeps downloads, without importing torch."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("TORCH_HOME", Path(cache, "torch")), "hub", "checkpoints").expanduser()
