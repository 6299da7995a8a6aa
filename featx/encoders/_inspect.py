"""What a user's module gives: its classifier, and the length of its embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featx.encoders._network import first_tensor, pool
from featx.exceptions import ParameterError

if TYPE_CHECKING:
    import torch


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
