"""What a function does, as a name that another process finds again: its repr is its address."""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType, FunctionType, ModuleType
from typing import Any

from joblib.hashing import NumpyHasher

from featx.exceptions import ParameterError


def identify(function: Callable) -> str:
    """Name a function, or an object that can be called, by its content.

    Of a function that is its code, its defaults, what it encloses and the globals it names; of an object its pickled
    state and the code of its class. Other functions that it calls are told by their code alone.

    Parameters
    ----------
    function : callable

    Returns
    -------
    str
        MD5 in hex.

    Raises
    ------
    ParameterError
        If something in it cannot be pickled.

    Examples
    --------
    >>> from featx.finetune._identity import identify
    >>> identify(lambda image: image) == identify(lambda image: 255 - image)
    False
    """
    code = getattr(function, "__code__", None)
    named = {name: function.__globals__[name] for name in _names(code) if name in function.__globals__} if code else {}
    try:
        return _Hasher("md5").hash((function, named))
    except Exception as error:  # whatever an object says of being pickled
        raise ParameterError(
            f"Got checkpoint with augment={function!r}, which another process could not tell from another one "
            f"({type(error).__name__}: {error}). Expected a function or an object that can be pickled."
        ) from error


class _Hasher(NumpyHasher):
    """joblib's, which knows a function by its name alone."""

    def reducer_override(self, value: Any) -> Any:
        import torch

        if isinstance(value, torch.Tensor):  # pickled with its address
            return str, (value.detach().cpu().numpy(),)
        if isinstance(value, FunctionType):
            enclosed = [cell.cell_contents for cell in value.__closure__ or ()]
            return str, (value.__qualname__, value.__code__, value.__defaults__, value.__kwdefaults__, enclosed)
        if isinstance(value, CodeType):
            return str, (value.co_code, value.co_consts, value.co_names, value.co_varnames, value.co_freevars)
        if isinstance(value, ModuleType):
            return str, (value.__name__,)
        if isinstance(value, frozenset):  # among the constants of a code; its order is another in each process
            return str, (sorted(map(repr, value)),)
        if isinstance(value, type) and value.__module__ != "builtins":
            codes = {name: part.__code__ for name, part in vars(value).items() if isinstance(part, FunctionType)}
            return str, (value.__module__, value.__qualname__, codes)
        return NotImplemented


def _names(code: CodeType) -> set[str]:
    """The globals that a code, and the functions inside it, may name."""
    inner = [_names(const) for const in code.co_consts if isinstance(const, CodeType)]
    return set(code.co_names).union(*inner)
