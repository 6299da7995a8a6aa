"""load: read a model that `save` wrote."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sklearn

from featx._image_encoder import ImageEncoder
from featx._manifest import read_manifest
from featx._rebuild import rebuild
from featx._warnings import warn
from featx.encoders import Encoder, published_weights
from featx.exceptions import FeatxWarning, ModelError
from featx.persistence import _format
from featx.persistence._format import KIND, MODEL, place_published
from featx.text import TextEncoder

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


def load(folder: str | Path, trusted: Iterable[str | type] = ()) -> BaseEstimator:
    """Load a model that `save` wrote: offline, without a GPU, and without running code that came with it.

    Parameters
    ----------
    folder : str or Path
        The model's folder. It is still needed afterwards where it holds weights, and may be moved between two loads.
    trusted : iterable of str or type, default=()
        Types to allow beside those of featx and scikit-learn, which are allowed already; an error lists the others
        that a model has. Name them only if you trust who saved it.

    Returns
    -------
    estimator
        The model, which predicts what the saved one did. Published weights are put where their library looks for them.

    Warns
    -----
    FeatxWarning
        If another version of scikit-learn saved it.

    Raises
    ------
    ModelError
        If `save` did not write the folder, or wrote it in another format; if it is damaged or incomplete, or holds
        types that are not trusted.
    MissingDependencyError
        If an encoder's weights come with a package that is not installed.

    See Also
    --------
    save : Write a model's folder.

    Examples
    --------
    >>> import featx, tempfile
    >>> folder = tempfile.mkdtemp() + "/encoder"
    >>> featx.save(featx.ImageEncoder("resnet18", weights="random:7"), folder)
    >>> featx.load(folder).weights
    'random:7'
    """
    folder = Path(folder).expanduser().absolute()
    manifest = read_manifest(folder, KIND)
    if MODEL not in manifest["files"]:
        raise ModelError(f"{folder / KIND.file} lists no {MODEL}. Have the model saved again.")
    model = _format.load(folder / MODEL, trusted)
    model = rebuild(model, _Unpacker(folder, manifest["files"]))
    saved = manifest.get("versions", {}).get("scikit-learn")
    if saved != sklearn.__version__:
        warn(
            f"{folder} was saved with scikit-learn {saved}, this is {sklearn.__version__}: check its predictions, or "
            f"install scikit-learn=={saved}.",
            FeatxWarning,
        )
    return model


class _Unpacker:
    """Replace encoders by those that have the folder's files."""

    def __init__(self, folder: Path, files: Collection[str]):
        self._folder = folder
        self._files = files

    def __call__(self, value: Any) -> Any:
        if isinstance(value, Encoder):
            return value.with_file(Path(self._find(value.file)))
        if isinstance(value, ImageEncoder) and isinstance(value.encoder, str):
            return self._find_weights(value, value.encoder)
        if isinstance(value, TextEncoder):
            return self._find_model(value)
        return value

    def _find_model(self, encoder: TextEncoder) -> TextEncoder:
        if not any(name.startswith(f"{encoder.encoder}/") for name in self._files):
            raise ModelError(f"{self._folder / KIND.file} lists no file of the text model {encoder.encoder!r}.")
        encoder = copy.copy(encoder)
        encoder.encoder = str(self._folder / encoder.encoder)
        return encoder

    def _find_weights(self, encoder: ImageEncoder, name: str) -> ImageEncoder:
        if encoder.weights in self._files:
            encoder = copy.copy(encoder)
            encoder.weights = self._find(encoder.weights)
        elif not str(encoder.weights).startswith("random"):
            self._place(encoder, name)
        return encoder

    def _place(self, encoder: ImageEncoder, name: str) -> None:
        published = published_weights(name, encoder.weights)
        if published is None:
            self._find(encoder.weights)
        else:
            place_published(published, self._folder)

    def _find(self, name: object) -> str:
        if not isinstance(name, str) or name not in self._files:
            raise ModelError(f"An encoder's file {name!r} is none of those that {self._folder / KIND.file} lists.")
        return str(self._folder / name)
