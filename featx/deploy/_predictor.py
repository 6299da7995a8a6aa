"""Predictor: predict with a bundle by ONNX Runtime, without torch.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Sequence
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
from ..images._several import members_of
from ._bundle import Bundle, Engine, list_encoders, plain, read_bundle
from ._columns import Columns, read_columns
from ._tensors import BROKEN, Bad, Tensor, divide

_POLICIES = ("raise", "nan")


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
    classes_ : ndarray, list of ndarray or None
        The class labels, of several outputs each; None for regression.

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
        self.classes_ = (
            [np.array(part["values"], part["dtype"]) for part in classes]
            if isinstance(classes, list)
            else None
            if classes is None
            else np.array(classes["values"], classes["dtype"])
        )
        own = {"on_error": on_error, "on_missing": on_missing}
        defaults = {name: image[name] for name in own}  # of a bundle whose columns have none of their own
        given = {name: policy for name, policy in own.items() if policy is not None}
        encoders = [{**defaults, **encoder, **given} for encoder in list_encoders(self.manifest["inputs"])]
        self._encoders = [encoder["encoder"]["name"] for encoder in encoders]
        tensors = dict.fromkeys(encoder["tensor"] for encoder in encoders)
        self._tensors = [Tensor([e for e in encoders if e["tensor"] == name], self.max_pixels) for name in tensors]
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
        X : container of images, or dict of columns, or frame, or list of dicts
            What the exported pipeline takes: paths, bytes, PIL images or uint8
            arrays, or lists of them where a row has several; a table where the pipeline has several columns, be it
            a dict for each row.

        Returns
        -------
        ndarray of shape (n,), or (n, n_outputs) of several
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

    def predict_proba(self, X: Any) -> np.ndarray | list[np.ndarray]:
        """Predict each class's probability, (n, n_classes), in the order of `classes_`; errors as in `predict`.

        Where `classes_` is a list, it is a list of such arrays, as in scikit-learn.
        """
        probabilities = self.outputs(X, ["probabilities"])["probabilities"]
        if not isinstance(self.classes_, list):
            return probabilities
        return np.split(probabilities, np.cumsum([len(classes) for classes in self.classes_])[:-1], axis=1)

    def decision_function(self, X: Any) -> np.ndarray:
        """Compute decision values, (n,) for two classes, else (n, n_classes); errors as in `predict`."""
        return self.outputs(X, ["decision"])["decision"]

    def embed(self, X: Any) -> np.ndarray:
        """Embed rows: (n, dim) float32, side by side what the pipeline's encoders give; errors as in `predict`."""
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
            text; a list of several outputs), ``probability`` (of that label; None where the head has none, or
            several outputs) and
            ``error`` ("" where all is well; else label and probability are None,
            unless the policy is "nan"). `pandas.DataFrame` takes it as it is.

        Raises
        ------
        ParameterError
            If the bundle only embeds.
        """
        is_probable = "probabilities" in self.manifest["outputs"] and "width" not in self.manifest
        names = ["label", *(["probabilities"] if is_probable else [])]
        self._check_outputs(names)
        columns = read_columns(X, self.manifest["inputs"])
        if not len(columns):
            return []
        outputs, reasons, unusable = self.run(columns, names)
        classes = {label: j for j, label in enumerate(plain(self.classes_))} if is_probable else {}
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
        self._check_outputs(names)
        columns = read_columns(X, self.manifest["inputs"])
        if not len(columns):
            raise InputError("Got no rows. Expected at least one.")
        outputs, bad = self._run(columns, names)
        if bad:
            self._settle(columns, bad)
        return outputs

    def _check_outputs(self, names: Sequence[str]) -> None:
        known = ["embedding", *self.manifest["outputs"]]
        if absent := [name for name in names if name not in known]:
            raise ParameterError(f"This bundle gives no {', '.join(absent)}. It gives {', '.join(known)}.")

    def _settle(self, columns: Columns, bad: list[Bad]) -> None:
        """Raise or warn, as an `ImageEncoder` does."""
        first = columns.first
        cells = {name: column.sources for name, column in columns.images.items()}
        images = {name: [one for cell in of_column for one in members_of(cell)] for name, of_column in cells.items()}
        n = sum(max(1, len(members_of(cell))) for of_column in cells.values() for cell in of_column)
        rows = [(one, (one.place(), first.label(one.row), one.source, one.told(self._told))) for one in bad]
        if broken := [row for one, row in rows if one.reason == BROKEN]:
            raise NonFiniteEmbeddingError(", ".join(self._encoders), "float32", broken, len(columns))
        if unusable := [row for one, row in rows if one.policy == "raise"]:
            raise ImageReadError(unusable, n, None)
        for name, sources in images.items():
            unread = [row for one, row in rows if one.column == name and not is_missing(one.source)]
            if are_the_rule(len(unread), len(sources) - sum(map(is_missing, sources))):
                raise ImageReadError(unread, n, None, stopped_after=n)
        became = "cannot be used in their rows" if any(tensor.rows for tensor in self._tensors) else "became NaN rows"
        lines = list_rows([row for _, row in rows])
        warnings.warn("\n".join([f"Images {became}:", *lines]), ImageWarning, stacklevel=4)

    def run(
        self, columns: Columns, names: Sequence[str], observe: Callable[[str, float], None] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[int, str], set[int]]:
        """Compute outputs, whatever is wrong with some rows.

        Parameters
        ----------
        columns : Columns
            One row at least.
        names : sequence of str
            The outputs to compute.
        observe : callable, default=None
            Called, chunk by chunk, with "decode" or "predict" and the seconds that it took.

        Returns
        -------
        outputs : dict of str to ndarray
            Each output by its name.
        reasons : dict of int to str
            Why rows are bad.
        unusable : set of int
            Those among them whose outputs mean nothing.
        """
        outputs, bad = self._run(columns, names, observe)
        reasons: dict[int, str] = {}
        for image in sorted(bad, key=lambda image: image.policy == "nan"):  # what makes a row unusable comes first
            reasons.setdefault(image.row, image.told(self._told, with_image=True))
        return outputs, reasons, {image.row for image in bad if image.policy == "raise"}

    def _run(
        self, columns: Columns, names: Sequence[str], observe: Callable[[str, float], None] | None = None
    ) -> tuple[dict[str, np.ndarray], list[Bad]]:
        """Compute outputs, and list what cannot be used, in order."""
        several = [columns.images[tensor.name].sources for tensor in self._tensors if tensor.rows]
        chunks = list(divide(len(columns), several))
        engine = self._engine
        if len(chunks) == 1:
            parts = [self._run_chunk(engine, columns, chunks[0], names, observe)]
        else:
            # A thread decodes a few images, then has them predicted: there is no queue of pixels and no waiting.
            with ThreadPoolExecutor(self._n_threads, thread_name_prefix="featx") as pool:
                parts = list(pool.map(lambda chunk: self._run_chunk(engine, columns, chunk, names, observe), chunks))
        values = [Bad(row, "raise", why, source=columns.first.sources[row]) for row, why in columns.reasons.items()]
        bad = sorted([*values, *(image for _, images in parts for image in images)], key=lambda image: image.row)
        return {name: np.concatenate([outputs[name] for outputs, _ in parts]) for name in names}, bad

    @property
    def _told(self) -> bool:
        """Whether a reason names its column: where others might be meant."""
        return len({tensor.name for tensor in self._tensors}) > 1

    def _run_chunk(
        self,
        engine: Engine,
        columns: Columns,
        chunk: range,
        names: Sequence[str],
        observe: Callable[[str, float], None] | None,
    ) -> tuple[dict[str, np.ndarray], list[Bad]]:
        """Compute outputs of some rows; list what cannot be used."""
        started = time.perf_counter()
        feeds: dict[str, np.ndarray] = {}
        bad: dict[Any, Bad] = {}
        for tensor in self._tensors:
            of_tensor, unusable = tensor.read(columns.images[tensor.name].sources, chunk)
            feeds |= of_tensor
            for image in unusable:  # another encoder of the column may be stricter
                key = image.row, image.column, image.image
                if key not in bad or bad[key].policy != "raise":
                    bad[key] = image
        values = {name: column[chunk.start : chunk.stop] for name, column in columns.values.items()}
        decoded = time.perf_counter()
        outputs, broken = engine.run(feeds, values, names)
        if observe is not None:
            observe("decode", decoded - started)
            observe("predict", time.perf_counter() - decoded)
        rows = {image.row for image in bad.values() if image.policy == "raise"}
        for row in {chunk[j] for j in np.flatnonzero(broken)} - rows:
            bad[row, None, None] = Bad(row, "raise", BROKEN, source=columns.first.sources[row])
        return outputs, list(bad.values())


def _policy(name: str, value: str | None, exported: str) -> str:
    if value not in (None, *_POLICIES):
        raise ParameterError(f"Got {name}={value!r}. Expected one of {', '.join(map(repr, _POLICIES))}.")
    if value == "nan" != exported:
        raise ParameterError(f"Got {name}='nan', but the pipeline was exported with 'raise': it has no rule for NaN.")
    return value or exported
