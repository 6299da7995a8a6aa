"""featx.Encoder: a user's own network, with its preprocessing and its identity."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featx.encoders._identity import identify
from featx.encoders._inspect import probe
from featx.encoders._recipe import (
    FromCheckpoint,
    FromFactory,
    FromModule,
    Recipe,
    can_pickle,
    freeze_copy,
    save,
    skeleton,
)
from featx.encoders._registry import get_architecture
from featx.encoders._spec import EncoderSpec
from featx.encoders._stages import name_stages
from featx.encoders._trace import trace
from featx.exceptions import ParameterError, WeightsError
from featx.images import Preprocess

if TYPE_CHECKING:
    import torch


class Encoder:
    """A network of your own as an encoder; make one with one of the ``from_`` methods.

    Its embedding is the input of its last linear layer (the penultimate layer
    of a classifier), or its output where no linear layer comes last.
    `ImageEncoder` takes it as ``encoder=``; clones share it, and it pickles as
    a path if it came from or was saved to a file, else with its weights.

    Attributes
    ----------
    name : str
    preprocess : Preprocess
    dim : int
        Length of its embedding.

    Examples
    --------
    >>> import featx, torch
    >>> module = torch.nn.Sequential(
    ...     torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
    ...     torch.nn.Flatten(), torch.nn.Linear(8, 2))
    >>> featx.Encoder.from_module(module, preprocess=featx.Preprocess(size=32)).dim
    8
    """

    def __init__(self, recipe: Recipe, preprocess: Preprocess, name: str | None, version: str | None):
        _check_preprocess(preprocess)
        module = recipe.build()
        self.preprocess = preprocess
        self.name = name or type(module).__qualname__
        self.version = version
        # Not by its module's name: that is another one where a script is run and where it is imported.
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
        """Wrap a module; it is copied, so training it further changes nothing here.

        Parameters
        ----------
        module : torch.nn.Module
            Takes float32 (n, 3, size, size), normalised by `preprocess`.
        preprocess : Preprocess
            How its training images were resized and normalised.
        name : str, default=None
            For people; None is the class's name.
        version : str, default=None
            Part of its identity, for changes that nothing else shows.

        Raises
        ------
        ParameterError
            If it is no module, cannot take such images, or has no `version` and holds or reads what cannot be told.

        Notes
        -----
        Its identity, under which the store keeps its embeddings, is taken over its tensors, its settings and other
        attributes, its hooks, and the code of its classes with the functions and globals that they read. Of what
        cannot be told (a lock, a stream, a weak reference) it asks for a `version`. Torch, torchvision, timm and numpy
        are known by the names of their classes and functions, other installed packages by name and version. Source
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
        """Wrap what a function returns.

        A function at module level is pickled by its name; of another one, such
        as a lambda, what it returned is pickled with its weights.

        Parameters
        ----------
        factory : callable
            Returns the module with its weights, the same each time; it is copied.
        preprocess, name, version
            As in `from_module`.

        Raises
        ------
        ParameterError
            If it returns no module, or one that cannot take such images.
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
        """Load a state dict of yours into an architecture.

        Parameters
        ----------
        path : str or Path
            A .pth or .safetensors file, read with ``weights_only=True``: a state dict, or what a training script or
            Lightning saves around one. Nothing else of it is imported or run.
        architecture : str or callable
            A registered name, or a function that returns the module.
        preprocess : Preprocess, default=None
            None is the registered architecture's own.
        name, version
            As in `from_module`.
        state_dict : str, default=None
            Which one, where the file holds several (such as averaged weights, "ema"): its key, or what the names of
            its tensors begin with. None is the only one.

        Raises
        ------
        WeightsError
            If the file is missing, damaged, does not fit, or holds several state dicts of which none is named.
        ParameterError
            If there is no such architecture, or it cannot take such images.
        """
        if preprocess is None:
            if not isinstance(architecture, str):
                raise ParameterError("Got no preprocess. Expected preprocess=featx.Preprocess(...) with a factory.")
            preprocess = get_architecture(architecture).weights[0].preprocess
        _check_preprocess(preprocess)
        recipe = FromCheckpoint(Path(path).expanduser().absolute(), architecture, preprocess.size, state_dict)
        encoder = cls(recipe, preprocess, name or Path(path).stem, version)
        if isinstance(architecture, str):
            known = get_architecture(architecture)  # knows classifiers that are no linear layers
            encoder.classifier, encoder.dim = known.classifier, known.dim or encoder.dim
        return encoder

    def save(self, path: str | Path) -> Encoder:
        """Write the weights as .safetensors; from now on this encoder pickles as that path."""
        self._recipe = save(self.module, self._recipe, Path(path).expanduser().absolute())
        return self

    @property
    def file(self) -> Path | None:
        """The state dict that it is read from, where a registered architecture's name is all else that it needs."""
        recipe = self._recipe
        return recipe.path if isinstance(recipe, FromCheckpoint) and isinstance(recipe.architecture, str) else None

    def with_file(self, file: Path) -> Encoder:
        """The same encoder, its `file` lying elsewhere."""
        return self._changed(_recipe=replace(self._recipe, path=file), _module=None)

    @property
    def module(self) -> torch.nn.Module:
        """The network, in eval mode and frozen."""
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
        """The network on the CPU, or on the meta device a copy without memory."""
        return self.module if device == "cpu" else skeleton(self.module).to(device)

    def spec(self, preprocess: Preprocess) -> EncoderSpec:
        """What its fingerprint is taken over."""
        return EncoderSpec(
            name=self.name,
            # Two encoders of one module may differ in the node that is their feature.
            architecture=f"{self.architecture}:{self.classifier or ''}",
            weights=self.weights,
            preprocess=preprocess,
            # Without a classifier the output's length may depend on the image's.
            dim=self.dim if self.classifier or preprocess.size == self.preprocess.size else None,
            licence="unknown",
            classifier=self.classifier,
            # A runtime folds and moves what it gets.
            build=lambda: copy.deepcopy(self.module),
        )

    def _changed(self, **attributes: Any) -> Encoder:
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
            f"Got preprocess={preprocess!r}. Expected a featx.Preprocess: nothing else tells what images the network "
            "was trained on."
        )
