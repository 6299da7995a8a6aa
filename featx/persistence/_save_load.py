"""save and load: a model as a folder, written whole or not at all, and read back."""

from __future__ import annotations

import copy
import pickle
import shutil
import sys
from collections.abc import Collection, Hashable, Iterable, Sequence
from pathlib import Path
from types import FunctionType
from typing import Any

import sklearn
from sklearn.base import BaseEstimator

from featx._atomic import atomic_folder
from featx._image_encoder import ImageEncoder, as_fitted_encoders, extraction_of
from featx._manifest import read_manifest, write_manifest
from featx._rebuild import rebuild
from featx._version import __version__
from featx._warnings import warn
from featx.encoders import DECODES, Encoder, EncoderSpec, GraphEncoder, hash_file, published_weights
from featx.evaluation import ModelScores, as_model_scores
from featx.exceptions import FeatxWarning, ModelError, ParameterError
from featx.persistence import _format
from featx.persistence._format import KIND, MODEL, WEIGHTS, dump, keep_published, place_published, versions
from featx.text import TextEncoder, TextSpec, spec_of


def save(model: BaseEstimator, folder: str | Path, *, scores: Any = None) -> None:
    """Save a model as a folder that loads on another machine, with its encoders' weights.

    The model is not changed. In the folder ``cache=`` of a folder or a store is True, ``device=`` of a GPU
    ``"auto"``, ``memory=`` None. A network that only its author's code can build (`Encoder.from_module`,
    `Encoder.from_factory`, timm's) is kept as an OpenVINO graph, which runs on the CPU. Embeddings are not in it.

    Parameters
    ----------
    model : estimator
        An estimator of scikit-learn, fitted or not: a Pipeline, a search, an `ImageEncoder` alone. A fitted
        `FineTuneClassifier` is saved as what its ``to_pipeline()`` gives, a fitted `TargetAwareEncoder` as what its
        ``to_encoder()`` gives.
    folder : str or Path
        The folder to make, in a folder that exists; a model that was saved there is replaced.
    scores : ModelScores or scores of folds, default=None
        What is known of how good it is, as for `export_bundle`; it is kept in ``model.json``.

    Raises
    ------
    ModelError
        If the folder cannot be that, or holds something else; or if a part of the model cannot be saved, such as a
        lambda, or ``layers=`` of an encoder that becomes a graph.
    ParameterError
        If `model` is not an estimator, or a parameter of an encoder is not accepted.
    WeightsError
        If weights are missing, or not those that the encoder was made with.
    ConversionError
        If OpenVINO cannot take a network.

    See Also
    --------
    load : Load what `save` wrote.

    Notes
    -----
    What a grid names by a str (another encoder, a path of weights or of a cache) stays that str: its weights are not
    kept, and the search cannot be repeated on a machine that lacks them.

    Examples
    --------
    >>> import featx, tempfile
    >>> folder = tempfile.mkdtemp() + "/model"
    >>> featx.save(featx.image_pipeline("logistic"), folder)
    >>> list(featx.load(folder).named_steps)
    ['encoder', 'scaler', 'head']
    """
    if isinstance(model, type) or not hasattr(model, "get_params"):
        raise ParameterError(f"Got model={model!r}. Expected a scikit-learn estimator (an instance).")
    known = as_model_scores(scores)
    with atomic_folder(Path(folder).expanduser().resolve(), marker=KIND.file, error=ModelError) as new:
        try:
            model = model.to_pipeline() if hasattr(model, "to_pipeline") else model
            model = as_fitted_encoders(model)
            packer = _Packer(model, new)
            packed = rebuild(model, packer)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ModelError(f"{type(model).__name__} cannot be saved: {error}") from error
        dump(packed, new / MODEL)
        content = {"versions": versions(), "encoders": packer.encoders, "notes": packer.notes}
        content |= {} if known is None else {"scores": known.to_dict()}
        write_manifest(new, KIND, content, __version__)


