"""What the estimators' parameters may be."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from featx.exceptions import ParameterError, UnknownNameError
from featx.finetune._augment import make_augment

STARTS = ("probe", "random")
PRECISIONS = ("float32", "bfloat16")


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Refuse what is none of the accepted values.

    Parameters
    ----------
    parameters : mapping
        An estimator's.

    Raises
    ------
    ParameterError
        The message says what was got, and what is expected.
    """
    for name in ("epochs", "batch_size"):
        _check(parameters, name, _is_count, "a positive integer")
    for name in ("learning_rate", "source_weight"):
        _check(parameters, name, lambda value: _is_number(value) and value > 0, "a positive number")
    _check(parameters, "weight_decay", lambda value: _is_number(value) and value >= 0, "zero or a positive number")
    _check(
        parameters, "layer_decay", lambda value: _is_number(value) and 0 < value <= 1, "a number above 0 and up to 1"
    )
    _check(parameters, "warmup", lambda value: _is_number(value) and 0 <= value < 1, "a number from 0 to below 1")
    _check(
        parameters,
        "validation",
        lambda value: value is None or (_is_number(value) and 0 <= value < 1),
        "a share below 1, or None",
    )
    _check(parameters, "patience", lambda value: value is None or _is_count(value), "a positive integer or None")
    _check(
        parameters,
        "train_norms",
        lambda value: value is None or isinstance(value, bool | np.bool_),
        "True, False or None",
    )
    for name, known in (("start", STARTS), ("precision", PRECISIONS)):
        if parameters[name] not in known and (name, parameters[name]) != ("start", None):
            raise UnknownNameError(name, parameters[name], known)
    make_augment(parameters["augment"])
    if parameters["checkpoint"] is not None and not _is_integer(parameters["random_state"]):
        raise ParameterError(
            f"Got checkpoint with random_state={parameters['random_state']!r}. Expected an integer: another seed would "
            "be another training, and never go on."
        )


def _check(parameters: Mapping[str, Any], name: str, fits: Any, expected: str) -> None:
    if not fits(parameters[name]):
        raise ParameterError(f"Got {name}={parameters[name]!r}. Expected {expected}.")


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_integer(value) and value > 0


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and bool(np.isfinite(value))
