"""A fitted pipeline -> a bundle: a folder that predicts without torch and without featx."""

from __future__ import annotations

import platform
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline

from featx._atomic import atomic_folder, check_new_folder
from featx._optional import import_optional
from featx.deploy._bundle import CARD, GRAPH, HEAD, Bundle
from featx.deploy._columns import Columns, read_columns
from featx.deploy._engine import METHODS
from featx.deploy._predictor import Predictor
from featx.deploy.export._agreement import Agreement, compare, decided_by_rounding
from featx.deploy.export._folder import head_requirements, write_card, write_code
from featx.deploy.export._graph import EncoderGraph, assemble
from featx.deploy.export._head import answer_quietly, check_missing, check_proven, convert_head, dump_head
from featx.deploy.export._inputs import ImageInput
from featx.deploy.export._reference import Reference
from featx.deploy.export._sample import builtin_sample
from featx.deploy.export._shrink import shrink
from featx.deploy.export._strip import Stripped, strip
from featx.exceptions import (
    ExportError,
    FallbackWarning,
    FeatxError,
    FeatxWarning,
    ImageWarning,
    ParameterError,
    UnknownNameError,
)
from featx.extraction import decode_some
from featx.images import PixelPath
from featx.runtimes import to_onnx

if TYPE_CHECKING:
    import onnx

HEADS = ("auto", "onnx", "sklearn")
QUANTIZED = ("int8", "float16")
_ROUNDING = 1e-5  # of a row's largest number: what runtimes differ by
_COST = "The bundle needs scikit-learn and skops then: some 200 MB more, and seconds more to start."


def export_bundle(
    pipeline: Any,
    folder: str | Path,
    *,
    sample: Any = None,
    head: str = "auto",
    quantize: str | None = None,
    tolerance: float = 0.0,
) -> Bundle:
    """Write a fitted pipeline as a bundle, and hold the bundle against it.

    A bundle is a folder that predicts with numpy, Pillow, simplejpeg and ONNX Runtime alone:
    one graph from pixels to label, its preprocessing, the package that reads
    both, and a service. No torch, no featx, no pickle.

    A column of categories keeps None, NaN and the text "nan" apart, as scikit-learn's
    encoders do, in frames and dicts alike. JSON's null, and an empty field of a form,
    are the one that the column was fitted with: NaN where that was both or neither.

    Parameters
    ----------
    pipeline : estimator
        A fitted Pipeline of an `ImageEncoder` and scikit-learn steps; or one that
        begins with a ColumnTransformer of images and other columns; or a search
        over one. An `ImageEncoder` alone makes a bundle that embeds; of a
        `FineTuneClassifier` it is what ``to_pipeline()`` gives.
    folder : str or Path
        Is made; a bundle that lies there is replaced.
    sample : container of images, or DataFrame, default=None
        Rows that pipeline and bundle must agree on; None is a built-in one, parts
        of two photos.
    head : {"auto", "onnx", "sklearn"}, default="auto"
        ``"onnx"``: scikit-learn's steps become part of the graph. ``"sklearn"``:
        they stay scikit-learn's, in a skops file, for another 200 MB of packages.
        ``"auto"``: the first where all steps are known to convert rightly and the
        sample confirms it, else the second, with a warning that says why. What the sample
        cannot show is tried too: embeddings between and far beyond its own.
    quantize : {"int8", "float16"}, default=None
        ``"float16"`` halves the encoder's file, ``"int8"`` makes a quarter of it and
        computes with integers, calibrated on `sample`. Both change the answers:
        how far they agree is measured on `sample` and is in ``card["verified"]``.
    tolerance : float, default=0.0
        Share of the sample's rows, from 0 to below 1, whose label or scores may differ by more
        than 1e-4. Not among them are rows on a threshold (of a tree, say), which scikit-learn
        itself answers otherwise when the embedding moves by rounding, 1e-6: they are counted
        as ``threshold_flips`` in ``card["verified"]``.

    Returns
    -------
    Bundle
        Its ``folder`` and its ``card``, the content of ``bundle.json``.

    Warns
    -----
    FallbackWarning
        If the head stays scikit-learn's.
    FeatxWarning
        If rows of the sample lie on a threshold.

    Raises
    ------
    ExportError
        If the pipeline is not fitted, a step cannot leave, the bundle disagrees
        with the pipeline on the sample, or the folder holds something else.
    ConversionError
        If the encoder cannot be written as ONNX.
    ImageErrors
        If an image of the sample cannot be read.
    ParameterError
        If `tolerance` is no such share.
    MissingDependencyError
        Without the extra ``export``, or ``quantize`` for int8.

    Examples
    --------
    >>> import featx
    >>> model = featx.image_pipeline().fit(images, labels)  # doctest: +SKIP
    >>> bundle = featx.export_bundle(model, "bundle/")  # doctest: +SKIP
    >>> featx.Predictor("bundle/").predict(["new.jpg"])  # doctest: +SKIP
    array(['cat'], dtype='<U3')
    """
    _check_choice("head", head, HEADS)
    _check_choice("quantize", quantize, (None, *QUANTIZED))
    _check_tolerance(tolerance)
    if quantize and sample is None:
        raise ExportError(f"Got quantize={quantize!r} without sample. Expected images to measure the agreement on.")
    import_optional("onnxruntime", extra="export", purpose="Exporting a bundle")
    target = Path(folder).expanduser().resolve()
    check_new_folder(target, marker=CARD, error=ExportError)
    pipeline = _as_pipeline(pipeline)
    stripped = strip(pipeline)
    _check_stripped(stripped)
    rows = builtin_sample(stripped) if sample is None else _to_pandas(sample)
    with tempfile.TemporaryDirectory() as scratch:
        reference = Reference(pipeline, stripped, Path(scratch), own_cache=sample is not None)
        plan = _Plan(stripped, reference, rows, quantize, tolerance, builtin=sample is None)
    with atomic_folder(target, marker=CARD, error=ExportError) as new:
        card = plan.write(new, head)
    return Bundle(target, card)


