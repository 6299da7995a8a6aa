"""What was measured, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from featx._version import __version__
from featx.bench._job import median


@dataclass(frozen=True)
class PeerResult:
    """Another library on the same images and network.

    Attributes
    ----------
    name, version : str
    network : str
        What it calls the network.
    rates : tuple of float
        Images/s of each run; empty where there is a reason.
    reason : str
        Why it was not measured.
    """

    name: str
    version: str = ""
    network: str = ""
    rates: tuple[float, ...] = ()
    reason: str = ""

    @property
    def rate(self) -> float:
        """Median images/s, NaN where there is a reason."""
        return median(self.rates)


@dataclass(frozen=True)
class BenchResult:
    """One network on some images; rates are images/s.

    Attributes
    ----------
    encoder, weights, precision, runtime, device : str
    dim, batch_size, n_threads, n_images : int
    left_out : tuple of (str, str)
        Path and reason of each file that was not used.
    rates : dict of str to tuple of float
        Of each run: ``decode`` and ``encode`` alone, the ``whole``, and ``warm``, when all is cached.
    difference : float
        The largest relative L2 distance of an embedding to eager PyTorch's.
    peers : tuple of PeerResult
    """

    encoder: str
    weights: str
    precision: str
    runtime: str
    device: str
    dim: int
    batch_size: int
    n_threads: int
    n_images: int
    left_out: tuple[tuple[str, str], ...] = ()
    rates: Mapping[str, Sequence[float]] = field(default_factory=dict)
    difference: float = float("nan")
    peers: tuple[PeerResult, ...] = ()

    def rate(self, part: str) -> float:
        """Median images/s of a part."""
        return median(self.rates[part])

    @property
    def on_cpu(self) -> bool:
        """Whether decoding and the network share the same cores."""
        return not self.device.lower().startswith("cuda")

    @property
    def limit(self) -> float:
        """Images/s that no order of work can exceed: on a CPU the parts add up, on CUDA the slower one decides."""
        decode, encode = self.rate("decode"), self.rate("encode")
        return 1 / (1 / decode + 1 / encode) if self.on_cpu else min(decode, encode)

    @property
    def share(self) -> float:
        """The whole, as a part of the limit."""
        return self.rate("whole") / self.limit

    @property
    def spread(self) -> float:
        """How many times as fast the best run of anything was as its worst: near 1 on a machine that is left alone."""
        runs = [self.rates[part] for part in ("decode", "encode", "whole")]
        runs += [peer.rates for peer in self.peers if peer.rates]
        return max(max(rates) / min(rates) for rates in runs)

    def to_dict(self) -> dict[str, Any]:
        """All of it as data for JSON, medians included."""
        medians = {part: self.rate(part) for part in self.rates}
        derived = {"medians": medians, "limit": self.limit, "share": self.share, "spread": self.spread}
        peers = [asdict(peer) | {"median": peer.rate if peer.rates else None} for peer in self.peers]
        return {"featx": __version__} | asdict(self) | derived | {"peers": peers}
