"""export_bundle: write a fitted pipeline as a folder that predicts without torch and without featx."""

from __future__ import annotations

import json
import platform
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from featx._atomic import atomic_folder, check_new_folder
from featx._image_encoder import as_fitted_encoders
from featx._manifest import write_manifest
from featx._optional import import_optional
from featx._validate import check_choice
from featx._version import __version__
from featx._warnings import warn
from featx.deploy._bundle import GRAPH, HEAD, KIND, METHODS, Bundle, head_input, list_encoders
from featx.deploy._predictor import Predictor
from featx.deploy.export._agreement import Agreement, answer_quietly, compare, decided_by_rounding
from featx.deploy.export._card import make_card
from featx.deploy.export._expected import Expected, predict, stack
from featx.deploy.export._extras import check_extras, check_names, explain_extras, write_extras
from featx.deploy.export._graph import EncoderGraph, assemble, shrink
from featx.deploy.export._inputs import Parts
from featx.deploy.export._package import head_requirements, pixel_requirements, write_code, write_readme
from featx.deploy.export._split import split
from featx.deploy.export.heads import HeadGraph, convert_head, dump_head, find_tree, find_unproven
from featx.encoders import EncoderSpec
from featx.evaluation import as_model_scores
from featx.exceptions import ExportError, FallbackWarning, FeatxError, FeatxWarning, ImageWarning, ParameterError
from featx.extraction import decode_some
from featx.images import spread
from featx.runtimes import to_onnx

if TYPE_CHECKING:
    import onnx

HEADS = ("auto", "onnx", "sklearn")
QUANTIZED = ("int8", "float16")
_ROUNDING = 1e-5  # of a row's largest number: what runtimes differ by
_COST = "The bundle needs scikit-learn and skops then: some 200 MB more, and seconds more to start."


