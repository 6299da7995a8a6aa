"""Predictor: predict with a bundle by ONNX Runtime, without torch.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from .._machine import count_threads
from .._validate import check_integer
from ..exceptions import (
    BundleError,
    ImageReadError,
    ImageWarning,
    InputError,
    NonFiniteEmbeddingError,
    ParameterError,
    are_the_rule,
    list_rows,
)
from ..images._cell import is_missing
from ..images._decode import DecodeError
from ..images._pixel_path import PixelPath
from ..images._preprocess import Preprocess
from ._bundle import Bundle, Engine, plain, read_bundle
from ._columns import Columns, read_columns

_POLICIES = ("raise", "nan")
_BATCH_SIZE = 4
_BROKEN = "NaN or infinite numbers from the network"


class Predictor:
    """Predict with a bundle that `export_bundle` wrote.

    Inside a bundle, ``from predictor import Predictor`` is this very class, with
    nothing but its ``requirements.txt`` installed. It is
    pickled as its folder, which is opened again at the first prediction.

    Parameters
    ----------
    folder : str, Path or None, default=None
        The bundle's folder; None is the one that this file lies in.
    n_jobs : int, default=-1
        Number of threads that decode and predict; -1 is all processors that this process may use.
    on_error, on_missing : {"raise", "nan"}, default=None
        What becomes of images that cannot be read and of missing ones, as for
        `ImageEncoder`; None is what the exported pipeline had.
    max_pixels : int, default=None
        Larger images are refused before they are decoded; None is the pipeline's limit.

    Attributes
    ----------
    manifest : dict
        The content of ``bundle.json``: inputs, classes, versions, scores at export.
    classes_ : ndarray or None
        The class labels; None for regression.

    Raises
    ------
    BundleError
        If a file does not match its digest, is missing, or has another format.
    MissingDependencyError
        If a package that the bundle needs is not installed: ONNX Runtime, or what `export_bundle` names.

    Examples
    --------
    >>> import featx
    >>> predictor = featx.Predictor("bundle/")  # doctest: +SKIP
    >>> predictor.predict(["new.jpg"])  # doctest: +SKIP
    array(['cat'], dtype='<U3')
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        n_jobs: int = -1,
        on_error: str | None = None,
        on_missing: str | None = None,
        max_pixels: int | None = None,
    ):
        bundle = read_bundle(Path(__file__).parents[2] if folder is None else folder)
        self._set_up(bundle, n_jobs, on_error, on_missing, max_pixels)

    @classmethod
    def _of(cls, bundle: Bundle) -> Predictor:
        """Make a Predictor of a bundle that is being written: its files have no digests yet."""
        predictor = cls.__new__(cls)
        predictor._set_up(bundle)
        return predictor

    def _set_up(
        self,
        bundle: Bundle,
        n_jobs: int = -1,
        on_error: str | None = None,
        on_missing: str | None = None,
        max_pixels: int | None = None,
    ) -> None:
        self.bundle = bundle
        self.n_jobs = n_jobs
        self._n_threads = count_threads(n_jobs)
        image = self.manifest["image"]
        self.on_error = _policy("on_error", on_error, image["on_error"])
        self.on_missing = _policy("on_missing", on_missing, image["on_missing"])
        self.max_pixels = check_integer("max_pixels", image["max_pixels"] if max_pixels is None else max_pixels)
        classes = self.manifest["classes"]
        self.classes_ = None if classes is None else np.array(classes["values"], classes["dtype"])
        self._images = [entry for entry in self.manifest["inputs"] if entry["kind"] == "image"]
        self._paths = {entry["name"]: _pixel_path(entry, self.max_pixels) for entry in self._images}
        self._opened: tuple[int, Engine] | None = self._open(bundle)

    @property
    def manifest(self) -> dict[str, Any]:
        """The content of ``bundle.json``."""
        return self.bundle.manifest

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._n_threads = count_threads(self.n_jobs)  # -1 is all processors of this machine

    def __deepcopy__(self, memo: dict[int, Any]) -> Predictor:
        # An engine changes nothing, and serves any number of threads.
        new = type(self).__new__(type(self))
        new.__dict__.update(self.__dict__)
        return new

    def _open(self, bundle: Bundle) -> tuple[int, Engine]:
        return os.getpid(), Engine(bundle, self._n_threads)

    @property
    def _engine(self) -> Engine:
        """The engine; opened again after pickling, and in a forked process, which has no threads of its parent."""
        if self._opened is None or self._opened[0] != os.getpid():
            bundle = read_bundle(self.bundle.folder)
            if bundle.manifest["sha256"] != self.manifest["sha256"]:
                raise BundleError(
                    f"{bundle.folder} is not the bundle that this Predictor was made of: another one lies there now. "
                    "Make a new Predictor of it."
                )
            self._opened = self._open(bundle)
        return self._opened[1]

    def predict(self, X: Any) -> np.ndarray:
        """Predict labels, or values.

        Parameters
        ----------
        X : container of images, or dict of columns, or frame
            What the exported pipeline takes: paths, bytes, PIL images or uint8
            arrays; a table where the pipeline has several columns.

        Returns
        -------
        ndarray of shape (n,)
            Labels, in their own dtype; floats for regression.

        Raises
        ------
        ImageReadError
            If rows cannot be used and the policy is "raise", or unreadable ones are plainly the rule; it lists them
            all.
        NonFiniteEmbeddingError
            If the network gives NaN or infinite numbers, whatever the policy is.
        InputError
            If `X` is not such a container, or lacks a column.
        """
        return self.outputs(X, ["label"])["label"]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict each class's probability, (n, n_classes), in the order of `classes_`; errors as in `predict`."""
        return self.outputs(X, ["probabilities"])["probabilities"]

    def decision_function(self, X: Any) -> np.ndarray:
        """Compute decision values, (n,) for two classes, else (n, n_classes); errors as in `predict`."""
        return self.outputs(X, ["decision"])["decision"]

    def embed(self, X: Any) -> np.ndarray:
        """Embed images: (n, dim) float32, as the pipeline's ImageEncoder does; errors as in `predict`."""
        return self.outputs(X, ["embedding"])["embedding"]

    def predict_table(self, X: Any) -> list[dict[str, Any]]:
        """Predict row by row, whatever is wrong with some of them.

        Parameters
        ----------
        X : container of images, or dict of columns, or frame
            What `predict` takes.

        Returns
        -------
        list of dict
            One for each row: ``image`` (a path, or its position), ``label`` (a date as ISO
            text), ``probability`` (of that label; None where the head has none) and
            ``error`` ("" where all is well; else label and probability are None,
            unless the policy is "nan"). `pandas.DataFrame` takes it as it is.
        """
        names = ["label", *(["probabilities"] if "probabilities" in self.manifest["outputs"] else [])]
        columns = read_columns(X, self.manifest["inputs"])
        if not len(columns):
            return []
        outputs, reasons, unusable = self.run(columns, names)
        classes = {} if self.classes_ is None else {label: j for j, label in enumerate(plain(self.classes_))}
        labels = plain(outputs["label"])
        rows = []
        for i in range(len(columns)):
            source = columns.first.sources[i]
            row: dict[str, Any] = {"image": str(source) if isinstance(source, str | Path) else i}
            bad = i in unusable
            row["label"] = None if bad else labels[i]
            # Not the largest: a tuned threshold may choose another label.
            known = not bad and "probabilities" in outputs
            row["probability"] = float(outputs["probabilities"][i, classes[row["label"]]]) if known else None
            rows.append({**row, "error": reasons.get(i, "")})
        return rows

    def outputs(self, X: Any, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Compute several outputs at once.

        Parameters
        ----------
        X : container of images, or dict of columns, or frame
            What `predict` takes.
        names : sequence of {"label", "probabilities", "decision", "embedding"}
            The outputs to compute.

        Returns
        -------
        dict of str to ndarray
            Each output by its name, with a row for each row of `X`.

        Raises
        ------
        ParameterError
            If the bundle has no such output.
        ImageReadError, NonFiniteEmbeddingError, InputError
            As in `predict`.
        """
        known = ["embedding", *self.manifest["outputs"]]
        if absent := [name for name in names if name not in known]:
            raise ParameterError(f"This bundle gives no {', '.join(absent)}. It gives {', '.join(known)}.")
        columns = read_columns(X, self.manifest["inputs"])
        if not len(columns):
            raise InputError("Got no rows. Expected at least one.")
        outputs, reasons, unusable = self.run(columns, names)
        first = columns.first
        rows = [(i, first.label(i), first.sources[i], reasons[i]) for i in sorted(reasons)]
        if broken := [row for row in rows if row[3] == _BROKEN]:
            name = ", ".join(entry["encoder"]["name"] for entry in self._images)
            raise NonFiniteEmbeddingError(name, "float32", broken, len(columns))
        if unusable:
            raise ImageReadError([row for row in rows if row[0] in unusable], len(columns), None)
        missing = sum(map(is_missing, first.sources))
        if are_the_rule(len(rows) - sum(is_missing(row[2]) for row in rows), len(columns) - missing):
            raise ImageReadError(rows, len(columns), None, stopped_after=len(columns))
        if rows:
            warnings.warn("\n".join(["Images became NaN rows:", *list_rows(rows)]), ImageWarning, stacklevel=3)
        return outputs

    def run(self, columns: Columns, names: Sequence[str]) -> tuple[dict[str, np.ndarray], dict[int, str], set[int]]:
        """Compute outputs, whatever is wrong with some rows.

        Parameters
        ----------
        columns : Columns
            One row at least.
        names : sequence of str
            The outputs to compute.

        Returns
        -------
        outputs : dict of str to ndarray
            Each output by its name.
        reasons : dict of int to str
            Why rows are bad.
        unusable : set of int
            Those among them whose outputs mean nothing.
        """
        chunks = [range(i, min(i + _BATCH_SIZE, len(columns))) for i in range(0, len(columns), _BATCH_SIZE)]
        engine = self._engine
        if len(chunks) == 1:
            parts = [self._run_chunk(engine, columns, chunks[0], names)]
        else:
            # A thread decodes a few images, then has them predicted: there is no queue of pixels and no waiting.
            with ThreadPoolExecutor(self._n_threads, thread_name_prefix="featx") as pool:
                parts = list(pool.map(lambda chunk: self._run_chunk(engine, columns, chunk, names), chunks))
        reasons, unusable = dict(columns.reasons), set(columns.reasons)
        for _, bad in parts:
            reasons |= {row: reason for row, (_, reason) in bad.items()}
            unusable |= {row for row, (policy, _) in bad.items() if policy == "raise"}
        return {name: np.concatenate([outputs[name] for outputs, _ in parts]) for name in names}, reasons, unusable

    def _run_chunk(
        self, engine: Engine, columns: Columns, chunk: range, names: Sequence[str]
    ) -> tuple[dict[str, np.ndarray], dict[int, tuple[str, str]]]:
        """Compute outputs of some rows; of bad ones return the policy that holds and the reason."""
        tensors: dict[str, np.ndarray] = {}
        bad: dict[int, tuple[str, str]] = {}
        for entry in self._images:
            name, size = entry["name"], entry["preprocess"]["size"]
            pixels = np.zeros((len(chunk), size, size, 3), np.uint8)
            absent: np.ndarray = np.zeros((len(chunk), 1), bool)
            for j, row in enumerate(chunk):
                try:
                    pixels[j] = self._read(columns.images[name].sources[row], entry)
                except _Unusable as error:
                    absent[j] = True
                    bad.setdefault(row, (error.policy, error.reason))
            tensors[entry["tensor"]] = pixels
            if entry["absent"]:
                tensors[entry["absent"]] = absent
        values = {name: column[chunk.start : chunk.stop] for name, column in columns.values.items()}
        outputs, broken = engine.run(tensors, values, names)
        for j in np.flatnonzero(broken).tolist():
            bad.setdefault(chunk[j], ("raise", _BROKEN))
        return outputs, bad

    def _read(self, source: Any, entry: dict[str, Any]) -> np.ndarray:
        """Return the pixels of a source, or raise `_Unusable`."""
        if is_missing(source):
            raise _Unusable(self.on_missing, f"missing ({source!r})")
        try:
            return self._paths[entry["name"]].pixels(source)
        except DecodeError as error:
            raise _Unusable(self.on_error, str(error)) from error


def _pixel_path(entry: dict[str, Any], max_pixels: int) -> PixelPath:
    decode = entry.get("decode")
    if decode is None:  # only what is decoded fast has it, and had not at first
        decode = "exact" if entry["at_least"] is None else "fast:1"
    return PixelPath(Preprocess(**entry["preprocess"]), decode, max_pixels)


class _Unusable(Exception):  # noqa: N818 - not yet an error: the policy may make it a NaN row
    """An image that cannot be used: the policy that holds, and the reason."""

    def __init__(self, policy: str, reason: str):
        super().__init__(policy, reason)
        self.policy = policy
        self.reason = reason


def _policy(name: str, value: str | None, exported: str) -> str:
    if value not in (None, *_POLICIES):
        raise ParameterError(f"Got {name}={value!r}. Expected one of {', '.join(map(repr, _POLICIES))}.")
    if value == "nan" != exported:
        raise ParameterError(f"Got {name}='nan', but the pipeline was exported with 'raise': it has no rule for NaN.")
    return value or exported
