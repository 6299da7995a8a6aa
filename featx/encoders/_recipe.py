"""How the network of a `featx.Encoder` is made again in another process: from its weights, a function or a file."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from featx.encoders._build import build_from_file
from featx.encoders._registry import get_architecture
from featx.encoders._weights import load_into, read_state_dict
from featx.exceptions import ParameterError, WeightsError

if TYPE_CHECKING:
    import torch


class Recipe(Protocol):
    """Makes the network, in eval mode and frozen; its str says from what."""

    def build(self) -> torch.nn.Module: ...


@dataclass(frozen=True)
class FromModule:
    """The network itself: it is pickled with its weights."""

    module: torch.nn.Module

    def build(self) -> torch.nn.Module:
        return self.module

    def __str__(self) -> str:
        return "pickled with its weights"


@dataclass(frozen=True)
class FromFactory:
    """What a function returns."""

    factory: Callable[[], torch.nn.Module]

    def build(self) -> torch.nn.Module:
        return freeze_copy(_call(self.factory))

    def __str__(self) -> str:
        return f"made by {getattr(self.factory, '__qualname__', self.factory)}"


@dataclass(frozen=True)
class FromCheckpoint:
    """A file's state dict in a registered architecture, or in what a function returns."""

    path: Path
    architecture: str | Callable[[], torch.nn.Module]
    size: int
    state_dict: str | None = None

    def build(self) -> torch.nn.Module:
        if isinstance(self.architecture, str):
            architecture = get_architecture(self.architecture)
            return _freeze(build_from_file(architecture, self.path, self.size, state_dict=self.state_dict))
        from featx.encoders._several_heads import rename

        module, state = freeze_copy(_call(self.architecture)), read_state_dict(self.path, self.state_dict)
        return _freeze(load_into(module, state, classifier=None, rename=rename, origin=self.path))

    def __str__(self) -> str:
        return f"read from {self.path}"


@dataclass(frozen=True)
class FromSaved:
    """A module without memory, and the file of its tensors."""

    skeleton: torch.nn.Module
    path: Path

    def build(self) -> torch.nn.Module:
        module, state = copy.deepcopy(self.skeleton), read_state_dict(self.path)
        try:
            module.load_state_dict(state, assign=True)
        except RuntimeError as error:
            raise WeightsError(f"{self.path} now holds the weights of another network: {error}") from error
        return _freeze(module)

    def __str__(self) -> str:
        return f"saved to {self.path}"


def save(module: torch.nn.Module, recipe: Recipe, path: Path) -> Recipe:
    """Write a network's tensors; returns the recipe that reads them."""
    from safetensors.torch import save_file

    if path.suffix != ".safetensors" or not path.parent.is_dir():
        raise ParameterError(
            f"Got path={str(path)!r}. Expected a file that ends in .safetensors, in a folder that exists."
        )
    save_file({key: value.contiguous().clone() for key, value in module.state_dict().items()}, path)
    # A registered architecture is found by its name, and some have classes that cannot be pickled.
    if isinstance(recipe, FromCheckpoint) and isinstance(recipe.architecture, str):
        return replace(recipe, path=path, state_dict=None)
    return FromSaved(skeleton(module), path)


def can_pickle(recipe: Recipe) -> bool:
    """Whether a recipe's functions are found by name; it is small, unless it is a module, which has no other way."""
    if isinstance(recipe, FromModule):
        return True
    try:
        pickle.dumps(recipe)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True


def freeze_copy(module: Any) -> torch.nn.Module:
    """Copy what belongs to the user, who may go on training it."""
    import torch

    from featx.encoders._several_heads import join_heads

    if not isinstance(module, torch.nn.Module):
        raise ParameterError(f"Got module={type(module).__name__}. Expected a torch.nn.Module.")
    return _freeze(join_heads(copy.deepcopy(module)))


def _freeze(module: torch.nn.Module) -> torch.nn.Module:
    for parameter in module.parameters():  # a ScriptModule has no requires_grad_
        parameter.requires_grad_(False)
    return module.cpu().eval()


def _call(factory: Any) -> Any:
    import torch

    if not callable(factory) or isinstance(factory, torch.nn.Module):
        raise ParameterError(
            f"Got {type(factory).__name__} for a function that returns a torch.nn.Module. Wrap a module with "
            "featx.Encoder.from_module."
        )
    return factory()


def skeleton(module: torch.nn.Module) -> torch.nn.Module:
    """Copy a module without the memory of what its state dict holds."""
    import torch

    memo = {}
    for tensor in module.state_dict(keep_vars=True).values():
        empty = tensor.detach().to("meta")
        memo[id(tensor)] = torch.nn.Parameter(empty, False) if isinstance(tensor, torch.nn.Parameter) else empty
    return copy.deepcopy(module, memo)