def export_bundle(
    model: Any,
    folder: str | Path,
    *,
    sample: Any = None,
    head: str = "auto",
    quantize: str | None = None,
    tolerance: float = 0.0,
    scores: Any = None,
    extras: str | Iterable[str] = (),
) -> Bundle:
    """Write a fitted pipeline as a bundle, and check that both answer alike.

    A bundle is a folder that predicts with numpy, Pillow, simplejpeg and ONNX Runtime alone:
    one graph from pixels to label, its preprocessing, the package that reads
    both, and a service. No torch, no featx, no pickle. What is decoded ``"fast"`` needs
    cykooz-resizer too, and a head that stays scikit-learn's needs scikit-learn: its
    ``requirements.txt`` lists them.

    The pipeline may take several columns of images, each with an encoder or several, and several images a row
    (``ImageEncoder(combine=...)``). An encoder of two columns is in the graph once, with its weights; what is missing
    is missing by each column's own rule.

    A column of categories keeps None, NaN and the text "nan" apart, as scikit-learn's
    encoders do, in frames and dicts alike. JSON's null, and an empty field of a form,
    are the one that the column was fitted with: NaN where that was both or neither.

    Parameters
    ----------
    model : estimator
        A fitted Pipeline of an `ImageEncoder` and scikit-learn steps; or one that
        begins with a ColumnTransformer of images and other columns; or a search
        over one. An `ImageEncoder` alone makes a bundle that embeds; of a
        `FineTuneClassifier` it is what ``to_pipeline()`` gives.
    folder : str or Path
        The folder to make; a bundle that lies there is replaced.
    sample : container of images, or DataFrame, default=None
        Rows that pipeline and bundle must agree on; None is a built-in one, parts
        of two photos.
    head : {"auto", "onnx", "sklearn"}, default="auto"
        ``"onnx"``: scikit-learn's steps become part of the graph. ``"sklearn"``:
        they stay scikit-learn's, in a skops file, for another 200 MB of packages.
        LightGBM's and XGBoost's models leave in ONNX alone.
        ``"auto"``: the first where all steps are known to convert rightly and the
        sample confirms it, else the second, with a warning that gives the reason. What the sample
        cannot show is tried too: embeddings between those of the sample and far beyond them.
    quantize : {"int8", "float16"}, default=None
        ``"float16"`` halves the encoder's file, ``"int8"`` makes a quarter of it and
        computes with integers, calibrated on `sample`. Both change the answers:
        how far they agree is measured on `sample` and is in ``manifest["verified"]``.
    tolerance : float, default=0.0
        Share of the sample's rows, from 0 to below 1, whose label or scores may differ by more
        than 1e-4. Not among them are rows on a threshold (of a tree, say), which scikit-learn
        itself answers otherwise when the embedding moves by rounding, 1e-6: they are counted
        as ``threshold_flips`` in ``manifest["verified"]``.
    scores : ModelScores, mapping, DataFrame or sequence of float, default=None
        What is known of how good the model is, for its card (``README.md``, ``manifest["card"]``): what `score_model`
        returns; or a number a fold, as `cross_val_score` returns; such numbers by the metric's name, or what
        `cross_validate` returns. What was not measured is said there.
    extras : {"docker", "systemd", "kubernetes", "web"} or several of them, default=()
        What to write beside the bundle, explained in its README: a Dockerfile, a systemd
        unit, a Kubernetes example, a page that answers images in the browser. They are
        yours to change: the manifest does not list them. The page needs a bundle of one
        column of images, decoded exactly, with its head in the graph.

    Returns
    -------
    Bundle
        Its ``folder`` and its ``manifest``, the content of ``bundle.json``.

    Warns
    -----
    FallbackWarning
        If the head stays scikit-learn's.
    FeatxWarning
        If rows of the sample lie on a threshold.

    Raises
    ------
    ExportError
        If the pipeline is not fitted, a step cannot be exported, the bundle disagrees
        with the pipeline on the sample, cannot have the page that is asked for, or the
        folder holds something else.
    ConversionError
        If the encoder cannot be written as ONNX.
    ImageReadError
        If an image of the sample cannot be read.
    ParameterError
        If `tolerance` is not such a share, `scores` are none, or there is no such extra.
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
    _check_parameters(sample, head, quantize, tolerance)
    known = as_model_scores(scores)
    beside = check_names(extras)
    import_optional("onnxruntime", extra="export", purpose="Exporting a bundle")
    target = Path(folder).expanduser().resolve()
    check_new_folder(target, marker=KIND.file, error=ExportError)
    pipeline = as_fitted_encoders(_as_pipeline(model), unfitted=FunctionTransformer())
    parts = split(pipeline)
    _check_parts(parts)
    with tempfile.TemporaryDirectory() as scratch:
        expected = predict(pipeline, parts, sample, Path(scratch))
    encoders = build_encoders(parts, expected, quantize)
    problems: list[str] = []
    with atomic_folder(target, marker=KIND.file, error=ExportError) as new:
        for kind in _kinds(parts, head):
            built = build(parts, expected, encoders, kind, tolerance, careful=head == "auto")
            if isinstance(built, str):
                problems.append(built)
                continue
            content = describe(parts, expected, built, quantize)
            check_extras(beside, content, problems)
            write(new, parts, built, content)
            verified = verify(new, parts, expected, content, tolerance)
            if isinstance(verified, Agreement):
                break
            problems.append(verified)
        else:
            raise ExportError(problems[-1])
        content["verified"] = {**verified.to_dict(), "tolerance": tolerance}
        content["card"] = make_card(content, known, sampled=sample is not None)
        write_readme(new, content)
        explain_extras(beside, new)
        manifest = write_manifest(new, KIND, content, __version__)
        write_extras(beside, new, manifest)
    if problems:
        warn(f"The head stays scikit-learn's: {problems[0].rstrip('.')}. {_COST}", FallbackWarning)
    if verified.flips:
        warn(_describe_flips(verified), FeatxWarning)
    return Bundle(target, manifest)


@dataclass(frozen=True)
class Built:
    """A bundle's graph, and what becomes of the head.

    Attributes
    ----------
    kind : {"onnx", "sklearn"} or None
        Whether the head is in the graph or stays scikit-learn's; None without a head.
    graph : onnx.ModelProto
        From pixels and values to outputs.
    outputs : list of str
        The outputs of the bundle beside ``embedding``.
    """

    kind: str | None
    graph: onnx.ModelProto
    outputs: list[str]


def build_encoders(parts: Parts, expected: Expected, quantize: str | None) -> list[EncoderGraph]:
    """Convert the encoders to ONNX; with `quantize` smaller ones, calibrated on the sample."""
    made: dict[tuple[EncoderSpec, ...], onnx.ModelProto] = {}
    graphs = []
    for image, entry in zip(parts.images, list_encoders(expected.inputs), strict=True):
        if image.specs not in made:
            graph = to_onnx(image.specs)
            if quantize is not None:
                names = dict.fromkeys(other.name for other in parts.images if other.specs == image.specs)
                sources = [source for name in names for source in spread(expected.sample.images[name]).sources]
                graph = shrink(graph, quantize, decode_some(image.specs[0], sources))
            made[image.specs] = graph
        names_and_rule = (entry["tensor"], entry["absent"], *map(entry.get, ("rows", "combine", "n_images")))
        graphs.append(EncoderGraph(made[image.specs], *names_and_rule))
    return graphs


def build(
    parts: Parts,
    expected: Expected,
    encoders: list[EncoderGraph],
    kind: str | None,
    tolerance: float,
    *,
    careful: bool,
) -> Built | str:
    """Put encoders and head together.

    Parameters
    ----------
    parts : Parts
        The pipeline's parts.
    expected : Expected
        What the bundle must answer.
    encoders : list of EncoderGraph
        What `build_encoders` made.
    kind : {"onnx", "sklearn"} or None
        What becomes of the head; None where there is none.
    tolerance : float
        Share of the sample's rows that a head in ONNX may answer otherwise.
    careful : bool
        Whether a head in ONNX must be one of those that are known to convert rightly.

    Returns
    -------
    Built or str
        A str is the reason why the head has no form in ONNX.
    """
    if kind != "onnx":
        outputs = [name for name in METHODS if name in expected.answers]
        return Built(kind, assemble(encoders, []), outputs)
    if careful:
        if problem := find_unproven(parts.head):
            return problem
        if expected.unknown_size:
            return f"nothing shows what numbers {expected.unknown_size[0]!r} holds; give a sample of them"
    if expected.takes_missing and _hands_on_nan(parts.head, expected) and (problem := find_tree(parts.head)):
        return problem
    heads = convert_head(parts, expected.answers["embedding"], expected.values, tolerance)
    return heads.problem or Built(kind, assemble(encoders, heads.graphs), _outputs(heads.graphs))


def _hands_on_nan(head: Any, expected: Expected) -> bool:
    """Whether NaN gets by the steps before the last one; their imputers leave none."""
    if not isinstance(head, Pipeline) or len(head) == 1 or find_tree(head[:-1]):
        return True
    X = head_input(expected.answers["embedding"], expected.values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names, of unknown categories
        features = head[:-1].transform(X)
    return bool(np.isnan(features.data if hasattr(features, "tocsr") else np.asarray(features, np.float64)).any())


def describe(parts: Parts, expected: Expected, built: Built, quantize: str | None) -> dict[str, Any]:
    """Return the manifest's content, but for how far the bundle agrees with the pipeline."""
    classes = getattr(parts.head, "classes_", None)
    labels = expected.answers["label"].dtype if "label" in expected.answers else None
    is_new = any("also" in entry or "rows" in entry for entry in expected.inputs)
    return {
        "format": KIND.format if is_new else KIND.oldest,
        "task": "embedding" if built.kind is None else "regression" if classes is None else "classification",
        "head": built.kind,
        "quantize": quantize,
        "inputs": expected.inputs,
        "outputs": built.outputs,
        "dtype": None if labels is None else labels.str,
        **_width(expected.answers.get("label")),
        "classes": None if classes is None or labels is None else _classes(classes, labels),
        "image": {**expected.policies, "max_pixels": min(int(image.encoder.max_pixels) for image in parts.images)},
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "pillow", "onnxruntime", "scikit-learn", "torch")},
        },
    }


