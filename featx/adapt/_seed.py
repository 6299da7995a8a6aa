"""random_state -> a seed that numpy, scikit-learn and torch take."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

from featx.exceptions import ParameterError

_END = 2**32


def check_seed(random_state: Any) -> int:
    """A seed as it is, or a new one.

    Raises
    ------
    ParameterError
        If it is no whole number from 0 to 2**32 - 1, and not None.

    Examples
    --------
    >>> from featx.adapt._seed import check_seed
    >>> check_seed(7)
    7
    """
    if random_state is None:
        return int(np.random.default_rng().integers(_END))
    if not isinstance(random_state, Integral) or isinstance(random_state, bool) or not 0 <= random_state < _END:
        raise ParameterError(f"Got random_state={random_state!r}. Expected a whole number, 0 to 2**32 - 1, or None.")
    return int(random_state)
