"""How the learning rates rise and fall."""

from __future__ import annotations

import math
from collections.abc import Callable


def schedule(warmup: float, n_steps: int) -> Callable[[int], float]:
    """The rates' factor at each step: a linear rise, then a cosine to zero (arXiv:1608.03983).

    Parameters
    ----------
    warmup : float
        Share of the steps that rise.
    n_steps : int

    Returns
    -------
    callable
        Step, from 0 -> factor above 0 and up to 1.

    Examples
    --------
    >>> from featx.finetune._schedule import schedule
    >>> [round(schedule(0.5, 8)(step), 2) for step in range(8)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 0.85, 0.5, 0.15]
    """
    rising = round(warmup * n_steps)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return (1 + math.cos(math.pi * (step - rising) / max(1, n_steps - rising))) / 2

    return factor
