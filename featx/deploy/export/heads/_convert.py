"""Convert a scikit-learn head to ONNX: from embeddings to label, probabilities and decision values."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline

from featx._optional import import_optional
from featx.deploy._bundle import as_tensor, polish
from featx.deploy.export._agreement import answer_quietly, compare, decided_by_rounding, probes
from featx.deploy.export._inputs import Parts
from featx.deploy.export.heads._linear import EXPONENTIAL
from featx.deploy.export.heads._writer import FLOAT, INT64, STRING, Output, Rows, UnwritableError, Writer

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class HeadGraph:
    """One conversion of a head.

    Attributes
    ----------
    model : onnx.ModelProto
        A graph that takes ``embedding`` and the values.
    inputs : dict of str to str
        The graph's own name of each input -> the bundle's.
    outputs : dict of str to str
        ``label``, ``probabilities``, ``decision`` -> the graph's own name of it.
    """

    model: onnx.ModelProto
    inputs: dict[str, str]
    outputs: dict[str, str]


@dataclass(frozen=True)
class Conversion:
    """What came of converting a head.

    Attributes
    ----------
    graphs : list of HeadGraph
        One; none where there is a problem.
    problem : str or None
        Why the head has no ONNX form that answers as it does; None where it has.
    """

    graphs: list[HeadGraph]
    problem: str | None = None


def convert_head(
    parts: Parts, embedding: np.ndarray, values: Mapping[str, np.ndarray], tolerance: float = 0.0
) -> Conversion:
    """Convert a head, and compare every output with scikit-learn's, on the sample and on what it does not show.

    Parameters
    ----------
    parts : Parts
        The parts of a pipeline, with a head.
    embedding : ndarray of shape (n, dim), float32
        The embeddings of a sample.
    values : dict of str to ndarray of shape (n, 1)
        The sample's other columns.
    tolerance : float, default=0.0
        Share of the sample's rows that may be answered otherwise.

    Returns
    -------
    Conversion
        Its graphs, or why there are none.

    Raises
    ------
    MissingDependencyError
        Without the extra ``export``.
    """
    import_optional("skl2onnx", extra="export", purpose="A head in ONNX")
    inputs, feeds = _feeds(parts, embedding, values)
    sample, *unseen = [_Exam(parts, embedding, values), *_unseen(parts, embedding, values)]
    graph, rows = Writer(), _rows(feeds)
    written: dict[str, Output] = {}
    reasons: list[str] = []
    for name in sample.expected:
        try:
            written[name] = _write_output(graph, parts.head, name, rows, several=sample.expected["label"].ndim > 1)
        except Exception as error:  # a converter may raise anything of an estimator that it does not know
            reasons.append(_in_words(error))

    def differences(names: Sequence[str]) -> dict[str, list[str]]:
        """Say in words where outputs differ, or why they cannot be computed."""
        try:
            run = _open(graph.model(rows, {name: written[name] for name in names}), {name: name for name in names})
            found = [sample.compare(run, tolerance), *(exam.compare(run) for exam in unseen)]
        except Exception as error:  # ONNX Runtime has a class for each of its codes
            alone = {name: [_in_words(error)] for name in names}
            return alone if len(names) == 1 else {k: v for name in names for k, v in differences([name]).items()}
        return {name: [text for part in found for text in part[name]] for name in names}

    wrong = differences(list(written)) if written else {}
    reasons += [text for texts in wrong.values() for text in texts]
    right = {name: written[name] for name in written if not wrong[name]}
    if problem := _find_lacking(sample, right, reasons):
        return Conversion([], problem)
    return Conversion([HeadGraph(graph.model(rows, right), inputs, {name: name for name in right})])


def _in_words(error: Exception) -> str:
    kind = "" if isinstance(error, UnwritableError) else f"{type(error).__name__}: "
    return f"{kind}{str(error).strip().partition(chr(10))[0][:200]}"


def _rows(feeds: Mapping[str, np.ndarray]) -> Rows:
    kinds = {"f": FLOAT, "i": INT64, "O": STRING}
    types = tuple(kinds[feed.dtype.kind] for feed in feeds.values())
    return Rows(tuple(feeds), types, tuple(feed.shape[1] for feed in feeds.values()))


def _write_output(graph: Writer, head: Any, name: str, rows: Rows, *, several: bool) -> Output:
    """Write an output of a head."""
    from onnx import helper

    classes = getattr(head, "classes_", None)
    if name != "label" or classes is None:
        scores = graph.write(head, "number" if name == "label" else name, rows)
        return Output(graph.cast(scores, np.float32), FLOAT)
    index = graph.write(head, "index", rows)
    labels = np.asarray(classes[0] if isinstance(classes, list) else classes)
    if isinstance(classes, list):
        if len({part.dtype.kind for part in classes}) > 1:
            raise UnwritableError("outputs whose labels are of several types")
        each = [graph.op("Gather", part, graph.columns(index, [j])) for j, part in enumerate(classes)]
        tensor = graph.beside(each)
    elif several:  # which labels a row has
        return Output(index, INT64)
    else:
        tensor = graph.op("Gather", labels, index)
    ndim = 2 if several else 1
    if labels.dtype.kind in "UO":
        return Output(tensor, STRING, ndim)
    dtype = np.dtype(np.int64) if labels.dtype.kind in "iu" else labels.dtype
    return Output(tensor, helper.np_dtype_to_tensor_dtype(dtype), ndim)


def _find_lacking(sample: _Exam, right: Collection[str], reasons: Sequence[str]) -> str | None:
    # Where there are probabilities, decision values may be missing: no label or probability depends on them.
    lacking = sample.expected.keys() - set(right) - ({"decision"} if "probabilities" in right else set())
    if not lacking:
        return None
    return f"it does not give the {' and the '.join(sorted(lacking))} in ONNX ({'; '.join(dict.fromkeys(reasons))})"


def _feeds(
    parts: Parts, embedding: np.ndarray, values: Mapping[str, np.ndarray]
) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Return the inputs of a conversion, own name -> the bundle's, and what they get."""
    # Converters change names with spaces or accents, and a column may be called "embedding".
    inputs = {"embedding": "embedding", **{f"column{i}": value.tensor for i, value in enumerate(parts.values)}}
    columns = [as_tensor(values[value.name]) for value in parts.values]
    return inputs, dict(zip(inputs, [embedding, *columns], strict=True))


