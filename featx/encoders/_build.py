"""An architecture and its weights -> a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from featx.encoders._spec import Architecture
from featx.encoders._weights import load_into, read_state_dict

if TYPE_CHECKING:
    import torch


def build_random(architecture: Architecture, seed: int, size: int) -> torch.nn.Module:
    """Draw random weights, under a generator of their own: the caller's random state stays as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return architecture.build(size)


def build_published(architecture: Architecture, weights: str, size: int) -> torch.nn.Module:
    """Load the weights that the publisher has under that name."""
    entry = next(entry for entry in architecture.weights if entry.name == weights)
    return _fill(architecture, size, entry.load(), f"{architecture.name} {weights}")


def build_from_file(architecture: Architecture, path: Path, size: int) -> torch.nn.Module:
    """Load a local state dict."""
    return _fill(architecture, size, read_state_dict(path), path)


def _fill(architecture: Architecture, size: int, state: dict[str, torch.Tensor], origin: object) -> torch.nn.Module:
    module = build_random(architecture, 0, size)
    return load_into(module, state, classifier=architecture.classifier, rename=architecture.rename, origin=origin)
