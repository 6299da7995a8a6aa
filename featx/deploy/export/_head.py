"""Convert a scikit-learn head to ONNX: from embeddings to label, probabilities and decision values.

Heads of featx become equal steps of scikit-learn first; what has no ONNX form that answers alike stays scikit-learn's.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import linear_model, svm
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from featx._optional import import_optional
from featx._trusted_types import import_skops
from featx.deploy._bundle import as_tensor, few, foreign_types, polish
from featx.deploy.export._agreement import answer_quietly, compare, decided_by_rounding, probes
from featx.deploy.export._inputs import Parts, walk
from featx.exceptions import ExportError
from featx.heads import SVC, EmbeddingNormalizer, LinearProbe, LogisticRegression, PrototypeClassifier
from featx.runtimes import OPSET

if TYPE_CHECKING:
    import onnx

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
    EmbeddingNormalizer TransformedTargetRegressor
"""
# Of these only with the parameters that were tried.
_PROVEN_WITH: dict[str, dict[str, Any]] = {
    "CalibratedClassifierCV": {"method": "sigmoid"},
    "EmbeddingNormalizer": {"method": "power"},  # of the others there are equivalents
    "FunctionTransformer": {"func": None},
    "Normalizer": {"norm": "l2"},
    "SimpleImputer": {"add_indicator": False},
    "SVC": {"break_ties": False},
    "TransformedTargetRegressor": {"func": np.log1p, "inverse_func": np.expm1, "transformer": None},
}
# Heads of featx that differ from scikit-learn's in their fit alone.
_PARENTS: dict[type, type] = {LogisticRegression: linear_model.LogisticRegression, SVC: svm.SVC}


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
        One, or two where one graph cannot give probabilities and decision values at once; each output is in one of
        them.
    problem : str or None
        Why the head has no ONNX form that answers as it does; None where it has.
    """

    graphs: list[HeadGraph]
    problem: str | None = None


def find_unproven(head: Any) -> str | None:
    """Say which step of a head was never seen to convert rightly on more than one sample; None if all were."""
    for step in _steps(head):
        wanted = _PROVEN_WITH.get(_name(step), {})
        if _name(step) not in _PROVEN.split():
            return f"{_name(step)} is not among the steps that are known to convert to ONNX rightly"
        if odd := [name for name, value in wanted.items() if getattr(step, name) != value]:
            return f"{_name(step)} with {odd[0]}={getattr(step, odd[0])!r} does not convert to ONNX rightly"
    return None


def find_tree(head: Any) -> str | None:
    """Say which part of a head that gets NaN sends it another way in ONNX: into a tree's other branch."""
    trees = [_name(part) for part in walk(head) if "Tree" in _name(part) or "Forest" in _name(part)]
    return f"{trees[0]} treats missing values otherwise in ONNX" if trees else None


def _steps(head: Any) -> list[Any]:
    """List a head and the estimators among its parameters."""
    return [part for part in [head, *head.get_params().values()] if hasattr(part, "get_params")]


def _name(step: Any) -> str:
    return type(step).__name__


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
    if tuned := [_name(part) for part in _steps(parts.head) if _name(part).endswith("ThresholdClassifierCV")]:
        return Conversion([], f"{tuned[0]} loses its threshold in ONNX")
    head = _with_equivalent(parts.head)
    inputs, feeds = _feeds(parts, embedding, values)
    sample, *unseen = [_Exam(parts, embedding, values), *_unseen(parts, embedding, values)]
    graphs: list[HeadGraph] = []
    reasons: list[str] = []
    scores: list[str | None] = [name for name in ("probabilities", "decision") if name in sample.expected]
    for score in scores or [None]:
        try:
            model, outputs = _convert(head, feeds, score)
            run = _open(model, outputs)
            differences = [sample.compare(run, tolerance), *(exam.compare(run) for exam in unseen)]
        except Exception as error:  # a converter may raise anything of an estimator that it does not know
            reasons.append(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}")
            continue
        new = outputs.keys() - {name for graph in graphs for name in graph.outputs}
        wrong = {name: [text for found in differences for text in found[name]] for name in new}
        reasons += [text for texts in wrong.values() for text in texts]
        graphs.append(HeadGraph(model, inputs, {name: outputs[name] for name in new if not wrong[name]}))
    graphs = [graph for graph in graphs if graph.outputs]
    return Conversion(graphs, _find_lacking(sample, graphs, reasons) or _find_cut(parts.head, [sample, *unseen]))


def _find_lacking(sample: _Exam, graphs: Sequence[HeadGraph], reasons: Sequence[str]) -> str | None:
    known = {name for graph in graphs for name in graph.outputs}
    # Where there are probabilities, decision values may be missing: no label or probability depends on them.
    lacking = sample.expected.keys() - known - ({"decision"} if "probabilities" in known else set())
    if not lacking:
        return None
    return f"it does not give the {' and the '.join(sorted(lacking))} in ONNX ({'; '.join(reasons)})"


