"""Copy a model with some of its objects replaced, however deep they lie."""

from __future__ import annotations

import io
import pickle
import weakref
from collections.abc import Callable, Mapping
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np

# The copy shares these with the model, as copies by `copy.deepcopy` do.
_SHARED = (type, FunctionType, BuiltinFunctionType, ModuleType, np.ufunc, weakref.ref)
_PLAIN = {type(None), bool, int, float, str, bytes}


def rebuild(model: Any, replace: Callable[[Any], Any] | Mapping[int, Any]) -> Any:
    """Copy a model and replace some of its objects.

    The copy is made as pickle makes one, so whatever pickle reaches can be replaced. Unlike pickle, it keeps
    functions and classes as they are, so that lambdas and classes of a function's body may be among them.

    Parameters
    ----------
    model : object
        Any object that could be pickled but for its functions and classes; it is not changed.
    replace : callable, or dict of int to object
        A callable is called with each object, class and function of the model, but not with plain values such as
        numbers and text. It returns the object itself, which is then copied, or another one, which the copy gets as
        it is: nothing inside it is copied or replaced. A dict has what replaces an object by the object's id.

    Returns
    -------
    object
        The copy. Two parts of the model that share an object share its copy, or what replaces it.

    Raises
    ------
    pickle.PicklingError, TypeError, AttributeError
        If a part of the model cannot be taken apart, such as a lock or a generator.

    Examples
    --------
    >>> from featx._rebuild import rebuild
    >>> rebuild([{"scale": 1 + 2j}], lambda value: value.imag if isinstance(value, complex) else value)
    [{'scale': 2.0}]
    """
    buffer = io.BytesIO()
    pickler = _Pickler(buffer, _by_id(replace) if isinstance(replace, Mapping) else replace)
    pickler.dump(model)
    buffer.seek(0)
    return _Unpickler(buffer, pickler.given).load()


def _by_id(objects: Mapping[int, Any]) -> Callable[[Any], Any]:
    return lambda value: objects.get(id(value), value)


class _Pickler(pickle.Pickler):
    def __init__(self, buffer: io.BytesIO, replace: Callable[[Any], Any]):
        super().__init__(buffer, protocol=pickle.HIGHEST_PROTOCOL)
        self.given: list[Any] = []
        self._replace = replace
        self._positions: dict[int, int] = {}
        self._replaced: list[Any] = []  # an object that lives keeps its id

    def persistent_id(self, value: Any) -> int | None:
        """Return the position in `given` of what the copy gets in an object's place; None has it copied."""
        if type(value) in _PLAIN:
            return None
        if id(value) not in self._positions:
            new = self._replace(value)
            if new is value and not isinstance(value, _SHARED):
                return None
            self._positions[id(value)] = len(self.given)
            self.given.append(new)
            self._replaced.append(value)
        return self._positions[id(value)]


class _Unpickler(pickle.Unpickler):
    def __init__(self, buffer: io.BytesIO, given: list[Any]):
        super().__init__(buffer)
        self._given = given

    def persistent_load(self, position: int) -> Any:
        return self._given[position]
