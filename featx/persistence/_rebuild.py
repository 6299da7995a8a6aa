"""A deep copy of a model in which some objects are others, however deep they lie."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any


def rebuild(model: Any, change: Callable[[Any], Any]) -> Any:
    """Copy a model by pickling it in memory, which reaches every object of it.

    Parameters
    ----------
    model : object
        It stays as it is.
    change : callable
        Gets an object, a class or a function of the model; returns what the copy has in its place, or it itself.

    Returns
    -------
    object

    Examples
    --------
    >>> from featx.persistence._rebuild import rebuild
    >>> rebuild([{"scale": 1 + 2j}], lambda value: value.imag if isinstance(value, complex) else value)
    [{'scale': 2.0}]
    """
    buffer = io.BytesIO()
    _Pickler(buffer, change).dump(model)
    return pickle.loads(buffer.getbuffer())


class _Pickler(pickle.Pickler):
    def __init__(self, buffer: io.BytesIO, change: Callable[[Any], Any]):
        super().__init__(buffer, protocol=pickle.HIGHEST_PROTOCOL)
        self._change = change
        self._made: dict[int, Any] = {}

    def reducer_override(self, value: Any) -> Any:
        if id(value) in self._made:
            return NotImplemented
        changed = self._change(value)
        if changed is value:
            return NotImplemented
        self._made[id(changed)] = changed
        return _given, (changed,)


def _given(value: Any) -> Any:
    return value
