"""Which network, as data: what can be named, and what a fingerprint is taken over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featx.images import POLICY, Preprocess

if TYPE_CHECKING:
    import torch

FORMAT = 1
FEATURE = "feature"
LOGITS = "logits"
STAGES = ("early", "middle", "late", "last")
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
DECODES = ("exact", "fast")
POOLINGS = ("avg", "max", "gem", "flatten")


@dataclass(frozen=True)
class Weights:
    """One published set of weights.

    Attributes
    ----------
    name : str
        What a user passes as ``weights=``.
    identity : str
        What names these very numbers in a fingerprint.
    preprocess : Preprocess
        The publisher's reference.
    top1 : float or None
        ImageNet top-1 accuracy in percent, as published at `source`.
    source, licence : str
    is_local : callable
        Whether the weights are on this machine; must not import torch.
    load : callable
        Returns the state dict; may download.
    file : callable, default=None
        Where `load` keeps the file that it downloads, as published; its name holds the first digits of its SHA-256.
        None where a package carries the weights, or keeps them its own way.
    """

    name: str
    identity: str
    preprocess: Preprocess
    top1: float | None
    source: str
    licence: str
    is_local: Callable[[], bool] = field(repr=False, compare=False)
    load: Callable[[], dict[str, torch.Tensor]] = field(repr=False, compare=False)
    file: Callable[[], Path] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Architecture:
    """One registered network.

    Attributes
    ----------
    name : str
        As it stands in a fingerprint.
    dim : int or None
        Length of its own feature, the input of its classifier; None where only building it tells.
    classifier : str or None
        The node whose input that is; None: the network's output is the feature.
    parameters : float or None
        Millions, classifier included.
    gmacs : float or None
        Billions of multiply-accumulates for one image.
    weights : tuple of Weights
        The default first.
    build : callable
        Image size -> the network with random weights; imports torch.
    rename : callable, default=identity
        Published state-dict key -> this network's.
    stages : tuple of str, default=()
        The nodes that "early", "middle", "late" and "last" stand for; empty where only building it tells.
    """

    name: str
    dim: int | None
    classifier: str | None
    parameters: float | None
    gmacs: float | None
    weights: tuple[Weights, ...]
    build: Callable[[int], torch.nn.Module] = field(repr=False, compare=False)
    rename: Callable[[str], str] = field(default=str, repr=False, compare=False)
    stages: tuple[str, ...] = ()


@dataclass(frozen=True)
class EncoderSpec:
    """All that decides an embedding's numbers: one network, one layer, one pooling.

    Attributes
    ----------
    name : str
        What the user called it.
    architecture, weights : str
        Identities.
    preprocess : Preprocess
    layer : str
        ``"feature"``, ``"logits"`` or a node's name.
    pooling : str or None
    precision, decode : str
    executor : str or None
        Runtime and kind of device, where they change the numbers.
    dim : int or None
        Length of the embedding; None where only building the network tells.
    licence : str
    classifier : str or None
        Node whose input is the feature.
    build : callable or None
        Returns the network with its weights, in eval mode.
    graph : Path or None
        An OpenVINO graph that is the encoder, instead of a network to build.
    graph_digest : str
        SHA-256 of that graph's content, in hex.
    """

    name: str
    architecture: str
    weights: str
    preprocess: Preprocess
    layer: str = FEATURE
    pooling: str | None = None
    precision: str = "float32"
    decode: str = "exact"
    executor: str | None = None
    dim: int | None = field(default=None, compare=False)
    licence: str = field(default="", compare=False)
    classifier: str | None = field(default=None, compare=False)
    build: Callable[[], torch.nn.Module] | None = field(default=None, repr=False, compare=False)
    graph: Path | None = field(default=None, compare=False)
    graph_digest: str = field(default="", compare=False)

    def identity(self) -> dict[str, Any]:
        """What the fingerprint is taken over; batch size, threads, paths and, in float32, device are not in it."""
        identity = {
            "format": FORMAT,
            "policy": POLICY,
            "preprocess": asdict(self.preprocess),
            "decode": self.decode,
            "architecture": self.architecture,
            "weights": self.weights,
            "layer": self.layer,
            "pooling": self.pooling,
            "precision": self.precision,
            "dtype": "float32",
        }
        return identity if self.executor is None else {**identity, "executor": self.executor}

    def fingerprint(self) -> str:
        """SHA-256, in hex, over canonical JSON of `identity`."""
        return _fingerprint(self)


@lru_cache(maxsize=64)  # a call for one image asks several times
def _fingerprint(spec: EncoderSpec) -> str:
    text = json.dumps(spec.identity(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
