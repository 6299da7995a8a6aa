"""Read a bundle's folder, and compute: its graph in ONNX Runtime, and a scikit-learn head where it has one.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._manifest import Kind, read_manifest
from .._trusted_types import TRUSTED, check_indices, import_skops
from ..exceptions import BundleError, MissingDependencyError
from ._columns import UNKNOWN

# Format 3 has what a reader of 2 would misread: several encoders of one column (also), several images a row (rows).
KIND = Kind("bundle", "bundle.json", 3, "featx.export_bundle", BundleError, oldest=2)
GRAPH = "model.onnx"
HEAD = "head.skops"
METHODS = {"label": "predict", "probabilities": "predict_proba", "decision": "decision_function"}
_MISSING = ("nan", "None")
_SHOWN = 3


@dataclass(frozen=True)
class Bundle:
    """A bundle that has been read.

    Attributes
    ----------
    folder : Path
        Where it lies.
    manifest : dict
        The content of ``bundle.json``: inputs, classes, versions, scores at export, the digest of each file.
    """

    folder: Path
    manifest: dict[str, Any]

    def __fspath__(self) -> str:
        return str(self.folder)


def read_bundle(folder: str | Path) -> Bundle:
    """Read a bundle's manifest, and check every file that it lists.

    Parameters
    ----------
    folder : str or Path
        The bundle's folder.

    Returns
    -------
    Bundle
        The folder and its manifest.

    Raises
    ------
    BundleError
        If the folder is not a bundle, or one of another format, or if a file is missing or damaged; the message names
        it.
    """
    folder = Path(folder).expanduser().absolute()
    manifest = read_manifest(folder, KIND)
    needed = [GRAPH, HEAD] if manifest.get("head") == "sklearn" else [GRAPH]
    if absent := [name for name in needed if name not in manifest["files"]]:
        raise BundleError(f"{folder / KIND.file} is damaged: it does not list {absent[0]}. Copy the bundle again.")
    return Bundle(folder, manifest)


def list_encoders(inputs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """List the encoders of all columns of images, in the order of their embeddings."""
    images = [entry for entry in inputs if entry["kind"] == "image"]
    return [dict(encoder) for entry in images for encoder in (entry, *entry.get("also", ()))]


class Engine:
    """Compute outputs; one engine serves any number of threads.

    Parameters
    ----------
    bundle : Bundle
        The bundle.
    n_threads : int
        The number of threads that one call may use.
    """

    def __init__(self, bundle: Bundle, n_threads: int):
        self._manifest = bundle.manifest
        self._session = _open_session(bundle.folder / GRAPH, n_threads)
        self._lock = threading.Lock()
        self._head = load_head(bundle.folder / HEAD) if bundle.manifest["head"] == "sklearn" else None

    def run(
        self, tensors: Mapping[str, np.ndarray], values: Mapping[str, np.ndarray], names: Sequence[str]
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Compute outputs.

        Parameters
        ----------
        tensors : dict of str to ndarray
            Pixels, uint8 (n, size, size, 3), and which are absent, bool (n, 1); or, where rows have several images,
            which of the images are a row's own, int64 (n, most), -1 for none.
        values : dict of str to ndarray of shape (n, 1)
            The other columns, by name.
        names : sequence of {"label", "probabilities", "decision", "embedding"}
            The outputs to compute.

        Returns
        -------
        outputs : dict of str to ndarray
            Each with a row for each image.
        broken : ndarray of shape (n,), bool
            Rows for which the encoder gives NaN or infinite numbers though their images are there: their outputs mean
            nothing.
        """
        if self._head is None:
            feeds = {**tensors, **{self._tensor(name): as_tensor(column) for name, column in values.items()}}
            *outputs, embedding = self._session.run([*names, "embedding"], feeds)
            broken = self._broken(embedding, tensors)
        else:
            (embedding,) = self._session.run(["embedding"], tensors)
            broken = self._broken(embedding, tensors)
            embedding[broken] = 0  # a head may refuse the whole batch for one of them
            outputs = [self._ask_head(name, embedding, values) for name in names]
        dtype, width = self._manifest["dtype"], self._manifest.get("width")
        outputs = [polish(name, output, dtype, width) for name, output in zip(names, outputs, strict=True)]
        return dict(zip(names, outputs, strict=True)), broken

    def _broken(self, embedding: np.ndarray, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
        """Find rows with numbers that are not finite where an image is there."""
        broken: np.ndarray = np.zeros(len(embedding), bool)
        start = 0
        for encoder in list_encoders(self._manifest["inputs"]):
            finite = np.isfinite(embedding[:, start : start + encoder["dim"]])
            start += encoder["dim"]
            if encoder.get("rows"):
                there = tensors[encoder["rows"]] >= 0
                n = encoder.get("n_images")
                there = there[:, :n] if n else there.any(axis=1, keepdims=True)
            elif encoder["absent"]:
                there = ~tensors[encoder["absent"]]
            else:
                there = np.ones((len(embedding), 1), bool)
            broken |= (there & ~finite.reshape(*there.shape, -1).all(axis=2)).any(axis=1)
        return broken

    def _tensor(self, name: str) -> str:
        return next(entry["tensor"] for entry in self._manifest["inputs"] if entry["name"] == name)

    def _ask_head(self, name: str, embedding: np.ndarray, values: Mapping[str, np.ndarray]) -> np.ndarray:
        if name == "embedding":
            return embedding
        # scikit-learn changes the process's warning filters while it predicts, and two threads would mix them up.
        with self._lock:
            answer = getattr(self._head, METHODS[name])(head_input(embedding, values))
        return np.concatenate(answer, axis=1) if isinstance(answer, list) else answer  # of several outputs


def polish(name: str, output: Any, dtype: str, width: int | None = None) -> np.ndarray:
    """Bring an output into the shape and the dtype that scikit-learn gives.

    `dtype` is that of the labels, `width` the number of outputs where there are several.
    """
    output = np.asarray(output)
    if name == "label":
        return output.reshape(len(output) if width is None else (len(output), width)).astype(dtype)
    is_of_two = width is None and output.ndim == 2 and output.shape[1] <= 2
    return output[:, -1] if name == "decision" and is_of_two else output  # the second one's


def head_input(embedding: np.ndarray, values: Mapping[str, np.ndarray]) -> Any:
    """Make what a scikit-learn head takes: the embeddings, or a frame of them and the other columns."""
    if not values:
        return embedding
    import pandas as pd

    frame = pd.DataFrame(embedding, columns=[f"embedding_{i}" for i in range(embedding.shape[1])])
    # Without its dtype pandas takes an array of objects for text, and None for NaN.
    columns = {name: pd.Series(column[:, 0], dtype=column.dtype) for name, column in values.items()}
    return pd.concat([frame, pd.DataFrame(columns)], axis=1)


def plain(labels: np.ndarray) -> list[Any]:
    """Return labels as JSON has them: dates and durations as text, each in its coarsest unit."""
    if labels.dtype.kind == "M":
        return [str(np.datetime_as_string(label, unit="auto")) for label in labels]
    return labels.astype(str).tolist() if labels.dtype.kind == "m" else labels.tolist()


def foreign_types(file: Path) -> list[str]:
    """List what a head holds beside scikit-learn's types and functions, and what skops trusts anyway (arrays)."""
    return [name for name in import_skops().get_untrusted_types(file=file) if name not in TRUSTED]


def few(names: Sequence[str]) -> str:
    """List names; of many their number and the first of them."""
    if len(names) <= _SHOWN:
        return ", ".join(names)
    return f"{len(names)} types and functions ({', '.join(names[:_SHOWN])}, ...)"


def load_head(file: Path) -> Any:
    """Read a head without running code that came with it.

    Raises
    ------
    BundleError
        If it holds types from anywhere but scikit-learn, or trees whose indices point outside of them.
    """
    try:
        skops = import_skops()
    except ImportError as error:
        raise MissingDependencyError(
            "This bundle's head is a scikit-learn estimator, which needs scikit-learn and skops. "
            "Install them with: pip install -r requirements.txt"
        ) from error
    if foreign := foreign_types(file):
        raise BundleError(f"{file} holds {few(foreign)}. Expected types of scikit-learn alone.")
    head = skops.load(file, trusted=list(TRUSTED))
    try:
        check_indices(head)
    except Exception as error:  # an object of another kind may raise anything
        raise BundleError(f"{file} cannot be used: {error}.") from error
    return head


def _open_session(graph: Path, n_threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError(
            "A Predictor needs the package 'onnxruntime', which is not installed. "
            "Install it with: pip install onnxruntime"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    # Threads that spin while they wait take their processor from those that decode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # its errors are raised
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has a class for each of its codes, with no common root but this
        raise BundleError(f"{graph} cannot be run by ONNX Runtime {onnxruntime.__version__}: {error}") from error


def as_tensor(column: np.ndarray) -> np.ndarray:
    """Make a column of values what the graph takes: float32, int64 or text."""
    if column.dtype == np.float64:
        return column.astype(np.float32)
    if column.dtype == object:
        return np.array([[_as_text(value)] for value in column[:, 0]], object)
    return column


def _as_text(value: Any) -> str:
    """Make a category text, as in the graph, where a missing one is text too: no text stands for it by chance."""
    if isinstance(value, str):
        return UNKNOWN + value if value in _MISSING else value
    return "None" if value is None else "nan"
