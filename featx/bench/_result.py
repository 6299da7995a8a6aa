"""What was measured, what follows from it, and both as text."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from featx._version import __version__

PARTS = ("decode", "encode", "whole", "warm")
_WIDTH = 28
_SHOWN = 5
_STEADY = 1.5  # times that runs may differ by


@dataclass(frozen=True)
class BenchResult:
    """The speed of one encoder on some images; rates are images/s.

    Attributes
    ----------
    encoder, weights, precision, runtime, device : str
        What ran, and where.
    dim, batch_size, n_threads, n_images : int
        The embedding's dimension, images in a batch, threads, and images measured.
    rates : dict of str to tuple of float
        The rates of every run: ``decode`` and ``encode`` alone, the ``whole``, and
        ``warm``, when every embedding is cached.
    left_out : tuple of (str, str)
        Path and reason of each file that was not used.
    difference : float
        The largest relative L2 distance between an embedding and eager PyTorch's.
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
    rates: Mapping[str, Sequence[float]] = field(default_factory=dict)
    left_out: tuple[tuple[str, str], ...] = ()
    difference: float = float("nan")

    def rate(self, part: str) -> float:
        """Return the median images/s of a part."""
        return statistics.median(self.rates[part])

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
        """The rate of the whole as a share of the limit."""
        return self.rate("whole") / self.limit

    @property
    def spread(self) -> float:
        """The fastest run of a part divided by its slowest, at worst: near 1 on an idle machine."""
        runs = [self.rates[part] for part in ("decode", "encode", "whole")]
        return max(max(rates) / min(rates) for rates in runs)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as data for JSON, medians included."""
        medians = {part: self.rate(part) for part in self.rates}
        derived = {"medians": medians, "limit": self.limit, "share": self.share, "spread": self.spread}
        return {"featx": __version__} | asdict(self) | derived


def format_table(result: BenchResult) -> str:
    """Format a result for a terminal."""
    lines = [*_describe(result), "", *_parts(result)]
    if result.spread > _STEADY:
        times = f"{result.spread:.1f} times"
        lines += ["", f"Runs differ by up to {times}: the machine is busy. Measure again when it is not."]
    return "\n".join(lines)


def format_rate(label: str, rate: float, note: str = "") -> str:
    """Format one line of a table: a label, images/s, and a remark."""
    number = f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"
    return f"{label:{_WIDTH}}{number:>8}{'   ' + note if note else ''}"


def _describe(result: BenchResult) -> list[str]:
    threads = f"{result.n_threads} thread{'s' * (result.n_threads > 1)}"
    weights = "" if result.weights == "default" else f", weights {result.weights}"
    runs = len(result.rates["whole"])
    lines = [
        f"{result.encoder}{weights}, {result.precision}: {result.runtime} on {result.device}, {threads}, "
        f"batches of {result.batch_size}",
        f"{result.n_images:,} image{'s' * (result.n_images > 1)}, "
        + (f"medians of {runs} runs in turns" if runs > 1 else "one run"),
    ]
    if result.left_out:
        lines.append(f"{len(result.left_out):,} file{'s' * (len(result.left_out) > 1)} left out:")
        lines += [f"  {path}: {reason}" for path, reason in result.left_out[:_SHOWN]]
        if len(result.left_out) > _SHOWN:
            lines.append(f"  ... and {len(result.left_out) - _SHOWN:,} more")
    return lines


def _parts(result: BenchResult) -> list[str]:
    sharing = "both share the cores: 1 / (1/decode + 1/encode)" if result.on_cpu else "the slower of the two"
    return [
        f"{'':{_WIDTH}}images/s",
        format_rate("decode alone", result.rate("decode")),
        format_rate("encode alone", result.rate("encode")),
        format_rate("limit", result.limit, sharing),
        format_rate("whole", result.rate("whole"), f"{result.share:.0%} of the limit"),
        format_rate("whole, all cached", result.rate("warm")),
        f"{'relative L2 to eager torch':{_WIDTH}}{result.difference:8.0e}",
    ]
