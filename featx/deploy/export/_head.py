"""A scikit-learn head -> ONNX graphs from embeddings to label, probabilities and decision values."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import Pipeline

from featx._optional import import_optional
from featx.deploy._engine import METHODS, as_tensor, few, foreign_types, head_input, polish
from featx.deploy.export._agreement import compare, decided_by_rounding
from featx.deploy.export._equivalent import as_logistic
from featx.deploy.export._inputs import walk
from featx.deploy.export._probes import probes
from featx.deploy.export._signed_root import register_signed_root
from featx.exceptions import ExportError
from featx.heads import EmbeddingNormalizer
from featx.runtimes import OPSET

if TYPE_CHECKING:
    import onnx

    from featx.deploy.export._strip import Stripped

_ML_OPSET = 3
# What skl2onnx was seen to convert rightly: `python -m tests.benchmarks.bundles` prints the table.
_PROVEN = """
    ColumnTransformer FunctionTransformer Pipeline
    MaxAbsScaler MinMaxScaler Normalizer OneHotEncoder OrdinalEncoder PCA RobustScaler SimpleImputer StandardScaler
    CalibratedClassifierCV DecisionTreeClassifier ExtraTreesClassifier GaussianNB GradientBoostingClassifier
    LinearDiscriminantAnalysis LinearSVC LogisticRegression LogisticRegressionCV MLPClassifier
    RandomForestClassifier RidgeClassifier SGDClassifier SVC
    DecisionTreeRegressor ElasticNet ExtraTreesRegressor GradientBoostingRegressor Lasso
    LinearRegression LinearSVR MLPRegressor RandomForestRegressor Ridge RidgeCV SGDRegressor SVR
    EmbeddingNormalizer
