"""A result as text."""

from __future__ import annotations

from featx._version import __version__
from featx.bench._result import BenchResult, PeerResult

_WIDTH = 28
_SHOWN = 5
_STEADY = 1.5  # times that runs may differ by


def format_table(result: BenchResult) -> str:
    """Format a result for a terminal.

    Parameters
    ----------
    result : BenchResult

    Returns
    -------
    str
    """
    return "\n".join((*_about(result), "", *_parts(result), *_peers(result), *_doubts(result)))


def _about(result: BenchResult) -> list[str]:
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
        _line("decode alone", result.rate("decode")),
        _line("encode alone", result.rate("encode")),
        _line("limit", result.limit, sharing),
        _line("whole", result.rate("whole"), f"{result.share:.0%} of the limit"),
        _line("whole, all cached", result.rate("warm")),
        f"{'relative L2 to eager torch':{_WIDTH}}{result.difference:8.0e}",
    ]


def _peers(result: BenchResult) -> list[str]:
    if not result.peers:
        return []
    whole = result.rate("whole")
    ours = PeerResult("featx", __version__, rates=(whole,))
    entries = sorted((ours, *result.peers), key=lambda peer: -peer.rate if peer.rates else 0)
    return ["", f"{'side by side':{_WIDTH}}images/s", *(_peer_line(entry, ours) for entry in entries)]


def _doubts(result: BenchResult) -> list[str]:
    if result.spread <= _STEADY:
        return []
    return ["", f"Runs differ by up to {result.spread:.1f} times: the machine is busy. Measure again when it is not."]


def _peer_line(peer: PeerResult, ours: PeerResult) -> str:
    label = f"{peer.name} {peer.version}".strip()
    if peer.reason:
        return f"{label:{_WIDTH}}{'-':>8}   {peer.reason}"
    note = "" if peer is ours else f"featx is {ours.rate / peer.rate:.1f} times as fast"
    return _line(label, peer.rate, note)


def _line(label: str, rate: float, note: str = "") -> str:
    number = f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"
    return f"{label:{_WIDTH}}{number:>8}{'   ' + note if note else ''}"
