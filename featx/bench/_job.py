"""What is measured, as data that goes to every process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Job:
    """One network on some images.

    Attributes
    ----------
    paths : tuple of str
    encoder, weights : str
        As for `ImageEncoder`.
    n_threads : int
        That decode.
    options : dict
        Further parameters of `ImageEncoder`.
    device : str
        Where other libraries run: ``"cpu"`` or ``"cuda:0"``.
    torch_threads : int or None
        What other libraries' torch is held to; None is torch's own choice.
    """

    paths: tuple[str, ...]
    encoder: str
    weights: str
    n_threads: int
    options: dict[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    torch_threads: int | None = None


def images_per_second(function: Callable[[], Any], n: int) -> float:
    """Time one call that handles n images."""
    started = time.perf_counter()
    function()
    return n / (time.perf_counter() - started)


def median(rates: Sequence[float]) -> float:
    """The median, NaN of nothing."""
    return statistics.median(rates) if rates else float("nan")
