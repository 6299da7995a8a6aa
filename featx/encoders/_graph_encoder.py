"""An encoder that is an OpenVINO graph in a file, not a torch module."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from featx.encoders._encoder import Encoder
from featx.encoders._spec import EncoderSpec
from featx.exceptions import ParameterError
from featx.images import Preprocess

if TYPE_CHECKING:
    import torch


class GraphEncoder(Encoder):
    """An `Encoder` that runs in OpenVINO alone, and pickles as the path of its file.

    `quantize_encoder` makes such ones in int8; `featx.save` makes one of a network that only its author's code builds.

    Parameters
    ----------
    file : Path
    digest : str
        SHA-256 of the file's content, in hex.
    spec : EncoderSpec
        What it is: its name, identities, preprocessing and licence.
    dim : int
    """

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
        self._licence = spec.licence

    @property
    def file(self) -> Path:
        """Where the graph lies."""
        return self._file

    def with_file(self, file: Path) -> GraphEncoder:
        """The same encoder, its graph lying elsewhere."""
        return self._changed(_file=file)

    @property
    def module(self) -> torch.nn.Module:
        """There is none."""
        self._refuse("has no torch module")

    def save(self, path: str | Path) -> NoReturn:
        """It lies in a file already, `file`."""
        self._refuse(f"lies in a file already, {self.file}: copy that")

    def spec(self, preprocess: Preprocess) -> EncoderSpec:
        """What its fingerprint is taken over."""
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
            licence=self._licence,
            graph=self.file,
            graph_digest=self.digest,
        )

    def __getstate__(self) -> dict:
        return dict(self.__dict__)

    def _refuse(self, why: str) -> NoReturn:
        raise ParameterError(f"The encoder {self.name!r}, an OpenVINO graph, {why}.")