def _as_pipeline(model: Any) -> Any:
    """A fine-tuned model leaves as the pipeline that it knows; any other one as it is."""
    if isinstance(model, type) or not hasattr(model, "to_pipeline"):
        return model
    try:
        return model.to_pipeline()
    except NotFittedError as error:
        raise ExportError(str(error)) from error


class _Plan:
    """What a bundle will be, and what it must answer."""

    def __init__(
        self,
        stripped: Stripped,
        reference: Reference,
        sample: Any,
        quantize: str | None,
        tolerance: float,
        *,
        builtin: bool,
    ):
        rules, probes = reference.probe(sample)
        self._stripped = stripped
        self._quantize = quantize
        self._tolerance = tolerance
        # Large numbers lose digits in float32: whether that matters, only numbers of their size tell.
        numbers = [value for value in stripped.values if value.kind == "number" and not value.categories]
        self._unknown_size = [value.name for value in numbers if builtin and not value.typical]
        self._takes_missing = [rule["missing"] for rule in rules.values()]
        encoders = [image.encoder for image in stripped.images]
        # A head that takes no NaN gets none: there the pipeline raises.
        takes_nan = all(rules[image.name]["missing"] for image in stripped.images)
        self._policies = {
            name: "nan" if takes_nan and all(getattr(encoder, name) == "nan" for encoder in encoders) else "raise"
            for name in ("on_error", "on_missing")
        }
        self._inputs = [
            *(_image_card(image, "nan" in self._policies.values()) for image in stripped.images),
            *({"name": v.name, "kind": v.kind, "tensor": v.tensor, **rules[v.name]} for v in stripped.values),
        ]
        self._samples = [sample, *probes]
        self._expected = _stack([reference.answers(rows) for rows in self._samples])
        columns = [read_columns(rows, self._inputs) for rows in self._samples]
        if bad := [reason for part in columns for reason in part.reasons.values()]:
            raise ExportError(f"The pipeline takes the sample, but a bundle cannot read it: {bad[0]}.")
        self._values = _stack([part.values for part in columns])
        self._encoders = [
            EncoderGraph(_encoder_graph(image, columns[0], quantize), entry["tensor"], entry["absent"])
            for image, entry in zip(stripped.images, self._inputs, strict=False)
        ]

    def write(self, folder: Path, head: str) -> dict[str, Any]:
        """Write the first kind of head that agrees; returns the card."""
        card = self._write_head(folder, head)
        if flips := card["verified"]["threshold_flips"]:
            warnings.warn(
                f"{flips} of the sample's {card['verified']['rows']} rows lie on a threshold of the head: what "
                "scikit-learn itself answers changes there when an embedding moves by rounding (1e-6). The bundle "
                "answers them otherwise than the pipeline. Rows that it was fitted on lie so near far more often than "
                "new ones.",
                FeatxWarning,
                stacklevel=3,
            )
        return card

    def _write_head(self, folder: Path, head: str) -> dict[str, Any]:
        if self._stripped.head is None:
            return self._write(folder, None)
        if head != "auto":
            return self._write(folder, head)
        try:
            check_proven(self._stripped.head)
            if self._unknown_size:
                raise ExportError(f"nothing tells what numbers {self._unknown_size[0]!r} holds; give a sample of them")
            return self._write(folder, "onnx")
        except ExportError as error:
            reason = str(error).rstrip(".")
        card = self._write(folder, "sklearn")
        warnings.warn(f"The head stays scikit-learn's: {reason}. {_COST}", FallbackWarning, stacklevel=4)
        return card

    def _write(self, folder: Path, kind: str | None) -> dict[str, Any]:
        if kind == "onnx" and any(self._takes_missing):
            check_missing(self._stripped.head)
        heads = []
        if kind == "onnx":
            heads = convert_head(self._stripped, self._expected["embedding"], self._values, self._tolerance)
        if kind == "sklearn":
            dump_head(self._stripped.head, folder / HEAD)
        (folder / GRAPH).write_bytes(assemble(self._encoders, heads).SerializeToString())
        write_code(folder, head_requirements(bool(self._values)) if kind == "sklearn" else [])
        outputs = {name for graph in heads for name in graph.outputs} if kind == "onnx" else self._expected.keys()
        card = write_card(folder, self._card(kind, [name for name in METHODS if name in outputs]))
        agreement = self._verify(folder, card)
        return write_card(folder, {**card, "verified": {**agreement.to_dict(), "tolerance": self._tolerance}})

    def _card(self, kind: str | None, outputs: list[str]) -> dict[str, Any]:
        classes = getattr(self._stripped.head, "classes_", None)
        max_pixels = min(image.encoder.max_pixels for image in self._stripped.images)
        return {
            "task": "embedding" if kind is None else "regression" if classes is None else "classification",
            "head": kind,
            "quantize": self._quantize,
            "inputs": self._inputs,
            "outputs": outputs,
            "dtype": self._expected["label"].dtype.str if "label" in self._expected else None,
            "classes": None if classes is None else _classes(classes, self._expected["label"].dtype),
            "image": {**self._policies, "max_pixels": int(max_pixels)},
            "versions": {
                "python": platform.python_version(),
                **{name: version(name) for name in ("numpy", "pillow", "onnxruntime", "scikit-learn", "torch")},
            },
        }

    def _verify(self, folder: Path, card: dict[str, Any]) -> Agreement:
        """Hold the bundle against the pipeline.

        Raises
        ------
        ExportError
            If they disagree, and it was not shrunk.
        """
        predictor = Predictor(folder)
        names = [*card["outputs"], "embedding"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImageWarning)
            try:
                got = _stack([predictor.outputs(rows, names) for rows in self._samples])
            except FeatxError:
                raise
            except Exception as error:  # a head may need what only the whole pipeline gives it
                raise ExportError(f"The head cannot predict without the steps before it: {error}") from error
        expected = {name: self._expected[name] for name in names}
        agreement = compare(expected, got)
        if self._quantize or not agreement.off.any():
            return agreement
        agreement = compare(expected, got, self._flips(got, agreement.off))
        if agreement.exceeds(self._tolerance):
            share = np.ceil(1000 * agreement.off.mean()) / 1000
            advice = f" If so many rows may differ: tolerance={share:g}." if share < 1 else ""
            raise ExportError(f"the bundle disagrees with the pipeline: {'; '.join(agreement.where)}.{advice}")
        return agreement

    def _flips(self, got: Mapping[str, np.ndarray], off: np.ndarray) -> np.ndarray:
        """Rows that disagree for their embedding is rounded otherwise, and for nothing else."""
        head, embedding = self._stripped.head, got["embedding"]
        if head is None or not off.any():
            return np.zeros(len(off), bool)
        moved = np.abs(embedding - self._expected["embedding"]).max(axis=1)
        off = off & (moved <= _ROUNDING * np.abs(embedding).max(axis=1))

        def answer(rows: np.ndarray) -> dict[str, np.ndarray]:
            answers = answer_quietly(head, rows, self._values)
            return {name: answers[name] for name in got if name in answers}

        # scikit-learn, given the bundle's own embedding, says what the bundle says; or says now this, now that.
        here = answer(embedding)
        return off & (~compare(here, got).off | decided_by_rounding(answer, embedding, here))