def _open(
    model: onnx.ModelProto, outputs: Mapping[str, str]
) -> Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
    """Make a function that runs a graph: it takes feeds and returns outputs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its errors are raised
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    own = dict(outputs)
    return lambda feeds: dict(zip(own, session.run(list(own.values()), dict(feeds)), strict=True))


class _Exam:
    """Rows that a graph must answer as scikit-learn's head does."""

    def __init__(self, parts: Parts, embedding: np.ndarray, values: Mapping[str, np.ndarray], note: str = ""):
        self._rows = embedding, values
        self._head = parts.head
        self._feeds = _feeds(parts, embedding, values)[1]
        self._note = note
        self.expected = answer_quietly(parts.head, embedding, values)

    def compare(self, run: Callable[..., dict[str, np.ndarray]], tolerance: float = 0.0) -> dict[str, list[str]]:
        """Say in words where each output of a graph disagrees in more than a share of the rows."""
        answers = run(self._feeds)
        return {name: self._differences(name, answer, tolerance) for name, answer in answers.items()}

    def _differences(self, name: str, answer: np.ndarray, tolerance: float) -> list[str]:
        label = self.expected["label"]
        got = {name: polish(name, answer, label.dtype.str, label.shape[1] if label.ndim > 1 else None)}
        expected = self.expected
        if self._note and _is_exponential(self._head):
            # exp makes relative errors of absolute ones, and these rows may lie orders of magnitude beyond the sample.
            expected, got = ({**part, "label": _above_1_by_logarithm(part["label"])} for part in (expected, got))
        agreement = compare(expected, got)
        if agreement.off.any():
            agreement = compare(expected, got, self._flips & agreement.off)
        # Where more than half of such rows are left out, the output was not really compared.
        hidden = bool(self._note) and agreement.flips > agreement.rows / 2
        if hidden:
            agreement = compare(expected, got)
        return [f"{text}{self._note}" for text in agreement.where] if agreement.exceeds(tolerance) else []

    @cached_property
    def _flips(self) -> np.ndarray:
        embedding, values = self._rows
        return decided_by_rounding(lambda moved: answer_quietly(self._head, moved, values), embedding, self.expected)


def _is_exponential(head: Any) -> bool:
    last = head.steps[-1][1] if isinstance(head, Pipeline) else head
    return isinstance(last, TransformedTargetRegressor) or type(last).__name__ in EXPONENTIAL


def _above_1_by_logarithm(numbers: np.ndarray) -> np.ndarray:
    return np.where(numbers > 1, 1 + np.log(numbers.clip(1, np.finfo(np.float32).max)), numbers)


def _unseen(parts: Parts, embedding: np.ndarray, values: Mapping[str, np.ndarray]) -> Iterator[_Exam]:
    for probe in probes(embedding, values):
        # Some heads refuse such rows, those with negative numbers for one.
        with contextlib.suppress(Exception):
            yield _Exam(parts, *probe, note=" (of embeddings that the sample does not show)")