class _Packer:
    """Replace a model's objects by what another machine can have in their place, and keep the files that these need.

    Parameters
    ----------
    model : estimator
        The model.
    folder : Path
        The folder in which weights are kept.

    Attributes
    ----------
    encoders : list of dict
        Name, weights, file, fingerprints, license and kind of pixels of each encoder of the model.
    notes : list of str
        The parameters that have another value in the folder.
    """

    def __init__(self, model: Any, folder: Path):
        self.encoders: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self._model = model
        self._folder = folder
        self._packed: dict[Hashable, Encoder] = {}

    def __call__(self, value: Any) -> Any:
        if isinstance(value, FunctionType | type):
            self._check_importable(value)
        elif isinstance(value, ImageEncoder):
            return self._pack_image_encoder(value)
        elif isinstance(value, TextEncoder):
            return self._pack_text_encoder(value)
        elif isinstance(value, Encoder):
            return self._pack_encoder(value, (value.spec(value.preprocess),))
        elif isinstance(value, BaseEstimator) and getattr(value, "memory", None) is not None:
            return rebuild(self._with(value, memory=None), self)
        elif "torch" in sys.modules and isinstance(value, sys.modules["torch"].Tensor):
            return value.detach().cpu().numpy()  # a head that was trained on a GPU predicts on any machine
        return value

    def _check_importable(self, value: Any) -> None:
        if value.__module__ != "__main__" and "<" not in value.__qualname__:
            return
        parameters = self._model.get_params().items()
        steps = [repr(name) for name, given in parameters if value is given or value is type(given)]
        raise ModelError(
            f"{value.__qualname__!r} of {', '.join(steps) or type(self._model).__name__} cannot be saved: nobody else "
            f"could import it. Expected a {'class' if isinstance(value, type) else 'function'} of a module; move it "
            "into one that the reader has too."
        )

    def _pack_image_encoder(self, encoder: ImageEncoder) -> ImageEncoder:
        specs, changes = extraction_of(encoder).specs, _without_this_machine(encoder)
        if isinstance(encoder.encoder, Encoder):
            changes["encoder"] = self._pack_encoder(encoder.encoder, specs)
        else:
            changes |= self._keep_named(encoder, encoder.encoder, specs)
        if isinstance(changes.get("encoder"), GraphEncoder):
            if encoder.runtime == "torch":
                changes["runtime"] = "auto"
            if encoder.views is not None:
                changes |= {"views": None, "preprocess": "default"}  # they are the graph's own
        return self._with(encoder, **changes)

    def _pack_text_encoder(self, encoder: TextEncoder) -> TextEncoder:
        """Copy the files of a text model that count, into a folder named by its fingerprint."""
        spec = spec_of(encoder)
        kept = f"{WEIGHTS}/{spec.fingerprint()[:16]}"
        for name, _ in spec.files:
            (self._folder / kept / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(spec.folder / name, self._folder / kept / name)
        self._list([spec], kept)
        return self._with(encoder, encoder=kept, **_without_this_machine(encoder))

    def _with(self, estimator: BaseEstimator, **changes: Any) -> BaseEstimator:
        changed = copy.copy(estimator)
        for name, value in changes.items():
            setattr(changed, name, value)
            note = f"{type(estimator).__name__}: {name} is {value!r}, for it was this machine's own"
            if name in ("cache", "device", "memory", "runtime") and note not in self.notes:
                self.notes.append(note)
        return changed

    def _keep_named(self, encoder: ImageEncoder, name: str, specs: Sequence[EncoderSpec]) -> dict[str, Any]:
        published = published_weights(name, encoder.weights)
        file: str | None = None
        changes: dict[str, Any] = {}
        if published is None and specs[0].weights.startswith("sha256:"):
            file = changes["weights"] = self._keep(Path(encoder.weights).expanduser())
        elif published is not None and published.file is not None:
            file = keep_published(published, self._folder)
        elif published is not None and not published.identity.startswith("sha256:"):
            # What only its package knows how to fetch.
            return {"encoder": self._graph(specs, specs[0].fingerprint()), "weights": "default"}
        self._list(specs, file)
        return changes

    def _pack_encoder(self, encoder: Encoder, specs: Sequence[EncoderSpec]) -> Encoder:
        if encoder.file is None:
            return self._graph(specs, (id(encoder), specs[0].preprocess, specs[0].views))
        if id(encoder) not in self._packed:
            self._packed[id(encoder)] = self._keep_file(encoder, encoder.file, specs)
        return self._packed[id(encoder)]

    def _keep_file(self, encoder: Encoder, file: Path, specs: Sequence[EncoderSpec]) -> Encoder:
        kept = self._keep(file)
        self._list(specs, kept)
        copied = encoder.with_file(self._folder / kept)
        if isinstance(copied, GraphEncoder):
            from featx.runtimes import load_graph

            load_graph([copied.spec(copied.preprocess)])
        else:
            copied.module  # noqa: B018 - raises if the file is no longer the one that it was made with
        return encoder.with_file(kept)  # type: ignore[arg-type]  # skops has no paths

    def _graph(self, specs: Sequence[EncoderSpec], key: Hashable) -> Encoder:
        """Keep a network whose code is not featx's as the graph that it is converted to, once for each key."""
        self._check_graph(specs)
        if key not in self._packed:
            self._packed[key] = self._convert(specs)
        return self._packed[key]

    def _check_graph(self, specs: Sequence[EncoderSpec]) -> None:
        spec = specs[0]
        if len(specs) > 1 or spec.layer != "feature" or spec.precision != "float32":
            raise ModelError(
                f"The encoder {spec.name!r} can be saved with its own feature in float32 alone, as a graph: got "
                f"layers={[spec.layer for spec in specs]} and precision={spec.precision!r}. Leave them out, or make "
                "the encoder with featx.Encoder.from_checkpoint(path, NAME) of a registered architecture."
            )

    def _convert(self, specs: Sequence[EncoderSpec]) -> GraphEncoder:
        from featx.runtimes import load_graph, write_graph

        graph = load_graph(specs)
        file, digest = write_graph(self._folder / WEIGHTS / "network", graph, name_by_content=True)
        name = file.relative_to(self._folder).as_posix()
        self._list(specs, name)
        dim = graph.outputs[0].get_partial_shape()[1].get_length()
        return GraphEncoder(name, digest, specs[0], dim)  # type: ignore[arg-type]  # skops has no paths

    def _keep(self, file: Path) -> str:
        """Copy a file of weights, named by its content; return its name, a str, for skops has no paths."""
        name = f"{WEIGHTS}/{hash_file(file.absolute())[:16]}{file.suffix}"
        (self._folder / WEIGHTS).mkdir(exist_ok=True)
        shutil.copyfile(file, self._folder / name)
        return name

    def _list(self, specs: Sequence[EncoderSpec | TextSpec], file: str | None) -> None:
        entry = {
            "name": specs[0].name,
            "weights": specs[0].weights,
            "file": file,
            "fingerprints": [spec.fingerprint() for spec in specs],
            "license": specs[0].license,
        }
        if isinstance(specs[0], EncoderSpec) and specs[0].decode != "exact":
            entry["decode"] = DECODES[specs[0].decode]
        if entry not in self.encoders:
            self.encoders.append(entry)


def _without_this_machine(encoder: ImageEncoder | TextEncoder) -> dict[str, Any]:
    """Return what an encoder has in the place of this machine's cache folder and GPU."""
    changes = {} if isinstance(encoder.cache, bool | None) else {"cache": True}
    return {**changes, "device": "auto"} if "cuda" in str(encoder.device) else changes


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
        If another version of scikit-learn saved it, or if ``decode="fast"`` gave other pixels when it was saved.

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
    pixels = {entry.get("decode") for entry in manifest.get("encoders", ())}
    model = rebuild(model, _Unpacker(folder, manifest["files"], pixels))
    saved = manifest.get("versions", {}).get("scikit-learn")
    if saved != sklearn.__version__:
        warn(
            f"{folder} was saved with scikit-learn {saved}, this is {sklearn.__version__}: check its predictions, or "
            f"install scikit-learn=={saved}.",
            FeatxWarning,
        )
    return model


def read_scores(folder: str | Path) -> ModelScores | None:
    """Read what a model's folder says of how good it is; None where it says nothing.

    Raises
    ------
    ModelError
        As `load`.
    """
    return as_model_scores(read_manifest(Path(folder).expanduser().absolute(), KIND).get("scores"))


class _Unpacker:
    """Replace encoders by those that have the folder's files."""

    def __init__(self, folder: Path, files: Collection[str], pixels: Collection[str | None]):
        self._folder = folder
        self._files = files
        self._pixels = pixels

    def __call__(self, value: Any) -> Any:
        if isinstance(value, Encoder):
            return value.with_file(Path(self._find(value.file)))
        if isinstance(value, ImageEncoder):
            self._check_pixels(value)
        if isinstance(value, ImageEncoder) and isinstance(value.encoder, str):
            return self._find_weights(value, value.encoder)
        if isinstance(value, TextEncoder):
            return self._find_model(value)
        return value

    def _check_pixels(self, encoder: ImageEncoder) -> None:
        """Warn where pixels are no longer those of the saved model: once, only those of "fast" were others."""
        if encoder.decode != "exact" and DECODES[encoder.decode] not in self._pixels:
            warn(
                f"{self._folder} was saved when decode={encoder.decode!r} gave other pixels: embeddings differ by 2 to "
                "3 %. Fit the model again, or check its predictions.",
                FeatxWarning,
            )

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