def _encoder_graph(image: ImageInput, sample: Columns, quantize: str | None) -> onnx.ModelProto:
    graph = to_onnx(image.specs)
    if quantize is None:
        return graph
    return shrink(graph, quantize, decode_some(image.specs[0], sample.images[image.name].sources))


def _image_card(image: ImageInput, tolerant: bool) -> dict[str, Any]:
    spec = image.specs[0]
    return {
        "name": image.name,
        "kind": "image",
        "tensor": image.tensor,
        "absent": f"{image.tensor}_absent" if tolerant else None,
        "preprocess": asdict(spec.preprocess),
        "at_least": PixelPath(spec.preprocess, spec.decode).at_least,
        "dim": image.dim,
        "encoder": {"name": spec.name, "weights": spec.weights, "license": spec.license},
        "fingerprints": [spec.fingerprint() for spec in image.specs],
    }


def _stack(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _check_choice(parameter: str, value: Any, choices: Sequence[Any]) -> None:
    if value not in choices:
        raise UnknownNameError(parameter, value, [str(choice) for choice in choices])


def _check_tolerance(tolerance: Any) -> None:
    if isinstance(tolerance, bool) or not isinstance(tolerance, float | int) or not 0 <= tolerance < 1:
        raise ParameterError(f"Got tolerance={tolerance!r}. Expected a share of rows, from 0 to below 1.")


def _check_stripped(stripped: Stripped) -> None:
    if not stripped.named:
        raise ExportError("Got a table whose columns have no names (fitted on an array?). Fit on a frame with names.")
    head = stripped.head
    if head is not None and not hasattr(head, "predict"):
        head = head.steps[-1][1] if isinstance(head, Pipeline) else head
        raise ExportError(
            f"Got a pipeline that ends in a {type(head).__name__}, which predicts nothing. Expected a classifier or a "
            "regressor at its end, or an ImageEncoder alone."
        )
    if isinstance(getattr(head, "classes_", None), list):
        raise ExportError("Got a classifier of several outputs. Expected one: export a pipeline for each.")


def _classes(classes: np.ndarray, labels: np.dtype) -> dict[str, Any]:
    """Classes for the card; dates, which `strip` has made integers, as text."""
    if labels.kind in "mM":
        dates = classes.astype(labels)
        values = np.datetime_as_string(dates).tolist() if labels.kind == "M" else classes.tolist()
        return {"dtype": labels.str, "values": values}
    return {"dtype": classes.dtype.str, "values": classes.tolist()}


def _to_pandas(sample: Any) -> Any:
    """A polars frame as a pandas one, in which a missing text stays None."""
    if not (hasattr(sample, "to_pandas") and hasattr(sample, "columns")):
        return sample
    import pandas as pd

    frame = sample.to_pandas()
    return frame.assign(
        **{n: pd.Series(sample[n].to_list(), dtype=object) for n in frame if frame[n].dtype.kind == "O"}
    )
