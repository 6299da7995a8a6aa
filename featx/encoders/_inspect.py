"""What a user's module is: its identity, its classifier, the length of its embedding."""

from __future__ import annotations

import hashlib
import inspect
from typing import TYPE_CHECKING

from featx.encoders._network import first_tensor, pool
from featx.exceptions import ParameterError

if TYPE_CHECKING:
    import torch


def identify(module: torch.nn.Module) -> str:
    """Digest over the source of its classes, its structure and its state dict."""
    import torch

    digest = hashlib.sha256(repr(module).encode())
    classes = {type(child) for child in module.modules()}
    for cls in sorted(classes, key=lambda cls: f"{cls.__module__}.{cls.__qualname__}"):
        if not cls.__module__.startswith("torch."):
            digest.update(_source(cls))
    for key, tensor in sorted(module.state_dict().items()):
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
        The last node with parameters, if it is a linear layer.
    dim : int
        Length of the classifier's input, or of the pooled output where there is no classifier.

    Raises
    ------
    ParameterError
        If the module cannot take such an image.
    """
    import torch

    visited: list[tuple[str, torch.nn.Module]] = []
    hooks = [
        child.register_forward_hook(lambda node, _inputs, _output, name=name: visited.append((name, node)))
        for name, child in module.named_modules()
        if not list(child.children()) and list(child.parameters())
    ]
    try:
        with torch.inference_mode():
            output = module(torch.zeros(1, 3, size, size))
    except Exception as error:
        raise ParameterError(
            f"{type(module).__name__} cannot take images of {size} x {size} x 3: {error}. Give the Preprocess whose "
            "size it was trained on."
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    if visited and visited[-1][0] and isinstance(visited[-1][1], torch.nn.Linear):
        name, layer = visited[-1]
        return name, layer.in_features
    return None, pool(first_tensor(output, "output"), None).shape[1]


def _source(cls: type) -> bytes:
    try:
        return inspect.getsource(cls).encode()
    except (OSError, TypeError):  # defined at a prompt: its bytecode stands for it
        code = getattr(getattr(cls, "forward", None), "__code__", None)
        return b"" if code is None else code.co_code + repr(code.co_names).encode()
