"""A head in ONNX answers as in scikit-learn, or is not trusted; a head that is kept is kept whole."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.base import is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import make_classification
from sklearn.ensemble import AdaBoostClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import TunedThresholdClassifierCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.utils import all_estimators

import featx
from featx._rebuild import rebuild
from featx.deploy._bundle import load_head
from featx.deploy.export._agreement import ask, compare
from featx.deploy.export._inputs import Parts, walk
from featx.deploy.export.heads import convert_head, dump_head, equivalents, find_unproven
from featx.deploy.export.heads._writer import Output, Rows, Writer
from featx.exceptions import BundleError, ExportError, FallbackWarning
from featx.heads import EmbeddingNormalizer, LinearProbe, PrototypeClassifier, linear_probe

pytest.importorskip("skl2onnx", reason="needs pip install 'featx[export]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs pip install 'featx[export]'")
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # parameters that scikit-learn renames
]

KINDS = {**dict(all_estimators()), "EmbeddingNormalizer": EmbeddingNormalizer}
# Tables are in test_export.py, and steps of which a default says little in test_written_heads.py.
NAMED = """
    MaxAbsScaler MinMaxScaler Normalizer PCA RobustScaler SimpleImputer StandardScaler FunctionTransformer
    CalibratedClassifierCV DecisionTreeClassifier ExtraTreesClassifier GaussianNB GradientBoostingClassifier
    LinearDiscriminantAnalysis LinearSVC LogisticRegression LogisticRegressionCV MLPClassifier
    RandomForestClassifier RidgeClassifier SGDClassifier SVC
    DecisionTreeRegressor ElasticNet ExtraTreesRegressor GradientBoostingRegressor Lasso
    LinearRegression LinearSVR MLPRegressor RandomForestRegressor Ridge RidgeCV SGDRegressor SVR
    EmbeddingNormalizer TransformedTargetRegressor
"""
PARAMETERS = {
    "CalibratedClassifierCV": {"estimator": LinearSVC()},
    "EmbeddingNormalizer": {"method": "power"},
    "TransformedTargetRegressor": {"regressor": Ridge(), "func": np.log1p, "inverse_func": np.expm1},
}
LABELS = {"text": np.array(["kiwi", "a b", "zoo", "b", "é"]), "integers": np.array([3, 5, 7, 9, 11])}


def proven():
    few = {"n_estimators": 10}
    for name in NAMED.split():
        is_forest = name.startswith(("ExtraTrees", "RandomForest", "GradientBoosting"))
        yield KINDS[name](**PARAMETERS.get(name, few if is_forest else {}))


def by_logarithm(y: np.ndarray, head: object) -> np.ndarray:
    """Numbers that a head which predicts their logarithm takes."""
    return np.expm1(np.abs(y) / np.abs(y).max()) if isinstance(head, TransformedTargetRegressor) else y


def of_kind(kind):
    return pytest.mark.parametrize("estimator", list(filter(kind, proven())), ids=lambda part: type(part).__name__)


def embeddings(n_classes, scale=1):
    """A thousand rows, of no column that others sum to: of these least squares are a matter of rounding."""
    X, y = make_classification(
        1000, 60, n_informative=20, n_redundant=0, n_classes=n_classes, flip_y=0.1, random_state=0
    )
    return (X * scale).astype(np.float32), y


def convert(head, X):
    """Outputs in ONNX that answer as scikit-learn's do."""
    conversion = convert_head(Parts([], [], head), X, {})
    assert conversion.problem is None
    return {name for graph in conversion.graphs for name in graph.outputs}


def problem_of(head, X):
    return convert_head(Parts([], [], head), X, {}).problem


@pytest.mark.parametrize("scale", [1, 100])
@pytest.mark.parametrize("n_classes", [2, 5])
@of_kind(is_classifier)
def test_a_proven_classifier_gives_all_its_outputs(estimator, n_classes, scale):
    X, y = embeddings(n_classes, scale)
    head = estimator.fit(X[:500], LABELS["text" if scale == 1 else "integers"][y[:500]])
    assert find_unproven(head) is None
    assert convert(head, X[500:]) == ask(head, X[:2]).keys()


@pytest.mark.parametrize("scale", [1, 100])
@of_kind(is_regressor)
def test_a_proven_regressor_gives_its_values(estimator, scale):
    X, y = embeddings(5, scale)
    head = estimator.fit(X[:500], by_logarithm(X[:500, 0] / scale + y[:500], estimator))
    assert find_unproven(head) is None
    assert convert(head, X[500:]) == {"label"}


@pytest.mark.parametrize("scale", [1, 100])
@of_kind(lambda part: not is_classifier(part) and not is_regressor(part))
def test_a_proven_transformer_passes_on_what_it_should(estimator, scale):
    X, y = embeddings(5, scale)
    head = make_pipeline(estimator, LogisticRegression()).fit(X[:500], y[:500])
    assert find_unproven(head) is None
    assert convert(head, X[500:]) == {"label", "probabilities", "decision"}


