"""Networks as data: what can be named, and what a fingerprint is computed from."""

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
DECODES = {"exact": "exact", "fast": "fast:2"}  # name: what stands for its pixels in a fingerprint
POOLINGS = ("avg", "max", "gem", "flatten")
VIEWS = {"flip": 2, "five_crops": 5}  # name: how many


@dataclass(frozen=True)
class Weights:
    """One published set of weights.

    Attributes
    ----------
    name : str
        What a user passes as ``weights=``.
    identity : str
        What stands for exactly these weights in a fingerprint.
    preprocess : Preprocess
        The publisher's reference preprocessing.
    top1 : float or None
        ImageNet top-1 accuracy in percent, as published at `source`.
    source, license : str
        Where the weights are published, and their license.
    is_local : callable
        Returns whether the weights are on this machine; must not import torch.
    load : callable
        Returns the state dict; may download.
    file : callable, default=None
        Returns where `load` keeps the file that it downloads, as published; its name holds the first digits of its
        SHA-256. None where a package carries the weights, or keeps them in another form.
    """

    name: str
    identity: str
    preprocess: Preprocess
    top1: float | None
    source: str
    license: str
    is_local: Callable[[], bool] = field(repr=False, compare=False)
    load: Callable[[], dict[str, torch.Tensor]] = field(repr=False, compare=False)
    file: Callable[[], Path] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Architecture:
    """One registered network.

    Attributes
    ----------
    name : str
        The name in a fingerprint.
    dim : int or None
        Length of its feature, the input of its classifier; None where it is known only once the network is built.
    classifier : str or None
        The node whose input that is; None: the network's output is the feature.
    parameters : float or None
        Millions of parameters, classifier included.
    gmacs : float or None
        Billions of multiply-accumulates for one image.
    weights : tuple of Weights
        All published weights, the default first.
    build : callable
        Takes the size of the images and returns the network with random weights; imports torch.
    rename : callable, default=str
        Takes a key of the published state dict and returns this network's key.
    stages : tuple of str, default=()
        The nodes that "early", "middle", "late" and "last" stand for; empty where they are known only once the network
        is built.
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
        The name that the user knows it by.
    architecture, weights : str
        Their identities.
    preprocess : Preprocess
        How images become the network's input.
    layer : str
        ``"feature"``, ``"logits"`` or a node's name.
    pooling : str or None
        How the layer's output becomes a vector.
    precision, decode : str
        As in `ImageEncoder`.
    views : str or None
        Whose embeddings are averaged: ``"flip"`` or ``"five_crops"``.
    view_size : int or None
        Side of the views, where they are smaller than the images.
    executor : str or None
        Runtime and kind of device, where they change the numbers.
    dim : int or None
        Length of the embedding; None where it is known only once the network is built.
    license : str
        License of the weights.
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
    views: str | None = None
    view_size: int | None = None
    executor: str | None = None
    dim: int | None = field(default=None, compare=False)
    license: str = field(default="", compare=False)
    classifier: str | None = field(default=None, compare=False)
    build: Callable[[], torch.nn.Module] | None = field(default=None, repr=False, compare=False)
    graph: Path | None = field(default=None, compare=False)
    graph_digest: str = field(default="", compare=False)

    def identity(self) -> dict[str, Any]:
        """Return what the fingerprint is computed from: no batch size, threads or paths, and in float32 no device."""
        identity = {
            "format": FORMAT,
            "policy": POLICY,
            "preprocess": asdict(self.preprocess),
            "decode": DECODES[self.decode],
            "architecture": self.architecture,
            "weights": self.weights,
            "layer": self.layer,
            "pooling": self.pooling,
            "precision": self.precision,
            "dtype": "float32",
        }
        changes = {"executor": self.executor, "views": self.views, "view_size": self.view_size}
        return {**identity, **{name: value for name, value in changes.items() if value is not None}}

    def fingerprint(self) -> str:
        """Compute the SHA-256, in hex, of `identity` as canonical JSON."""
        return _fingerprint(self)


@lru_cache(maxsize=64)  # a call for one image asks several times
def _fingerprint(spec: EncoderSpec) -> str:
    text = json.dumps(spec.identity(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
