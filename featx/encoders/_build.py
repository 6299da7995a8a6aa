"""An architecture and its weights -> a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from featx.encoders._spec import Architecture
from featx.encoders._weights import hash_file, load_into, read_state_dict
from featx.exceptions import WeightsError

if TYPE_CHECKING:
    import torch


def build_random(architecture: Architecture, seed: int, size: int) -> torch.nn.Module:
    """Draw random weights, under a generator of their own: the caller's random state stays as it was."""
    import torch

    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs too
        return architecture.build(size)


def build_skeleton(build: Callable[[int], torch.nn.Module], size: int) -> torch.nn.Module:
    """Build a network without memory, where its code allows it; else, and then moved, with random weights."""
    import torch

    try:
        with torch.device("meta"):
            return build(size)
    except (RuntimeError, NotImplementedError):  # some networks compute with values while they are built
        with torch.random.fork_rng(devices=[]):
            return build(size).to("meta")


def build_published(architecture: Architecture, weights: str, size: int) -> torch.nn.Module:
    """Load the weights that the publisher has under that name."""
    entry = next(entry for entry in architecture.weights if entry.name == weights)
    return _fill(architecture, size, entry.load(), f"{architecture.name} {weights}")


def build_from_file(
    architecture: Architecture, path: Path, size: int, sha256: str | None = None, state_dict: str | None = None
) -> torch.nn.Module:
    """Load a local state dict, the named one of several; its digest, if given, must still be the file's."""
    if sha256 is not None and hash_file(path) != sha256:
        raise WeightsError(f"The weights file {path} has changed since it was named. Run again.")
    return _fill(architecture, size, read_state_dict(path, state_dict), path)


def _fill(architecture: Architecture, size: int, state: dict[str, torch.Tensor], origin: object) -> torch.nn.Module:
    module = build_random(architecture, 0, size)
    return load_into(module, state, classifier=architecture.classifier, rename=architecture.rename, origin=origin)
