"""`Encoder`: a user's own network, with its preprocessing, its identity, and how another process makes it again."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, Self

from featx._atomic import atomic_file
from featx._process import make_torch_fork_safe
from featx.encoders._identity import identify
from featx.encoders._network import probe
from featx.encoders._registry import get_architecture
from featx.encoders._spec import EncoderSpec
from featx.encoders._trace import name_stages, trace
from featx.encoders._weights import build_from_file, load_into, read_state_dict
from featx.exceptions import ParameterError, WeightsError
from featx.images import Preprocess

if TYPE_CHECKING:
    import torch

_IDENTITY = ("name", "version", "architecture", "classifier", "dim", "weights")


class Encoder:
    """Your own network as an encoder; make one with one of the ``from_`` methods.

    Its embedding is the input of its last linear layer (the penultimate layer
    of a classifier), or its output where no linear layer comes last.
    `ImageEncoder` takes it as ``encoder=``. Clones share it. It pickles as a
    path if it came from a file or was saved to one, else with its weights.

    Attributes
    ----------
    name : str
        Name for people; it is not part of the identity.
    preprocess : Preprocess
        How images become the network's input.
    dim : int
        Length of the embedding.

    Examples
    --------
    >>> import featx, torch
    >>> module = torch.nn.Sequential(
    ...     torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
    ...     torch.nn.Flatten(), torch.nn.Linear(8, 2))
    >>> featx.Encoder.from_module(module, preprocess=featx.Preprocess(size=32)).dim
    8
    """

    __module__ = "featx.encoders"  # the public path, which saved models name

    def __init__(self, recipe: Recipe, preprocess: Preprocess, name: str | None, version: str | None):
        _check_preprocess(preprocess)
        make_torch_fork_safe()
        module = recipe.build()
        self.preprocess = preprocess.scaled_as(None)
        self.name = name or type(module).__qualname__
        self.version = version
        # Without the Python module's name, which differs between a script that is run and one that is imported.
        self.architecture = f"module:{type(module).__qualname__}:{version or ''}"
        # First, so that what a network keeps from its first run is the same in one that has run and one that has not.
        self.classifier, self.dim = probe(module, preprocess.size)
        self.weights = identify(module, version=version)
        self._recipe = recipe
        self._module: torch.nn.Module | None = module

    @classmethod
    def from_module(
        cls, module: torch.nn.Module, *, preprocess: Preprocess, name: str | None = None, version: str | None = None
    ) -> Encoder:
        """Wrap a module; it is copied, so training it further does not change the encoder.

        Parameters
        ----------
        module : torch.nn.Module
            Network that takes float32 (n, 3, size, size), normalized by `preprocess`.
        preprocess : Preprocess
            How its training images were resized and normalized.
        name : str, default=None
            Name for people; None is the class's name.
        version : str, default=None
            Part of the identity, for changes that are not visible in the module.

        Returns
        -------
        Encoder
            The module as an encoder.

        Raises
        ------
        ParameterError
            If `module` is not a module, cannot take such images, or holds or reads something that cannot be identified
            while `version` is None.

        Notes
        -----
        The identity, under which the store keeps the embeddings, covers the module's tensors, its settings and other
        attributes, its hooks, and the code of its classes with the functions and globals that they read. What cannot
        be identified (a lock, a stream, a weak reference) requires a `version`. Torch, torchvision, timm and numpy are
        identified by the names of their classes and functions, other installed packages by name and version. Source
        counts where a file holds it; elsewhere (a notebook, ``python -c``) bytecode does, which differs between
        versions of Python.
        """
        return cls(FromModule(freeze_copy(module)), preprocess, name, version)

    @classmethod
    def from_factory(
        cls,
        factory: Callable[[], torch.nn.Module],
        *,
        preprocess: Preprocess,
        name: str | None = None,
        version: str | None = None,
    ) -> Encoder:
        """Wrap the module that a function returns.

        A function at module level is pickled by its name; for any other one,
        such as a lambda, the module is pickled with its weights.

        Parameters
        ----------
        factory : callable
            Returns the module with its weights, the same each time; the module is copied.
        preprocess, name, version
            As in `from_module`.

        Returns
        -------
        Encoder
            The module as an encoder.

        Raises
        ------
        ParameterError
            If `factory` does not return a module, or returns one that cannot take such images.
        """
        return cls(FromFactory(factory), preprocess, name, version)

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        architecture: str | Callable[[], torch.nn.Module],
        *,
        preprocess: Preprocess | None = None,
        name: str | None = None,
        version: str | None = None,
        state_dict: str | None = None,
    ) -> Encoder:
        """Load your state dict into an architecture.

        Parameters
        ----------
        path : str or Path
            A .pth or .safetensors file, read with ``weights_only=True``: a state dict, or what a training script or
            Lightning saves around one. Nothing else in it is imported or run.
        architecture : str or callable
            A registered name, or a function that returns the module.
        preprocess : Preprocess, default=None
            How the training images were resized and normalized; None is the registered architecture's default.
        name, version
            As in `from_module`; the default name is the file's, without its suffix.
        state_dict : str, default=None
            Which state dict to take where the file holds several (such as averaged weights, "ema"): its key, or what
            the names of its tensors begin with. None requires that there is only one.

        Returns
        -------
        Encoder
            The network with these weights as an encoder.

        Raises
        ------
        WeightsError
            If the file is missing or damaged, does not fit, or holds several state dicts while `state_dict` is None.
        ParameterError
            If the architecture is unknown, or cannot take such images.
        """
        own = get_architecture(architecture).weights[0].preprocess if isinstance(architecture, str) else None
        if preprocess is None:
            if own is None:
                raise ParameterError("Got no preprocess. Expected preprocess=featx.Preprocess(...) with a factory.")
            preprocess = own
        _check_preprocess(preprocess)
        preprocess = preprocess.scaled_as(own)
        recipe = FromCheckpoint(Path(path).expanduser().absolute(), architecture, preprocess.size, state_dict)
        encoder = cls(recipe, preprocess, name or Path(path).stem, version)
        if isinstance(architecture, str):
            known = get_architecture(architecture)  # also classifiers that are not linear layers
            encoder.classifier, encoder.dim = known.classifier, known.dim or encoder.dim
        return encoder

    @classmethod
    def from_recipe(cls, recipe: Recipe, identity: Mapping[str, Any], preprocess: Preprocess) -> Encoder:
        """Make an encoder that was made before, whose network is built when it is first needed.

        Parameters
        ----------
        recipe : Recipe
            How to build the network.
        identity : mapping
            The encoder's `identity` when its network was built.
        preprocess : Preprocess
            How images become the network's input.

        Returns
        -------
        Encoder
            Its network raises a WeightsError, when it is built, if it is not the one with that identity.
        """
        encoder = object.__new__(cls)
        encoder.__dict__.update(identity, preprocess=preprocess, _recipe=recipe, _module=None)
        return encoder

    @property
    def identity(self) -> dict[str, Any]:
        """What is known of the network once it has been built, as plain data."""
        return {name: getattr(self, name) for name in _IDENTITY}

    def save(self, path: str | Path) -> Encoder:
        """Write the weights to a .safetensors file; from then on the encoder pickles as that path.

        Parameters
        ----------
        path : str or Path
            The file to write, in a folder that exists.

        Returns
        -------
        Encoder
            This encoder.
        """
        self._recipe = save(self.module, self._recipe, Path(path).expanduser().absolute())
        return self

    @property
    def file(self) -> Path | None:
        """The file with the state dict, if a registered architecture's name is all else that the encoder needs."""
        recipe = self._recipe
        return recipe.path if isinstance(recipe, FromCheckpoint) and isinstance(recipe.architecture, str) else None

    def with_file(self, file: Path) -> Self:
        """Return this encoder with its `file` elsewhere."""
        assert isinstance(self._recipe, FromCheckpoint)
        return self._changed(_recipe=replace(self._recipe, path=file), _module=None)

    @property
    def module(self) -> torch.nn.Module:
        """The network, in eval mode and frozen."""
        make_torch_fork_safe()
        if self._module is None:
            module = self._recipe.build()
            probe(module, self.preprocess.size)
            if identify(module, version=self.version) != self.weights:
                raise WeightsError(
                    f"The weights of encoder {self.name!r} are not those it was made with: {self._recipe}."
                )
            self._module = module
        return self._module

    @cached_property
    def stages(self) -> dict[str, str]:
        """The nodes that "early", "middle", "late" and "last" stand for."""
        return name_stages(trace(self.build_on, self.classifier, self.preprocess.size), self.preprocess.size)

    def build_on(self, device: str) -> torch.nn.Module:
        """Return the network itself for the CPU, or a copy without memory for the meta device."""
        return self.module if device == "cpu" else skeleton(self.module).to(device)

    def spec(self, preprocess: Preprocess) -> EncoderSpec:
        """Return the spec of this encoder with a preprocessing."""
        return EncoderSpec(
            name=self.name,
            # Two encoders of one module may differ in the node that is their feature.
            architecture=f"{self.architecture}:{self.classifier or ''}",
            weights=self.weights,
            preprocess=preprocess,
            # Without a classifier the output's length may depend on the image's.
            dim=self.dim if self.classifier or preprocess.size == self.preprocess.size else None,
            license="unknown",
            classifier=self.classifier,
            # A runtime folds and moves what it gets.
            build=lambda: copy.deepcopy(self.module),
        )

    def _changed(self, **attributes: Any) -> Self:
        changed = object.__new__(type(self))
        changed.__dict__.update(self.__dict__, **attributes)
        return changed

    def __sklearn_clone__(self) -> Encoder:
        return self

    def __getstate__(self) -> dict[str, Any]:
        recipe = self._recipe if can_pickle(self._recipe) else FromModule(self.module)
        return {**self.__dict__, "_recipe": recipe, "_module": None}

    def __repr__(self) -> str:
        return f"Encoder({self.name!r}, dim={self.dim})"