"""
# Of these only with the parameters that were tried.
_PROVEN_WITH = {
    "CalibratedClassifierCV": {"method": "sigmoid"},
    "EmbeddingNormalizer": {"method": "power"},  # of the others there are equivalents
    "FunctionTransformer": {"func": None},
    "Normalizer": {"norm": "l2"},
    "SimpleImputer": {"add_indicator": False},
    "SVC": {"break_ties": False},
}


@dataclass(frozen=True)
class HeadGraph:
    """One conversion of a head.

    Attributes
    ----------
    model : onnx.ModelProto
        Takes ``embedding`` and the values.
    inputs : dict of str to str
        The graph's own name of each input -> the bundle's.
    outputs : dict of str to str
        ``label``, ``probabilities``, ``decision`` -> the graph's own name of it.
    """

    model: onnx.ModelProto
    inputs: dict[str, str]
    outputs: dict[str, str]


def check_proven(head: Any) -> None:
    """Refuse to trust a conversion that was not held against scikit-learn on more than this sample.

    Raises
    ------
    ExportError
        Naming the step.
    """
    for step in _steps(head):
        wanted = _PROVEN_WITH.get(_name(step), {})
        if _name(step) not in _PROVEN.split():
            raise ExportError(f"{_name(step)} is not among the steps that are known to convert to ONNX rightly")
        if odd := [name for name, value in wanted.items() if getattr(step, name) != value]:
            raise ExportError(f"{_name(step)} with {odd[0]}={getattr(step, odd[0])!r} does not convert to ONNX rightly")


def check_missing(head: Any) -> None:
    """Refuse ONNX for heads that get NaN and send it another way there: into a tree's other branch.

    Raises
    ------
    ExportError
        Naming the estimator.
    """
    if trees := [_name(part) for part in walk(head) if "Tree" in _name(part) or "Forest" in _name(part)]:
        raise ExportError(f"{trees[0]} treats missing values otherwise in ONNX")


def _steps(head: Any) -> list[Any]:
    """A head and the estimators among its parameters."""
    return [part for part in [head, *head.get_params().values()] if hasattr(part, "get_params")]


def _name(step: Any) -> str:
    return type(step).__name__


def ask(head: Any, X: Any) -> dict[str, np.ndarray]:
    """What an estimator answers: its label and whichever scores it has."""
    answers = {name: getattr(head, method)(X) for name, method in METHODS.items() if hasattr(head, method)}
    if getattr(answers["label"], "ndim", 1) != 1:
        raise ExportError("Got a head of several outputs. Expected one: export a pipeline for each.")
    return {name: answer for name, answer in answers.items() if isinstance(answer, np.ndarray)}


def convert_head(
    stripped: Stripped, embedding: np.ndarray, values: Mapping[str, np.ndarray], tolerance: float = 0.0
) -> list[HeadGraph]:
    """Convert a head, and hold every output against scikit-learn's, on the sample and on what it does not show.

    Parameters
    ----------
    stripped : Stripped
    embedding : ndarray of shape (n, dim), float32
        Of a sample.
    values : dict of str to ndarray of shape (n, 1)
        The sample's other columns.
    tolerance : float, default=0.0
        Share of the sample's rows that may be answered otherwise.

    Returns
    -------
    list of HeadGraph
        One, or two where one graph cannot give probabilities and decision values
        at once; each output is in one of them.

    Raises
    ------
    ExportError
        If it has no ONNX form, or its ONNX form gives other answers.
    MissingDependencyError
        Without the extra ``export``.
    """
    import_optional("skl2onnx", extra="export", purpose="A head in ONNX")
    if wrong := [_name(part) for part in _steps(stripped.head) if _name(part).endswith("ThresholdClassifierCV")]:
        raise ExportError(f"{wrong[0]} loses its threshold in ONNX")
    head = _with_equivalent(stripped.head)
    inputs, feeds = _feeds(stripped, embedding, values)
    sample, *unseen = [_Exam(stripped, embedding, values), *_unseen(stripped, embedding, values)]
    expected = sample.expected
    graphs: list[HeadGraph] = []
    reasons: list[str] = []
    for score in [name for name in ("probabilities", "decision") if name in expected] or [None]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # on attributes that scikit-learn is about to drop
                model, outputs = _convert(head, feeds, score)
            run = _open(model, outputs)
            marks = [sample.mark(run, tolerance), *(exam.mark(run) for exam in unseen)]
        except Exception as error:  # a converter says anything of an estimator that it does not know
            reasons.append(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}")
            continue
        known = {name for graph in graphs for name in graph.outputs}
        for name in outputs.keys() - known:
            if wrong := [text for mark in marks for text in mark[name]]:
                reasons += wrong
                del outputs[name]
        graphs.append(HeadGraph(model, inputs, {name: outputs[name] for name in outputs.keys() - known}))
    known = {name for graph in graphs for name in graph.outputs}
    # Of decision values beside probabilities nobody's answer depends.
    if lacking := expected.keys() - known - ({"decision"} if "probabilities" in known else set()):
        raise ExportError(f"it does not give the {' and the '.join(sorted(lacking))} in ONNX ({'; '.join(reasons)})")
    _check_large_classes(stripped.head, [sample, *unseen])
    return [graph for graph in graphs if graph.outputs]


def _check_large_classes(head: Any, exams: Sequence[_Exam]) -> None:
    """Refuse classes that some converters cut to 32 bits, unless each was answered, and rightly."""
    classes = getattr(head, "classes_", np.zeros(0))
    if classes.dtype.kind not in "iu":
        return
    answered = np.concatenate([exam.expected["label"] for exam in exams])
    for label in classes.tolist():
        if abs(label) >= 2**31 and label not in answered:
            raise ExportError(f"the class {label} may be cut to 32 bits in ONNX, and no row of the sample is of it")


def _feeds(
    stripped: Stripped, embedding: np.ndarray, values: Mapping[str, np.ndarray]
) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Inputs of a conversion, own name -> the bundle's, and what they get."""
    # Converters change names with spaces or accents, and a column may be called "embedding".
    inputs = {"embedding": "embedding", **{f"column{i}": value.tensor for i, value in enumerate(stripped.values)}}
    columns = [as_tensor(values[value.name]) for value in stripped.values]
    return inputs, dict(zip(inputs, [embedding, *columns], strict=True))


def _convert(head: Any, feeds: Mapping[str, np.ndarray], score: str | None) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Convert to a graph that gives the label and one kind of score."""
    from skl2onnx import to_onnx

    register_signed_root()
    last = head
    while isinstance(last, Pipeline):
        last = last.steps[-1][1]
    raw = {"raw_scores": True} if score == "decision" else {}
    # Not every converter has the option "zipmap", and without it those that have make a list of dicts.
    for options in [{"zipmap": False, **raw}, raw] if score else [{}]:
        try:
            model = to_onnx(
                head,
                initial_types=[(name, _tensor_type(feed)) for name, feed in feeds.items()],
                options={id(last): options} if options else None,
                target_opset={"": OPSET, "ai.onnx.ml": _ML_OPSET},
            )
            break
        except NameError as error:
            unknown_option = error
    else:
        raise unknown_option
    names = [output.name for output in model.graph.output]
    return model, dict(zip(["label", *([score] if score else [])], names, strict=False))


def _tensor_type(feed: np.ndarray) -> Any:
    from skl2onnx.common import data_types

    kinds = {"f": data_types.FloatTensorType, "i": data_types.Int64TensorType, "O": data_types.StringTensorType}
    return kinds[feed.dtype.kind]([None, feed.shape[1]])


def _open(
    model: onnx.ModelProto, outputs: Mapping[str, str]
) -> Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
    """Run a graph: feeds -> its outputs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is told by who calls
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    own = dict(outputs)
    return lambda feeds: dict(zip(own, session.run(list(own.values()), dict(feeds)), strict=True))