def write(folder: Path, parts: Parts, built: Built, content: dict[str, Any]) -> None:
    """Write all files of a bundle but its manifest and its card."""
    if built.kind == "sklearn":
        dump_head(parts.head, folder / HEAD)
    (folder / GRAPH).write_bytes(built.graph.SerializeToString())
    of_head = head_requirements(bool(parts.values)) if built.kind == "sklearn" else []
    write_code(folder, [*pixel_requirements(content), *of_head])


def verify(
    folder: Path, parts: Parts, expected: Expected, content: dict[str, Any], tolerance: float
) -> Agreement | str:
    """Compare what a bundle answers with what it must answer.

    Parameters
    ----------
    folder : Path
        The folder that `write` wrote to.
    parts : Parts
        The pipeline's parts.
    expected : Expected
        What the bundle must answer.
    content : dict
        What `describe` returned.
    tolerance : float
        Share of the rows that may be answered otherwise; a quantized bundle may answer all of them otherwise.

    Returns
    -------
    Agreement or str
        A str is where they disagree, in words.
    """
    predictor = Predictor._of(Bundle(folder, json.loads(json.dumps(content))))
    names = [*content["outputs"], "embedding"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)
        try:
            got = stack([predictor.outputs(rows, names) for rows in expected.batches])
        except FeatxError:
            raise
        except Exception as error:  # a head may need what only the whole pipeline gives it
            return f"The head cannot predict without the steps before it: {error}"
    answers = {name: expected.answers[name] for name in names}
    agreement = compare(answers, got)
    if content["quantize"] or not agreement.off.any():
        return agreement
    agreement = compare(answers, got, _flips(parts, expected, got, agreement.off))
    if not agreement.exceeds(tolerance):
        return agreement
    share = np.ceil(1000 * agreement.off.mean()) / 1000
    advice = f" If so many rows may differ: tolerance={share:g}." if share < 1 else ""
    return f"the bundle disagrees with the pipeline: {'; '.join(agreement.where)}.{advice}"


