"""Pixels and values -> outputs: the bundle's graph in ONNX Runtime, and a scikit-learn head where it has one.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._trusted import TRUSTED, check_indices
from ..exceptions import BundleError, MissingDependencyError
from ._bundle import GRAPH, HEAD, Bundle
from ._columns import UNKNOWN

_MISSING = ("nan", "None")
_SHOWN = 3
METHODS = {"label": "predict", "probabilities": "predict_proba", "decision": "decision_function"}


class Engine:
    """What computes; one serves any number of threads.

    Parameters
    ----------
    bundle : Bundle
    threads : int
        That one call may use.
    """

    def __init__(self, bundle: Bundle, threads: int):
        self._card = bundle.card
        self._session = _open_session(bundle.folder / GRAPH, threads)
        self._turn = threading.Lock()
        self._head = load_head(bundle.folder / HEAD) if bundle.card["head"] == "sklearn" else None

    def run(
        self, tensors: Mapping[str, np.ndarray], values: Mapping[str, np.ndarray], names: Sequence[str]
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Compute outputs.

        Parameters
        ----------
        tensors : dict of str to ndarray
            Pixels, uint8 (n, size, size, 3), and which are absent, bool (n, 1).
        values : dict of str to ndarray of shape (n, 1)
            The other columns, by name.
        names : sequence of {"label", "probabilities", "decision", "embedding"}

        Returns
        -------
        outputs : dict of str to ndarray
            A row an image in each.
        broken : ndarray of shape (n,), bool
            Rows that the encoder gives NaN or infinite numbers for, though their images are there: their outputs mean
            nothing.
        """
        if self._head is None:
            feeds = {**tensors, **{self._tensor(name): as_tensor(column) for name, column in values.items()}}
            *outputs, embedding = self._session.run([*names, "embedding"], feeds)
            broken = _broken(embedding, tensors)
        else:
            (embedding,) = self._session.run(["embedding"], tensors)
            broken = _broken(embedding, tensors)
            embedding[broken] = 0  # a head may refuse the whole batch for one of them
            outputs = [self._ask_head(name, embedding, values) for name in names]
        outputs = [polish(name, output, self._card["dtype"]) for name, output in zip(names, outputs, strict=True)]
        return dict(zip(names, outputs, strict=True)), broken

    def _tensor(self, name: str) -> str:
        return next(entry["tensor"] for entry in self._card["inputs"] if entry["name"] == name)

    def _ask_head(self, name: str, embedding: np.ndarray, values: Mapping[str, np.ndarray]) -> np.ndarray:
        if name == "embedding":
            return embedding
        # scikit-learn changes the process's warning filters while it predicts, and two threads would mix them up.
        with self._turn:
            return getattr(self._head, METHODS[name])(head_input(embedding, values))


def _broken(embedding: np.ndarray, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    absent = [tensor.any(axis=1) for tensor in tensors.values() if tensor.dtype == bool]
    return ~np.isfinite(embedding).all(axis=1) & ~np.any(absent or [np.zeros(len(embedding), bool)], axis=0)


def polish(name: str, output: Any, dtype: str) -> np.ndarray:
    """Bring an output into the shape and the dtype that scikit-learn gives; `dtype` is that of the labels."""
    output = np.asarray(output)
    if name == "label":
        return output.reshape(len(output)).astype(dtype)
    if name == "decision" and output.ndim == 2 and output.shape[1] <= 2:  # of two classes, the second one's
        return output[:, -1]
    return output


def head_input(embedding: np.ndarray, values: Mapping[str, np.ndarray]) -> Any:
    """What a scikit-learn head takes: the embeddings, or a frame of them and the other columns."""
    if not values:
        return embedding
    import pandas as pd

    frame = pd.DataFrame(embedding, columns=[f"embedding_{i}" for i in range(embedding.shape[1])])
    # Without its dtype pandas takes an array of objects for text, and None for NaN.
    columns = {name: pd.Series(column[:, 0], dtype=column.dtype) for name, column in values.items()}
    return pd.concat([frame, pd.DataFrame(columns)], axis=1)


def plain(labels: np.ndarray) -> list[Any]:
    """Labels as JSON has them: dates and durations as text, each in its own coarsest unit."""
    if labels.dtype.kind == "M":
        return [str(np.datetime_as_string(label, unit="auto")) for label in labels]
    return labels.astype(str).tolist() if labels.dtype.kind == "m" else labels.tolist()


def foreign_types(file: Path) -> list[str]:
    """What a head holds beside scikit-learn's own types and functions, and what skops trusts anyway (arrays)."""
    from skops import io

    return [name for name in io.get_untrusted_types(file=file) if name not in TRUSTED]


def few(names: Sequence[str]) -> str:
    """Names, or of many how many they are and the first of them."""
    if len(names) <= _SHOWN:
        return ", ".join(names)
    return f"{len(names)} types and functions ({', '.join(names[:_SHOWN])}, ...)"


def load_head(file: Path) -> Any:
    """Read a head without running code of its own.

    Raises
    ------
    BundleError
        If it holds types from anywhere but scikit-learn, or trees whose indices point outside of them.
    """
    try:
        from skops import io
    except ImportError as error:
        raise MissingDependencyError(
            "This bundle's head is a scikit-learn estimator, which needs scikit-learn and skops. "
            "Install them with: pip install -r requirements.txt"
        ) from error
    if foreign := foreign_types(file):
        raise BundleError(f"{file} holds {few(foreign)}. Expected types of scikit-learn alone.")
    head = io.load(file, trusted=list(TRUSTED))
    try:
        check_indices(head)
    except Exception as error:  # whatever an object says that is none of its kind
        raise BundleError(f"{file} cannot be used: {error}.") from error
    return head


def _open_session(graph: Path, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError(
            "A Predictor needs the package 'onnxruntime', which is not installed. "
            "Install it with: pip install onnxruntime"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that spin while they wait take their processor from those that decode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # its errors are raised
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has a class for each of its codes, with no common root but this
        raise BundleError(f"{graph} cannot be run by ONNX Runtime {onnxruntime.__version__}: {error}") from error


def as_tensor(column: np.ndarray) -> np.ndarray:
    if column.dtype == np.float64:
        return column.astype(np.float32)
    if column.dtype == object:
        return np.array([[_as_text(value)] for value in column[:, 0]], object)
    return column


def _as_text(value: Any) -> str:
    """A category in a graph, where a missing one is text too: no text stands for it by chance."""
    if isinstance(value, str):
        return UNKNOWN + value if value in _MISSING else value
    return "None" if value is None else "nan"
