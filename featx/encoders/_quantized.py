"""An encoder that is a graph of 8-bit integers in a file, not a torch module."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from featx.encoders._encoder import Encoder
from featx.encoders._spec import EncoderSpec
from featx.exceptions import ParameterError
from featx.images import Preprocess

if TYPE_CHECKING:
    import torch


class QuantizedEncoder(Encoder):
    """An `Encoder` in int8; `quantize_encoder` makes it.

    It runs in OpenVINO alone, and pickles as the path of its file.

    Parameters
    ----------
    file : Path
    digest : str
        SHA-256 of the file's content, in hex: its identity.
    spec : EncoderSpec
        What it was made of.
    dim : int
    """

    def __init__(self, file: Path, digest: str, spec: EncoderSpec, dim: int):
        self.file = file
        self.name = f"{spec.name}-int8"
        self.version = None
        self.preprocess = spec.preprocess
        self.dim = dim
        self.architecture = spec.architecture
        self.weights = f"int8:{digest}"
        self.classifier = None
        self._licence = spec.licence

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
                "they are part of its graph; quantise the encoder again with that preprocess."
            )
        return EncoderSpec(
            name=self.name,
            architecture=self.architecture,
            weights=self.weights,
            preprocess=preprocess,
            dim=self.dim,
            licence=self._licence,
            graph=self.file,
        )

    def __getstate__(self) -> dict:
        return dict(self.__dict__)

    def _refuse(self, why: str) -> NoReturn:
        raise ParameterError(f"The int8 encoder {self.name!r} {why}.")
