"""Checks of parameters that many functions share; each says what was got and what was expected.

The standard library alone: it runs on machines without featx too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, TypeGuard

from .exceptions import ParameterError, UnknownNameError


def is_integer(value: Any) -> TypeGuard[int]:
    """Whether a value is an integer of Python or numpy; a bool is not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a value is a finite real number; a bool is not."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def check_integer(name: str, value: Any, minimum: int = 1) -> int:
    """Check that a parameter is an integer.

    Parameters
    ----------
    name : str
        The parameter's name.
    value : object
        What the user gave.
    minimum : int, default=1
        The smallest value that is accepted.

    Returns
    -------
    int
        The value as Python's int.

    Raises
    ------
    ParameterError
        If it is not an integer, or too small.

    Examples
    --------
    >>> from featx._validate import check_integer
    >>> check_integer("batch_size", 4)
    4
    """
    if is_integer(value) and value >= minimum:
        return int(value)
    expected = {0: "a non-negative integer", 1: "a positive integer"}.get(minimum, f"an integer of {minimum} or more")
    raise ParameterError(f"Got {name}={value!r}. Expected {expected}.")


def check_number(
    name: str, value: Any, low: float = -math.inf, high: float = math.inf, *, closed: str = "both"
) -> float:
    """Check that a parameter is a finite number in an interval.

    Parameters
    ----------
    name : str
        The parameter's name.
    value : object
        What the user gave.
    low, high : float, default=-inf, inf
        The ends of the interval.
    closed : {"both", "left", "right", "neither"}, default="both"
        Which of its ends are accepted, as in scikit-learn.

    Returns
    -------
    float
        The value as Python's float.

    Raises
    ------
    ParameterError
        If it is not a number, or outside of the interval.

    Examples
    --------
    >>> from featx._validate import check_number
    >>> check_number("warmup_fraction", 0.1, 0, 1, closed="left")
    0.1
    """
    left, right = closed in ("both", "left"), closed in ("both", "right")
    if is_number(value) and (low <= value if left else low < value) and (value <= high if right else value < high):
        return float(value)
    ends = []
    if low > -math.inf:
        ends.append(f"{'from' if left else 'above'} {low:g}")
    if high < math.inf:
        ends.append(f"{'up to' if right else 'below'} {high:g}")
    raise ParameterError(f"Got {name}={value!r}. Expected a {' '.join(['number', ' and '.join(ends)]).strip()}.")


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Check that a parameter is one of a few values.

    Parameters
    ----------
    name : str
        The parameter's name.
    value : object
        What the user gave.
    choices : sequence
        What is accepted, such as names and None.

    Raises
    ------
    UnknownNameError
        If it is none of them.

    Examples
    --------
    >>> from featx._validate import check_choice
    >>> check_choice("head", "onnx", ("auto", "onnx", "sklearn"))
    """
    if any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
        return
    raise UnknownNameError(name, value, [choice for choice in choices if isinstance(choice, str)], _others(choices))


def _others(choices: Sequence[Any]) -> str:
    others = [repr(choice) for choice in choices if not isinstance(choice, str)]
    return f"{' or '.join(others)} is accepted too." if others else ""