def _check_preprocess(preprocess: object) -> None:
    if not isinstance(preprocess, Preprocess):
        raise ParameterError(
            f"Got preprocess={preprocess!r}. Expected a featx.Preprocess: the network does not show what images it "
            "was trained on."
        )


class GraphEncoder(Encoder):
    """An `Encoder` that is an OpenVINO graph in a file, not a torch module; it pickles as the path of its file.

    `quantize_encoder` makes such encoders in int8; `featx.save` makes one of a network that only its author's code
    builds.

    Parameters
    ----------
    file : Path
        The graph's file.
    digest : str
        SHA-256 of the file's content, in hex.
    spec : EncoderSpec
        Name, identities, preprocessing and license of the encoder.
    dim : int
        Length of the embedding.
    """

    __module__ = "featx.encoders"
    # Of those that were saved before there were views.
    views: str | None = None
    view_size: int | None = None

    def __init__(self, file: Path, digest: str, spec: EncoderSpec, dim: int):
        self._file = file
        self.digest = digest
        self.name = spec.name
        self.version = None
        self.preprocess = spec.preprocess
        self.dim = dim
        self.architecture = spec.architecture
        self.weights = spec.weights
        self.classifier = None
        self.views, self.view_size = spec.views, spec.view_size
        self._license = spec.license

    @property
    def file(self) -> Path:
        """The file with the graph."""
        return self._file

    def with_file(self, file: Path) -> Self:
        """Return this encoder with its graph elsewhere."""
        return self._changed(_file=file)

    @property
    def module(self) -> torch.nn.Module:
        """Not available: raises a ParameterError."""
        self._refuse("has no torch module")

    def save(self, path: str | Path) -> NoReturn:
        """Raise a ParameterError: the encoder is in a file already."""
        self._refuse(f"lies in a file already, {self.file}: copy that")

    def spec(self, preprocess: Preprocess) -> EncoderSpec:
        """Return the spec of this encoder; only what is outside of the graph may change in the preprocessing."""
        own = self.preprocess
        if (preprocess.size, preprocess.mean, preprocess.std) != (own.size, own.mean, own.std):
            raise ParameterError(
                f"Got {preprocess} for {self.name!r}. Expected size={own.size}, mean={own.mean} and std={own.std}: "
                "they are part of its graph; make the graph again with that preprocess."
            )
        return EncoderSpec(
            name=self.name,
            architecture=self.architecture,
            weights=self.weights,
            preprocess=preprocess,
            dim=self.dim,
            license=self._license,
            views=self.views,
            view_size=self.view_size,
            graph=self.file,
            graph_digest=self.digest,
        )

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def _refuse(self, why: str) -> NoReturn:
        raise ParameterError(f"The encoder {self.name!r}, an OpenVINO graph, {why}.")