@pytest.mark.parametrize(
    "head",
    [
        AdaBoostClassifier(),
        SVC(break_ties=True),
        EmbeddingNormalizer("cl2n"),  # on its way out it is replaced: see below
        Normalizer("max"),
        make_pipeline(StandardScaler(), TunedThresholdClassifierCV(AdaBoostClassifier())),
        CalibratedClassifierCV(AdaBoostClassifier()),
    ],
    ids=lambda head: repr(head)[:60],
)
def test_what_is_known_to_convert_wrongly_is_not_trusted(head):
    assert re.search(r"not among the steps|does not convert to ONNX rightly", find_unproven(head))


@pytest.mark.parametrize(
    ("head", "data"),
    [
        (SVC(break_ties=True), embeddings(5)),
        (make_pipeline(Normalizer("max"), LogisticRegression()), embeddings(5)),
        (make_pipeline(FunctionTransformer(np.cbrt), LogisticRegression()), embeddings(5)),
    ],
    ids=lambda part: repr(part)[:40] if hasattr(part, "fit") else "",
)
def test_and_where_it_shows_on_the_sample_it_is_refused_whoever_asks(head, data):
    X, y = data
    assert "in ONNX" in problem_of(head.fit(X[:500], y[:500]), X[500:])


@pytest.mark.parametrize("head", [LogisticRegression(), GaussianNB(), SVC()], ids=repr)
def test_a_class_beyond_32_bits_survives(head):
    X, y = embeddings(2)
    codes = np.array([7, 4_006_381_333_931])[y]  # a bar code
    assert convert(head.fit(X, codes), X) == ask(head, X[:2]).keys()


def test_a_head_that_is_kept_is_the_same_when_it_is_read(tmp_path):
    X, y = embeddings(5)
    head = make_pipeline(StandardScaler(), CalibratedClassifierCV(SVC())).fit(X[:500], LABELS["text"][y[:500]])
    dump_head(head, tmp_path / "head.skops")
    expected, got = ask(head, X), ask(load_head(tmp_path / "head.skops"), X)
    assert expected.keys() == got.keys()
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name])


def double(X):
    return 2 * X


class Shifted(StandardScaler):
    """A user's own class."""


@pytest.mark.parametrize(
    ("step", "named"),
    [(FunctionTransformer(lambda X: X), "lambda"), (FunctionTransformer(double), "double"), (Shifted(), "Shifted")],
    ids=["lambda", "function", "class"],
)
def test_what_the_other_machine_has_not_is_refused_by_name(step, named, tmp_path):
    X, y = embeddings(2)
    with pytest.raises(ExportError, match=named):
        dump_head(make_pipeline(step, LogisticRegression()).fit(X, y), tmp_path / "head.skops")


def test_of_many_foreign_types_the_first_steps_are_named_and_their_number(tmp_path):
    from skrub import TableVectorizer  # with two dozen types of its own

    X, y = embeddings(2)
    frame = pd.DataFrame(X, columns=[f"embedding_{i}" for i in range(X.shape[1])])
    with pytest.raises(ExportError) as error:
        dump_head(make_pipeline(TableVectorizer(), LogisticRegression()).fit(frame, y), tmp_path / "head.skops")
    assert re.match(r"The head holds \d\d types and functions \(skrub\.\w+\.TableVectorizer, skrub\.", str(error.value))
    assert str(error.value).endswith("functions alone; or keep the model with featx.save(model, folder).")
    assert len(str(error.value)) < 400


def test_a_file_that_holds_anything_else_is_not_read(tmp_path):
    from skops import io

    io.dump(Shifted().fit(np.eye(3)), tmp_path / "head.skops")
    with pytest.raises(BundleError, match=r"holds .*Shifted.*Expected types of scikit-learn"):
        load_head(tmp_path / "head.skops")


METHODS = ("cl2n", "power", "whiten")
NAMES = LABELS["text"]
OWN_HEADS = {
    "probe": linear_probe(Cs=[0.1, 10]),
    "cosine": PrototypeClassifier(),
    "euclidean": PrototypeClassifier("euclidean", temperature=10),
    **{f"{method}, probe": make_pipeline(EmbeddingNormalizer(method), LinearProbe([0.1, 10])) for method in METHODS},
    **{f"{method}, cosine": make_pipeline(EmbeddingNormalizer(method), PrototypeClassifier()) for method in METHODS},
    "nested": make_pipeline(make_pipeline(EmbeddingNormalizer()), make_pipeline(PrototypeClassifier("euclidean"))),
}


