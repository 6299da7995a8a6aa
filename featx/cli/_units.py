"""Sizes and durations as people write them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from datetime import timedelta

_BYTES = {
    "": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50,
}  # fmt: skip
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
# No time since 1970 is longer.
_MAX_SECONDS = 100 * 365.25 * 86400


def parse_bytes(text: str) -> int:
    """Read a size, for argparse; units are written in capitals or not.

    Examples
    --------
    >>> from featx.cli._units import parse_bytes
    >>> parse_bytes("500MB"), parse_bytes("1.5 gib"), parse_bytes("2048")
    (500000000, 1610612736, 2048)
    """
    units = {name.lower(): size for name, size in _BYTES.items()}
    return int(_parse(text.lower(), text, units, "a size: 500MB, 10GB or 2TiB"))


def parse_duration(text: str) -> timedelta:
    """Read a duration, for argparse.

    Examples
    --------
    >>> from featx.cli._units import parse_duration
    >>> parse_duration("30d").days, parse_duration("90m").seconds
    (30, 5400)
    """
    expected = "a duration: 90m, 12h, 30d or 8w"
    seconds = _parse(text, text, _SECONDS, expected)
    if seconds > _MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"got {text!r}; expected {expected}, of at most 100 years")
    return timedelta(seconds=seconds)


def format_bytes(n: float) -> str:
    """Write a size in megabytes.

    Examples
    --------
    >>> from featx.cli._units import format_bytes
    >>> format_bytes(2_500_000_000)
    '2,500.0 MB'
    """
    return f"{n / 1e6:,.1f} MB"


def _parse(text: str, got: str, units: Mapping[str, int], expected: str) -> float:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([a-z]*)", text.strip())
    if match is None or match[2] not in units:
        raise argparse.ArgumentTypeError(f"got {got!r}; expected {expected}")
    return float(match[1]) * units[match[2]]
