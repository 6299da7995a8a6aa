"""Weights files: their digest, their state dict, and fitting it into a network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from featx.exceptions import WeightsError

if TYPE_CHECKING:
    import torch

_SUFFIXES = (".pth", ".pt", ".safetensors")
# What torch.nn.DataParallel and torch.compile put before every key.
_PREFIXES = ("module.", "_orig_mod.")
_WRAPPERS = ("state_dict", "model", "model_state_dict")


def is_weights_path(weights: str | Path) -> bool:
    return isinstance(weights, Path) or weights.endswith(_SUFFIXES) or "/" in weights or "\\" in weights


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hex; remembered in this process while its stat stays the same."""
    try:
        status = path.stat()
        return _hash(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    except OSError as error:
        raise WeightsError(f"The weights file {path} cannot be read: {error.strerror}.") from error


@lru_cache(maxsize=64)
def _hash(path: Path, *_stat: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict from .safetensors, or from .pth with ``weights_only=True``.

    Raises
    ------
    WeightsError
        If the file is missing, damaged, or holds anything but tensors.
    """
    if not path.is_file():
        raise WeightsError(f"There is no weights file {path}.")
    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(
            f"{path} is not a readable weights file: {str(error).splitlines()[0] if str(error) else error!r}. "
            "Expected a state dict, saved with torch.save(model.state_dict(), path) or by safetensors."
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items()
    ):
        raise WeightsError(
            f"{path} holds a {type(state).__name__} that is no state dict. Expected tensors by the names of their "
            "nodes, as torch.save(model.state_dict(), path) writes them."
        )
    return state


def load_into(
    module: torch.nn.Module,
    state: dict[str, torch.Tensor],
    *,
    classifier: str | None,
    rename: Callable[[str], str] = str,
    origin: object = "the weights",
) -> torch.nn.Module:
    """Load a state dict; the classifier may have another number of classes.

    Raises
    ------
    WeightsError
        Naming the tensors that are missing, left over or of another shape.
    """
    names = set(module.state_dict())
    state = {_fit_key(key, names, rename): value for key, value in state.items()}
    if classifier is not None:
        _resize_classifier(module.get_submodule(classifier), state.get(f"{classifier}.weight"))
    expected = module.state_dict()
    # Old checkpoints lack batch normalisation's counters, which nothing here uses.
    missing = [k for k in expected if k not in state and not k.endswith("num_batches_tracked")]
    left_over = [key for key in state if key not in expected]
    misshapen = [k for k, v in state.items() if k in expected and v.shape != expected[k].shape]
    if missing or left_over or misshapen:
        problems = [
            f"{len(keys)} {what} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
            for what, keys in (("missing", missing), ("left over", left_over), ("of another shape", misshapen))
            if keys
        ]
        raise WeightsError(f"{origin} does not fit {type(module).__name__}: tensors {'; '.join(problems)}.")
    # Updated rather than replaced: it carries the versions of the nodes, without which MNASNet refuses to load.
    expected.update(state)
    module.load_state_dict(expected)
    return module


def _fit_key(key: str, names: Collection[str], rename: Callable[[str], str]) -> str:
    while key not in names and key.startswith(_PREFIXES):
        key = key.partition(".")[2]
    return key if key in names else rename(key)


def _resize_classifier(layer: torch.nn.Module, weight: torch.Tensor | None) -> None:
    """Give a linear layer or a convolution as many outputs as the weights have."""
    from torch import nn

    if weight is None or not isinstance(layer, nn.Linear | nn.Conv2d) or weight.shape[1:] != layer.weight.shape[1:]:
        return
    n_outputs = len(weight)
    setattr(layer, "out_features" if isinstance(layer, nn.Linear) else "out_channels", n_outputs)
    layer.weight = nn.Parameter(layer.weight.new_empty(weight.shape))
    if layer.bias is not None:
        layer.bias = nn.Parameter(layer.bias.new_empty(n_outputs))