class _Exam:
    """Rows that a graph must answer as scikit-learn's head does."""

    def __init__(self, stripped: Stripped, embedding: np.ndarray, values: Mapping[str, np.ndarray], told: str = ""):
        self._rows = embedding, values
        self._head = stripped.head
        self._feeds = _feeds(stripped, embedding, values)[1]
        self._told = told
        self.expected = answer_quietly(stripped.head, embedding, values)

    def mark(self, run: Callable[..., dict[str, np.ndarray]], tolerance: float = 0.0) -> dict[str, list[str]]:
        """Tell in words where each output of a graph disagrees in more than a share of the rows."""
        answers = run(self._feeds)
        return {name: self._mark(name, answer, tolerance) for name, answer in answers.items()}

    def _mark(self, name: str, answer: np.ndarray, tolerance: float) -> list[str]:
        got = {name: polish(name, answer, self.expected["label"].dtype.str)}
        agreement = compare(self.expected, got)
        if agreement.off.any():
            agreement = compare(self.expected, got, self._flips & agreement.off)
        # What more than half of such rows is forgiven was not looked at.
        hidden = bool(self._told) and agreement.flips > agreement.rows / 2
        if hidden:
            agreement = compare(self.expected, got)
        return [f"{text}{self._told}" for text in agreement.where] if agreement.exceeds(tolerance) else []

    @cached_property
    def _flips(self) -> np.ndarray:
        embedding, values = self._rows
        return decided_by_rounding(lambda moved: answer_quietly(self._head, moved, values), embedding, self.expected)


def _unseen(stripped: Stripped, embedding: np.ndarray, values: Mapping[str, np.ndarray]) -> Iterator[_Exam]:
    for probe in probes(embedding, values):
        # Some heads refuse such rows, those with negative numbers for one.
        with contextlib.suppress(Exception):
            yield _Exam(stripped, *probe, told=" (of embeddings that the sample does not show)")


def answer_quietly(head: Any, embedding: np.ndarray, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a head answers to embeddings and the other columns; nothing is said of names or of large numbers."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return ask(head, head_input(embedding, values))


def _with_equivalent(head: Any) -> Any:
    """The same head, with its last step as one that is converted rightly."""
    steps = list(head.steps) if isinstance(head, Pipeline) else [("head", head)]
    name, last = steps[-1]
    # Of discriminant analysis with two classes skl2onnx gets the probabilities wrong; it is a linear classifier.
    if type(last) is not LinearDiscriminantAnalysis:
        return head
    return Pipeline([*steps[:-1], (name, as_logistic(last))])


def dump_head(head: Any, file: Path) -> None:
    """Keep a head as scikit-learn's, in a file that runs no code of its own.

    Raises
    ------
    ExportError
        If it holds anything but scikit-learn's own types and functions: the box has nothing else.
    """
    from skops import io

    try:
        io.dump(head, file)
        foreign = foreign_types(file)
    except Exception as error:  # skops says anything of what it cannot keep
        raise ExportError(f"The head cannot be kept: {error}{_functions(head)}") from error
    if f"{EmbeddingNormalizer.__module__}.EmbeddingNormalizer" in foreign:
        raise ExportError(
            'EmbeddingNormalizer(method="power") has no form in scikit-learn, and the bundle\'s machine has no featx. '
            'Expected method="cl2n" or "whiten", or a head whose steps all convert to ONNX and no head="sklearn".'
        )
    if foreign:
        steps = [f"{type(part).__module__}.{type(part).__qualname__}" for part in walk(head)]
        foreign = [*(name for name in dict.fromkeys(steps) if name in foreign), *(n for n in foreign if n not in steps)]
        raise ExportError(
            f"The head holds {few(foreign)}, which a bundle's machine would not take from a file"
            f"{_functions(head)}. Expected scikit-learn's own estimators and functions alone; or keep the model with "
            "featx.save(model, folder)."
        )


def _functions(head: Any) -> str:
    """Name the steps that hold functions."""
    found = [f"FunctionTransformer({part.func!r})" for part in walk(head) if getattr(part, "func", None) is not None]
    return f" (see {', '.join(found)})" if found else ""