class Recipe(Protocol):
    """How another process makes the network again, in eval mode and frozen; its str describes the source."""

    def build(self) -> torch.nn.Module: ...


@dataclass(frozen=True)
class FromModule:
    """The network itself, which is pickled with its weights."""

    module: torch.nn.Module

    def build(self) -> torch.nn.Module:
        return self.module

    def __str__(self) -> str:
        return "pickled with its weights"


@dataclass(frozen=True)
class FromFactory:
    """A function that returns the network."""

    factory: Callable[[], torch.nn.Module]

    def build(self) -> torch.nn.Module:
        return freeze_copy(_call(self.factory))

    def __str__(self) -> str:
        return f"made by {getattr(self.factory, '__qualname__', self.factory)}"


@dataclass(frozen=True)
class FromCheckpoint:
    """A file's state dict, for a registered architecture or for what a function returns."""

    __module__ = "featx.encoders"

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
    """Write a network's tensors, and return the recipe that reads them."""
    from safetensors.torch import save_file

    if path.suffix != ".safetensors" or not path.parent.is_dir():
        raise ParameterError(
            f"Got path={str(path)!r}. Expected a file that ends in .safetensors, in a folder that exists."
        )
    with atomic_file(path) as temporary:
        save_file({key: value.contiguous().clone() for key, value in module.state_dict().items()}, temporary)
    # A registered architecture is found by its name, and some have classes that cannot be pickled.
    if isinstance(recipe, FromCheckpoint) and isinstance(recipe.architecture, str):
        return replace(recipe, path=path, state_dict=None)
    return FromSaved(skeleton(module), path)


def can_pickle(recipe: Recipe) -> bool:
    """Return whether a recipe's functions are found by name; a module is always pickled as it is."""
    if isinstance(recipe, FromModule):
        return True
    try:
        pickle.dumps(recipe)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True


def freeze_copy(module: Any) -> torch.nn.Module:
    """Copy a module that belongs to the user, who may go on training it."""
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

    memo: dict[int, Any] = {}
    for tensor in module.state_dict(keep_vars=True).values():
        empty = tensor.detach().to("meta")
        memo[id(tensor)] = torch.nn.Parameter(empty, False) if isinstance(tensor, torch.nn.Parameter) else empty
    return copy.deepcopy(module, memo)
