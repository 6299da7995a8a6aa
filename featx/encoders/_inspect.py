"""What a user's module is: its identity, its classifier, the length of its embedding."""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
from contextlib import suppress
from operator import itemgetter
from types import CodeType, FunctionType
from typing import TYPE_CHECKING

from featx.encoders._network import first_tensor, pool
from featx.exceptions import ParameterError

if TYPE_CHECKING:
    import torch

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_FOREIGN = {"torch", *sys.stdlib_module_names}
_PLAIN = (bool, int, float, str, tuple, type(None))


def identify(module: torch.nn.Module) -> str:
    """Digest over the source of its classes, its structure, its plain attributes and its tensors."""
    import torch

    digest = hashlib.sha256(_ADDRESS.sub("", repr(module)).encode())
    classes = {cls for child in module.modules() for cls in type(child).__mro__}
    for source in sorted({_source(cls) for cls in classes if cls.__module__.partition(".")[0] not in _FOREIGN}):
        digest.update(source)
    digest.update(_ADDRESS.sub("", _attributes(module)).encode())
    # Buffers that are not in the state dict change the numbers too.
    tensors = [*module.named_buffers(remove_duplicate=False), *module.named_parameters(remove_duplicate=False)]
    for key, tensor in sorted(tensors, key=itemgetter(0)):
        digest.update(f"{key}:{tensor.dtype}:{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return f"state:{digest.hexdigest()}"


def probe(module: torch.nn.Module, size: int) -> tuple[str | None, int]:
    """Run one black image through a module, and watch.

    Parameters
    ----------
    module : torch.nn.Module
    size : int
        Side of the image.

    Returns
    -------
    classifier : str or None
        The last node with parameters, if it is a linear layer; where there are several heads, the node before them.
    dim : int
        Length of the classifier's input, or of the pooled output where there is no classifier.

    Raises
    ------
    ParameterError
        If the module cannot take such an image.
    """
    import torch

    from featx.encoders._several_heads import CLASSIFIER, SeveralHeads

    visited: list[tuple[str, torch.nn.Module]] = []
    hooks = [
        child.register_forward_hook(lambda node, _inputs, _output, name=name: visited.append((name, node)))
        for name, child in module.named_modules()
        if not list(child.children()) and list(child.parameters())
    ]
    try:
        with torch.inference_mode():
            output = module(torch.zeros(1, 3, size, size, device="cpu"))
    except Exception as error:
        raise ParameterError(
            f"{type(module).__name__} cannot take images of {size} x {size} x 3: {error}. Give the Preprocess whose "
            "size it was trained on."
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    if isinstance(module, SeveralHeads) and isinstance(module.classifier, torch.nn.Identity):
        return CLASSIFIER, module.network.head_hidden_size
    if visited and visited[-1][0] and isinstance(visited[-1][1], torch.nn.Linear):
        name, layer = visited[-1]
        return name, layer.in_features
    return None, pool(first_tensor(output, "output"), None).shape[1]


def _attributes(module: torch.nn.Module) -> str:
    """Settings that neither the source nor repr shows, such as ``self.scale = 2``."""
    return repr(
        [
            (name, key, value)
            for name, child in module.named_modules()
            if not type(child).__module__.startswith("torch.")
            for key, value in sorted(vars(child).items())
            if not key.startswith("_") and key != "training" and isinstance(value, _PLAIN)
        ]
    )


def _source(cls: type) -> bytes:
    # Another process gets such a class by value and finds no source: its bytecode is the same there.
    if cls.__module__ != "__main__" and "<locals>" not in cls.__qualname__:
        with suppress(OSError, TypeError):
            return inspect.getsource(cls).encode()
    functions = [value for _, value in sorted(vars(cls).items()) if isinstance(value, FunctionType)]
    return b"\0".join(_bytecode(function.__code__) for function in functions)


def _bytecode(code: CodeType) -> bytes:
    return code.co_code + b"\0".join([repr(code.co_names).encode(), *map(_constant, code.co_consts)])


def _constant(value: object) -> bytes:
    """The same in every process, unlike the addresses of code and the order of sets."""
    if isinstance(value, CodeType):
        return _bytecode(value)
    return repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value).encode()