def _find_cut(head: Any, exams: Sequence[_Exam]) -> str | None:
    """Say which class some converters would cut to 32 bits, unless each was answered, and rightly."""
    classes = getattr(head, "classes_", np.zeros(0))
    if classes.dtype.kind not in "iu":
        return None
    answered = np.concatenate([exam.expected["label"] for exam in exams])
    large = [label for label in classes.tolist() if abs(label) >= 2**31 and label not in answered]
    return f"the class {large[0]} may be cut to 32 bits in ONNX, and no row of the sample is of it" if large else None


def _feeds(
    parts: Parts, embedding: np.ndarray, values: Mapping[str, np.ndarray]
) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Return the inputs of a conversion, own name -> the bundle's, and what they get."""
    # Converters change names with spaces or accents, and a column may be called "embedding".
    inputs = {"embedding": "embedding", **{f"column{i}": value.tensor for i, value in enumerate(parts.values)}}
    columns = [as_tensor(values[value.name]) for value in parts.values]
    return inputs, dict(zip(inputs, [embedding, *columns], strict=True))


def _convert(head: Any, feeds: Mapping[str, np.ndarray], score: str | None) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Convert to a graph that gives the label and one kind of score."""
    from skl2onnx import to_onnx

    register_converters()
    last = head
    while isinstance(last, Pipeline):
        last = last.steps[-1][1]
    raw = {"raw_scores": True} if score == "decision" else {}
    # Not every converter has the option "zipmap", and without it those that have make a list of dicts.
    attempts: list[dict[str, Any]] = [{"zipmap": False, **raw}, raw] if score else [{}]
    for position, options in enumerate(attempts):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # on attributes that scikit-learn is about to drop
                model = to_onnx(
                    head,
                    initial_types=[(name, _tensor_type(feed)) for name, feed in feeds.items()],
                    options={id(last): options} if options else None,
                    target_opset={"": OPSET, "ai.onnx.ml": _ML_OPSET},
                )
            break
        except NameError:  # an option that the converter does not have
            if position + 1 == len(attempts):
                raise
    names = [output.name for output in model.graph.output]
    return model, dict(zip(["label", *([score] if score else [])], names, strict=False))


def _tensor_type(feed: np.ndarray) -> Any:
    from skl2onnx.common import data_types

    kinds = {"f": data_types.FloatTensorType, "i": data_types.Int64TensorType, "O": data_types.StringTensorType}
    return kinds[feed.dtype.kind]([None, feed.shape[1]])


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
        got = {name: polish(name, answer, self.expected["label"].dtype.str)}
        expected = self.expected
        if self._note and _is_log_target(self._head):
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


def _is_log_target(head: Any) -> bool:
    last = head.steps[-1][1] if isinstance(head, Pipeline) else head
    return isinstance(last, TransformedTargetRegressor) and last.func is np.log1p


def _above_1_by_logarithm(numbers: np.ndarray) -> np.ndarray:
    return np.where(numbers > 1, 1 + np.log(numbers.clip(1, np.finfo(np.float32).max)), numbers)


def _unseen(parts: Parts, embedding: np.ndarray, values: Mapping[str, np.ndarray]) -> Iterator[_Exam]:
    for probe in probes(embedding, values):
        # Some heads refuse such rows, those with negative numbers for one.
        with contextlib.suppress(Exception):
            yield _Exam(parts, *probe, note=" (of embeddings that the sample does not show)")


def _with_equivalent(head: Any) -> Any:
    """Return the same head, its last step as one that is converted rightly."""
    steps = list(head.steps) if isinstance(head, Pipeline) else [("head", head)]
    name, last = steps[-1]
    # Of discriminant analysis with two classes skl2onnx gets the probabilities wrong; it is a linear classifier.
    if type(last) is not LinearDiscriminantAnalysis:
        return head
    return Pipeline([*steps[:-1], (name, as_logistic(last))])


def dump_head(head: Any, file: Path) -> None:
    """Write a head as scikit-learn's, in a file that holds no code.

    Raises
    ------
    ExportError
        If it holds anything but scikit-learn's own types and functions: a bundle's machine has nothing else.
    """
    try:
        import_skops().dump(head, file)
        foreign = foreign_types(file)
    except Exception as error:  # skops may raise anything of what it cannot keep
        raise ExportError(f"The head cannot be kept: {error}{_functions(head)}") from error
    if any(type(part) is EmbeddingNormalizer for part in walk(head)):
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


def equivalents(model: Any) -> dict[int, Any]:
    """Find what can stand in the place of featx's heads: the same head in steps of scikit-learn, for `rebuild`.

    Parameters
    ----------
    model : estimator
        A fitted one.

    Returns
    -------
    dict of int to estimator
        By the id of each head. `EmbeddingNormalizer("power")` has none: `register_converters` has it written in ONNX.
    """
    found = {id(part): _equivalent(part) for part in walk(model)}
    return {key: step for key, step in found.items() if step is not None}


def _equivalent(part: Any) -> Any:
    if type(part) in _PARENTS:
        return _with(_PARENTS[type(part)](), vars(part))
    if type(part) not in (EmbeddingNormalizer, LinearProbe, PrototypeClassifier):
        return None
    is_normalizer = type(part) is EmbeddingNormalizer
    if is_normalizer and part.method == "power":
        return None
    if not hasattr(part, "n_features_in_"):  # what an ensemble has cloned, and predicts without
        return Normalizer() if is_normalizer else linear_model.LogisticRegression()
    if is_normalizer:
        return _normalizer(part)
    return _prototypes(part) if type(part) is PrototypeClassifier else as_logistic(part)


def as_logistic(linear: Any) -> linear_model.LogisticRegression:
    """Make logistic regression of a linear classifier whose probabilities are the softmax of its scores."""
    logistic = linear_model.LogisticRegression()
    for attribute in ("coef_", "intercept_", "classes_", "n_features_in_"):
        setattr(logistic, attribute, getattr(linear, attribute))
    logistic.n_iter_ = np.array([1])
    return logistic


def _prototypes(head: PrototypeClassifier) -> Any:
    logistic = as_logistic(head)
    return _pipeline(normalizer=_unit(head), head=logistic) if head.metric == "cosine" else logistic


def _normalizer(step: EmbeddingNormalizer) -> Pipeline:
    if step.method == "whiten":
        return _pipeline(whiten=_linear(step), normalizer=_unit(step))
    center = StandardScaler(with_std=False)
    fitted = {"mean_": step.mean_, "scale_": None, "var_": None, "n_samples_seen_": np.int64(1)}
    return _pipeline(center=_with(center, {**fitted, "n_features_in_": step.n_features_in_}), normalizer=_unit(step))


def _linear(step: EmbeddingNormalizer) -> PCA:
    fitted = {
        "mean_": step.mean_,
        "components_": step.whitening_.T,
        "n_components_": len(step.mean_),
        "explained_variance_": np.ones(len(step.mean_)),
        "n_features_in_": step.n_features_in_,
    }
    return _with(PCA(), fitted)


def _unit(part: Any) -> Normalizer:
    return _with(Normalizer(), {"n_features_in_": part.n_features_in_})


def _with(estimator: Any, fitted: Mapping[str, Any]) -> Any:
    vars(estimator).update(fitted)
    return estimator


def _pipeline(**steps: Any) -> Pipeline:
    return Pipeline(list(steps.items()))


def register_converters() -> None:
    """Teach skl2onnx `EmbeddingNormalizer("power")` and numbers predicted by their logarithm; again does no harm."""
    from skl2onnx import update_registered_converter

    update_registered_converter(EmbeddingNormalizer, "FeatxEmbeddingNormalizer", _root_shape, _convert_root)
    update_registered_converter(TransformedTargetRegressor, "FeatxLogTarget", _numbers_shape, _convert_log_target)


def _numbers_shape(operator: Any) -> None:
    operator.outputs[0].type = type(operator.inputs[0].type)([None, 1])


def _convert_log_target(scope: Any, operator: Any, container: Any) -> None:
    """Write exp(x) - 1, of what the regressor predicts."""
    from skl2onnx.algebra import onnx_ops as ops
    from skl2onnx.algebra.onnx_operator import OnnxSubEstimator
    from skl2onnx.common.data_types import guess_numpy_type

    x, opset = operator.inputs[0], {"op_version": container.target_opset}
    one = np.ones((1, 1), guess_numpy_type(x.type))
    logarithm = OnnxSubEstimator(operator.raw_operator.regressor_, x, **opset)
    column = ops.OnnxReshape(logarithm, np.array([-1, 1], np.int64), **opset)
    ops.OnnxSub(ops.OnnxExp(column, **opset), one, output_names=operator.outputs, **opset).add_to(scope, container)


def _root_shape(operator: Any) -> None:
    taken = operator.inputs[0].type
    operator.outputs[0].type = type(taken)([None, taken.shape[1]])


def _convert_root(scope: Any, operator: Any, container: Any) -> None:
    """Write sign(x) sqrt(|x| / sum |x|), which is the root over its length."""
    from skl2onnx.algebra import onnx_ops as ops
    from skl2onnx.common.data_types import guess_numpy_type

    x, opset = operator.inputs[0], {"op_version": container.target_opset}
    dtype = guess_numpy_type(x.type)
    shortest, one = np.array([[10 * np.finfo(dtype).eps]], dtype), np.ones((1, 1), dtype)
    size = ops.OnnxAbs(x, **opset)
    total = ops.OnnxReduceSum(size, np.array([1], np.int64), keepdims=1, **opset)
    # By a shorter length scikit-learn's `normalize` does not divide.
    is_short = ops.OnnxLess(ops.OnnxSqrt(total, **opset), shortest, **opset)
    root = ops.OnnxSqrt(ops.OnnxDiv(size, ops.OnnxWhere(is_short, one, total, **opset), **opset), **opset)
    ops.OnnxMul(ops.OnnxSign(x, **opset), root, output_names=operator.outputs, **opset).add_to(scope, container)