def _flips(parts: Parts, expected: Expected, got: Mapping[str, np.ndarray], off: np.ndarray) -> np.ndarray:
    """Find rows that disagree because their embedding is rounded otherwise, and for no other reason."""
    embedding = got["embedding"]
    if parts.head is None or not off.any():
        return np.zeros(len(off), bool)
    moved = np.abs(embedding - expected.answers["embedding"]).max(axis=1)
    off = off & (moved <= _ROUNDING * np.abs(embedding).max(axis=1))

    def answer(rows: np.ndarray) -> dict[str, np.ndarray]:
        answers = answer_quietly(parts.head, rows, expected.values)
        return {name: answers[name] for name in got if name in answers}

    # scikit-learn, given the bundle's own embedding, answers as the bundle does; or now one thing, now another.
    here = answer(embedding)
    return off & (~compare(here, got).off | decided_by_rounding(answer, embedding, here))


def _describe_flips(agreement: Agreement) -> str:
    return (
        f"{agreement.flips} of the sample's {agreement.rows} rows lie on a threshold of the head: what "
        "scikit-learn itself answers changes there when an embedding moves by rounding (1e-6). The bundle "
        "answers them otherwise than the pipeline. Rows that it was fitted on lie so near far more often than "
        "new ones."
    )


def _kinds(parts: Parts, head: str) -> tuple[str | None, ...]:
    """List what may become of the head, the best first."""
    if parts.head is None:
        return (None,)
    return ("onnx", "sklearn") if head == "auto" else (head,)


def _outputs(heads: list[HeadGraph]) -> list[str]:
    given = {name for graph in heads for name in graph.outputs}
    return [name for name in METHODS if name in given]


def _as_pipeline(model: Any) -> Any:
    """Return the pipeline that a fine-tuned model gives; any other model as it is."""
    if isinstance(model, type) or not hasattr(model, "to_pipeline"):
        return model
    try:
        return model.to_pipeline()
    except NotFittedError as error:
        raise ExportError(str(error)) from error


def _check_parameters(sample: Any, head: Any, quantize: Any, tolerance: Any) -> None:
    check_choice("head", head, HEADS)
    check_choice("quantize", quantize, (*QUANTIZED, None))
    if isinstance(tolerance, bool) or not isinstance(tolerance, float | int) or not 0 <= tolerance < 1:
        raise ParameterError(f"Got tolerance={tolerance!r}. Expected a share of rows, from 0 to below 1.")
    if quantize and sample is None:
        raise ExportError(f"Got quantize={quantize!r} without sample. Expected images to measure the agreement on.")


def _check_parts(parts: Parts) -> None:
    if not parts.named:
        raise ExportError("Got a table whose columns have no names (fitted on an array?). Fit on a frame with names.")
    head = parts.head
    if head is not None and not hasattr(head, "predict"):
        head = head.steps[-1][1] if isinstance(head, Pipeline) else head
        raise ExportError(
            f"Got a pipeline that ends in a {type(head).__name__}, which predicts nothing. Expected a classifier or a "
            "regressor at its end, or an ImageEncoder alone."
        )


def _width(labels: np.ndarray | None) -> dict[str, int]:
    """Return the number of outputs, where there are several."""
    return {} if labels is None or labels.ndim < 2 else {"width": labels.shape[1]}


def _classes(classes: Any, labels: np.dtype) -> dict[str, Any] | list[dict[str, Any]]:
    """Describe classes for the manifest, of several outputs each; dates, which `split` made integers, as text."""
    if isinstance(classes, list):
        return [{"dtype": part.dtype.str, "values": part.tolist()} for part in classes]
    if labels.kind in "mM":
        dates = classes.astype(labels)
        values = np.datetime_as_string(dates).tolist() if labels.kind == "M" else classes.tolist()
        return {"dtype": labels.str, "values": values}
    return {"dtype": classes.dtype.str, "values": classes.tolist()}
