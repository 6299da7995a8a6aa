"""Weights: the files that hold them, their digests and state dicts, and the networks that they are loaded into."""

from __future__ import annotations

import hashlib
import io
import pickle
import pickletools
import re
import threading
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from featx._process import make_torch_fork_safe
from featx.encoders._spec import Architecture
from featx.exceptions import WeightsError

if TYPE_CHECKING:
    import torch

_SUFFIXES = (".pth", ".pt", ".safetensors")
# What torch.nn.DataParallel, torch.compile and a LightningModule's usual attribute put before every key.
_PREFIXES = ("module.", "_orig_mod.", "model.")
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
# torch, of a class that its file fills like a dict or a list.
_FILLED = re.compile(rf"Can only (SETITEM|append).* but got <class '{re.escape(__name__)}\.(.+)'>")
_LOCK = threading.Lock()  # torch keeps one list of safe names for all threads


def is_weights_path(weights: str | Path) -> bool:
    """Return whether ``weights=`` means a file and not a published name."""
    return isinstance(weights, Path) or weights.endswith(_SUFFIXES) or "/" in weights or "\\" in weights


def hash_file(path: Path) -> str:
    """Compute the SHA-256 of a file, in hex; it is remembered in this process while the file's stat stays the same."""
    try:
        status = path.stat()
        return _hash(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    except OSError as error:
        raise WeightsError(f"The weights file {path} cannot be read: {error.strerror}.") from error


@lru_cache(maxsize=64)
def _hash(path: Path, *_stat: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_state_dict(path: Path, state_dict: str | None = None) -> dict[str, torch.Tensor]:
    """Read a state dict from .safetensors, or from .pth with ``weights_only=True``.

    What training scripts keep beside it (arguments, paths, numpy's numbers) is neither imported nor run.

    Parameters
    ----------
    path : Path
        The weights file.
    state_dict : str, default=None
        Which state dict to take where the file holds several: its key, or what the names of its tensors begin with.

    Returns
    -------
    dict of str to Tensor
        The tensors by the names of their nodes.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, or holds no state dict, or several while `state_dict` is None.
    """
    if not path.is_file():
        raise WeightsError(f"The weights file {path} does not exist.")
    try:
        loaded = _load(path)
    except Exception as error:
        text = _ESCAPES.sub("", str(error)).strip() or repr(error)
        text = text.partition("WeightsUnpickler error:")[2].strip() or text
        unsafe = re.search(r"GLOBAL ([\w.]+)", text)
        reason = f"it holds {unsafe[1]}, which is not safe to load" if unsafe else text.splitlines()[0]
        raise WeightsError(
            f"{path} is not a readable weights file: {reason}. "
            "Expected a state dict, saved with torch.save(model.state_dict(), path) or by safetensors."
        ) from error
    found = dict(_find_state_dicts(loaded))
    if state_dict is not None:
        return _choose(found, state_dict, path)
    if len(found) > 1:
        raise WeightsError(
            f"{path} holds {len(found)} state dicts: {', '.join(map(repr, found))}. Say which with "
            f"featx.Encoder.from_checkpoint(..., state_dict={next(iter(found))!r})."
        )
    if not found:
        raise WeightsError(
            f"{path} holds {_describe(loaded)} that is not a state dict. Expected tensors by the names of their "
            "nodes, as torch.save(model.state_dict(), path) writes them."
        )
    return next(iter(found.values()))


class _Inert(dict):
    """Stand-in for an object of a class, or for what a function returns, that a file names beside its tensors."""

    def __new__(cls, *_arguments: object) -> Any:
        return super().__new__(cls)

    def __init__(self, *_arguments: object):
        super().__init__()

    def __setstate__(self, _state: object) -> None:
        pass

    __hash__ = object.__hash__  # type: ignore[assignment]  # a key of a dict, where the real class may be one


class _InertDict(_Inert):
    """Stand-in for what is filled as a dict is: torch fills only OrderedDict and Counter."""

    def __new__(cls, *_arguments: object) -> Any:
        return OrderedDict()


class _InertList(list):
    """Stand-in for what is filled as a list is."""

    def __init__(self, *_arguments: object):
        super().__init__()


def _load(path: Path) -> Any:
    import torch

    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    kinds: dict[str, type] = dict.fromkeys(_names_in(path), _Inert)
    while True:
        inert = [(type(name, (kind,), {}), name) for name, kind in kinds.items()]
        try:
            with _LOCK, torch.serialization.safe_globals(inert):
                return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            filled = _FILLED.search(str(error))
            if filled is None or kinds.get(filled[2]) is not _Inert:
                raise
            kinds[filled[2]] = _InertDict if filled[1] == "SETITEM" else _InertList


def _names_in(path: Path) -> set[str]:
    """List the classes and functions that a file's pickle names, as torch reads them; nothing is loaded."""
    names = set()
    with path.open("rb") as file, suppress(Exception):  # torch.load reports what is wrong with it
        streams: list[BinaryIO] = [file] * 4  # torch wrote three before the object, until 1.6
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                streams = [io.BytesIO(archive.read(name)) for name in archive.namelist() if name.endswith("/data.pkl")]
        else:
            file.seek(0)
        for stream in streams:
            for operation, argument, _ in pickletools.genops(stream):
                if operation.name == "GLOBAL" and argument is not None:
                    module, name = argument.split(" ")
                    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
                    names.add(f"{module}.{name}")
    return names


def _find_state_dicts(loaded: Any, path: str = "") -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """Yield each dict of named tensors, by the keys that lead to it."""
    import torch

    if not isinstance(loaded, dict) or not all(isinstance(key, str) for key in loaded):
        return  # an optimizer's state goes by numbers
    if loaded and all(isinstance(value, torch.Tensor) for value in loaded.values()):
        yield path, loaded
        return
    for key, value in loaded.items():
        yield from _find_state_dicts(value, f"{path}.{key}" if path else key)


def _choose(found: dict[str, dict[str, torch.Tensor]], state_dict: str, path: Path) -> dict[str, torch.Tensor]:
    if state_dict in found:
        return found[state_dict]
    prefix = f"{state_dict.removesuffix('.')}."
    for state in found.values():
        part = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if part:
            return part
    raise WeightsError(
        f"Got state_dict={state_dict!r}, which {path} does not hold. Expected one of {', '.join(map(repr, found))}, "
        "or what the names of its tensors begin with."
    )


def _describe(loaded: Any) -> str:
    """Describe what a file holds instead of a state dict, and what keeps it from being one."""
    import torch

    if isinstance(loaded, dict) and not isinstance(loaded, _Inert):
        keys = [key for key, value in loaded.items() if not isinstance(value, torch.Tensor)]
        if keys and len(keys) < len(loaded):
            return f"a dict with tensors and, as {keys[0]!r}, a {type(loaded[keys[0]]).__qualname__}"
        inner = [_describe(loaded[key]) for key in keys if isinstance(loaded[key], dict)]
        return next((found for found in inner if " with tensors and" in found), "a dict")
    return f"a {type(loaded).__qualname__}"


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
        If tensors are missing, left over or of another shape; the message names them.
    """
    names = set(module.state_dict())
    state = _own_part(state, names, origin)
    state = {_fit_key(key, names, rename): value for key, value in state.items()}
    if classifier is not None:
        _resize_classifier(module.get_submodule(classifier), state.get(f"{classifier}.weight"))
    expected = module.state_dict()
    # Old checkpoints lack batch normalization's counters, which nothing here uses.
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


def _own_part(state: dict[str, torch.Tensor], names: set[str], origin: object) -> dict[str, torch.Tensor]:
    """Take the part whose names begin alike, where that is the whole network: it was a node of another one."""
    if not any("_orig_mod." in name for name in names):
        state = {key.replace("_orig_mod.", ""): value for key, value in state.items()}
    needed = {name for name in names if not name.endswith("num_batches_tracked")}
    if not needed or needed <= state.keys():
        return state
    longest = max(needed, key=len)
    prefixes = [key.removesuffix(longest) for key in state if key.endswith(f".{longest}")]
    whole = [prefix for prefix in prefixes if all(prefix + name in state for name in needed)]
    if len(whole) > 1:
        raise WeightsError(
            f"{origin} holds the network {len(whole)} times: {', '.join(map(repr, whole))}. Say which with "
            f"featx.Encoder.from_checkpoint(..., state_dict={whole[0]!r})."
        )
    if not whole:
        return state
    return {key.removeprefix(whole[0]): value for key, value in state.items() if key.startswith(whole[0])}


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


def build_random(architecture: Architecture, seed: int, size: int) -> torch.nn.Module:
    """Build a network with random weights from a separate generator: the caller's random state stays as it was."""
    import torch

    make_torch_fork_safe()
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs too
        return architecture.build(size)


def build_skeleton(build: Callable[[int], torch.nn.Module], size: int) -> torch.nn.Module:
    """Build a network without memory; where its code does not allow that, build it with random weights and move it."""
    import torch

    try:
        with torch.device("meta"):
            return build(size)
    except (RuntimeError, NotImplementedError):  # some networks compute with values while they are built
        with torch.random.fork_rng(devices=[]):
            return build(size).to("meta")


def build_published(architecture: Architecture, weights: str, size: int) -> torch.nn.Module:
    """Build a network with the weights that the publisher has under a name."""
    entry = next(entry for entry in architecture.weights if entry.name == weights)
    return _fill(architecture, size, entry.load(), f"{architecture.name} {weights}")


def build_from_file(
    architecture: Architecture, path: Path, size: int, sha256: str | None = None, state_dict: str | None = None
) -> torch.nn.Module:
    """Build a network with a local state dict; the file must still have the digest, if one is given."""
    if sha256 is not None and hash_file(path) != sha256:
        raise WeightsError(f"The weights file {path} has changed since it was named. Run again.")
    return _fill(architecture, size, read_state_dict(path, state_dict), path)


def _fill(architecture: Architecture, size: int, state: dict[str, torch.Tensor], origin: object) -> torch.nn.Module:
    module = build_random(architecture, 0, size)
    return load_into(module, state, classifier=architecture.classifier, rename=architecture.rename, origin=origin)
