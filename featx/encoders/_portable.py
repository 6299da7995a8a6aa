"""Layers by names that every encoder has: "early", "middle", "late", "last"."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING

from featx.encoders._build import build_random, build_skeleton
from featx.encoders._encoder import Encoder
from featx.encoders._registry import get_architecture
from featx.encoders._spec import STAGES, Architecture
from featx.encoders._stages import name_stages
from featx.encoders._trace import trace
from featx.exceptions import ParameterError

if TYPE_CHECKING:
    import torch


def to_node(layer: str, encoder: str | Encoder) -> str:
    """The node that a portable name stands for; another name is its own node.

    Parameters
    ----------
    layer : str
    encoder : str or Encoder
        A registered name is known without torch.

    Raises
    ------
    ParameterError
        If the network has no node to stand for it.

    Examples
    --------
    >>> from featx.encoders._portable import to_node
    >>> to_node("late", "resnet50"), to_node("layer2.0", "resnet50")
    ('layer3', 'layer2.0')
    """
    if layer not in STAGES:
        return layer
    stages = stages_of(encoder)
    if not stages:
        raise ParameterError(f"Got layer {layer!r}; {encoder} has no node before its output. Expected layers=None.")
    return stages[layer]


def stages_of(encoder: str | Encoder) -> dict[str, str]:
    """The nodes that the portable names stand for, each by its name; empty where there is none."""
    if isinstance(encoder, Encoder):
        return encoder.stages
    architecture = get_architecture(encoder)
    return dict(zip(STAGES, architecture.stages, strict=True)) if architecture.stages else _find(architecture)


def build_on(architecture: Architecture, size: int, device: str) -> torch.nn.Module:
    """A registered network with random weights on the CPU, or on the meta device without memory."""
    if device == "cpu":
        return build_random(architecture, 0, size)
    return build_skeleton(architecture.build, size)


@lru_cache(maxsize=64)
def _find(architecture: Architecture) -> dict[str, str]:
    size = architecture.weights[0].preprocess.size
    return name_stages(trace(partial(build_on, architecture, size), architecture.classifier, size), size)