def rows(n_classes):
    """A thousand embeddings, one of them zero, and their labels."""
    X, y = embeddings(n_classes)
    X[-1] = 0
    return X, NAMES[y]


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("name", OWN_HEADS)
def test_a_head_gives_all_its_outputs_in_onnx(name, n_classes):
    X, y = rows(n_classes)
    head = OWN_HEADS[name].fit(X[:500], y[:500])
    expected, same = ask(head, X), rebuild(head, equivalents(head))
    assert find_unproven(same) is None
    agreement = compare(expected, ask(same, X))
    assert not agreement.where
    assert agreement.labels_equal == 1
    assert convert(same, X) == {"label", "probabilities", "decision"}


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_class_of_which_nothing_was_seen_leaves_too(metric, n_classes):
    X, y = rows(n_classes)
    seen = y != NAMES[0]
    head = PrototypeClassifier(metric).partial_fit(X[seen], y[seen], classes=NAMES[:n_classes])
    assert {"label", "probabilities"} <= convert(rebuild(head, equivalents(head)), X)


def test_they_are_found_wherever_they_are():
    X, y = rows(5)
    head = CalibratedClassifierCV(make_pipeline(EmbeddingNormalizer(), PrototypeClassifier()), cv=3).fit(X, y)
    same = rebuild(head, equivalents(head))
    np.testing.assert_allclose(same.predict_proba(X), head.predict_proba(X), atol=1e-6)
    assert find_unproven(same) is None
    assert not [part for part in walk(same) if type(part).__module__.startswith("featx")]


class Louder(PrototypeClassifier):
    def predict(self, X):
        return np.char.upper(super().predict(X))


def test_what_a_user_made_of_them_stays_what_it_is():
    X, y = rows(2)
    assert equivalents(make_pipeline(Louder().fit(X, y))) == {}


@pytest.mark.parametrize("head", ["probe", "prototype"])
def test_a_pipeline_of_images_leaves_without_featx(head, tiny, crops, tmp_path):
    model = featx.image_pipeline(head, encoder=tiny, cache=False, verbose=0).fit(crops, [*"abcd"] * 10)
    for kind in ("auto", "sklearn"):  # no warning: the head is ONNX
        bundle = featx.export_bundle(model, tmp_path / kind, sample=crops, head=kind)
        assert bundle.manifest["head"] == ("onnx" if kind == "auto" else "sklearn")
        assert bundle.manifest["verified"]["labels_equal"] == 1
        assert bundle.manifest["verified"]["probabilities_error"] < 1e-4
        np.testing.assert_array_equal(featx.Predictor(bundle).predict(crops), model.predict(crops))
    assert type(model[-1]).__module__.startswith("featx.heads")


def test_the_signed_root_is_onnx_or_nothing(tiny, crops, tmp_path):
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
    model = make_pipeline(encoder, EmbeddingNormalizer("power"), PrototypeClassifier()).fit(crops, [*"ab"] * 20)
    assert featx.export_bundle(model, tmp_path / "bundle").manifest["head"] == "onnx"
    with pytest.raises(ExportError, match=r'"power"\) has no form in scikit-learn.*Expected method="cl2n"'):
        featx.export_bundle(model, tmp_path / "other", head="sklearn")


def test_beside_steps_that_stay_scikit_learns_they_become_that_as_well(tiny, crops, tmp_path):
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
    model = make_pipeline(encoder, EmbeddingNormalizer("whiten"), AdaBoostClassifier(n_estimators=3))
    model.fit(crops, [*"ab"] * 20)
    with pytest.warns(FallbackWarning, match="AdaBoost"):
        bundle = featx.export_bundle(model, tmp_path / "bundle")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(featx.Predictor(bundle).predict(crops), model.predict(crops))


@pytest.fixture(scope="module")
def signed_root():
    """It, and the ONNX form of it."""
    step, graph = EmbeddingNormalizer("power").fit(np.eye(4, dtype=np.float32)), Writer()
    rows = Rows(("X",), (1,), (4,))
    model = graph.model(rows, {"root": Output(graph.write(step, "transform", rows), 1)})
    return step, onnxruntime.InferenceSession(model.SerializeToString())


# Not where squares are subnormal: some libraries have the processor take those for zero, for all that comes later.
elements = st.floats(-1e6, 1e6, width=32).map(lambda value: value if abs(value) > 1e-30 else 0.0)


@pytest.mark.parametrize("size", [0, 1e-29, 1e-15, 1e-13, 1e-11, 1, 1e6])
def test_the_signed_root_of_a_short_row_is_divided_by_its_length_where_the_steps_is(signed_root, size):
    step, session = signed_root
    X = np.array([[0, size, -size, 0]], np.float32)
    np.testing.assert_allclose(session.run(None, {"X": X})[0], step.transform(X), rtol=1e-4, atol=1e-30)


@settings(max_examples=50)
@given(X=arrays.arrays(np.float32, st.tuples(st.integers(1, 5), st.just(4)), elements=elements))
def test_the_signed_root_in_onnx_gives_what_the_step_gives(signed_root, X):
    step, session = signed_root
    (got,) = session.run(None, {"X": X})
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, step.transform(X), rtol=1e-4, atol=1e-6)
