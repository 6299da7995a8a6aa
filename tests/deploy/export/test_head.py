"""A head in ONNX answers as in scikit-learn, or is not trusted; a head that is kept is kept whole."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators

from featx.deploy._engine import load_head
from featx.deploy.export._head import _PROVEN, ask, check_proven, convert_head, dump_head
from featx.deploy.export._strip import Stripped
from featx.exceptions import BundleError, ExportError
from featx.heads import EmbeddingNormalizer

pytest.importorskip("skl2onnx", reason="needs pip install 'featx[export]'")
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # parameters that scikit-learn renames
]

KINDS = {**dict(all_estimators()), "EmbeddingNormalizer": EmbeddingNormalizer}
OTHERS = {"ColumnTransformer", "Pipeline", "OneHotEncoder", "OrdinalEncoder"}  # of tables: see test_export.py
PARAMETERS = {"CalibratedClassifierCV": {"estimator": LinearSVC()}, "EmbeddingNormalizer": {"method": "power"}}
LABELS = {"text": np.array(["kiwi", "a b", "zoo", "b", "é"]), "integers": np.array([3, 5, 7, 9, 11])}


def proven():
    few = {"n_estimators": 10}
    for name in _PROVEN.split():
        if name not in OTHERS:
            is_forest = name.startswith(("ExtraTrees", "RandomForest", "GradientBoosting"))
            yield KINDS[name](**PARAMETERS.get(name, few if is_forest else {}))


def of_kind(kind):
    return pytest.mark.parametrize("estimator", list(filter(kind, proven())), ids=lambda part: type(part).__name__)


def embeddings(n_classes, scale=1):
    """A thousand rows, of no column that others sum to: of these least squares are a matter of rounding."""
    X, y = make_classification(
        1000, 60, n_informative=20, n_redundant=0, n_classes=n_classes, flip_y=0.1, random_state=0
    )
    return (X * scale).astype(np.float32), y


def convert(head, X):
    """Outputs in ONNX that were held against scikit-learn's."""
    return {name for graph in convert_head(Stripped([], [], head), X, {}) for name in graph.outputs}


@pytest.mark.parametrize("scale", [1, 100])
@pytest.mark.parametrize("n_classes", [2, 5])
@of_kind(is_classifier)
def test_a_proven_classifier_gives_all_its_outputs(estimator, n_classes, scale):
    X, y = embeddings(n_classes, scale)
    head = estimator.fit(X[:500], LABELS["text" if scale == 1 else "integers"][y[:500]])
    check_proven(head)
    assert convert(head, X[500:]) == ask(head, X[:2]).keys()


@pytest.mark.parametrize("scale", [1, 100])
@of_kind(is_regressor)
def test_a_proven_regressor_gives_its_values(estimator, scale):
    X, y = embeddings(5, scale)
    head = estimator.fit(X[:500], X[:500, 0] / scale + y[:500])
    check_proven(head)
    assert convert(head, X[500:]) == {"label"}


@pytest.mark.parametrize("scale", [1, 100])
@of_kind(lambda part: not is_classifier(part) and not is_regressor(part))
def test_a_proven_transformer_passes_on_what_it_should(estimator, scale):
    X, y = embeddings(5, scale)
    head = make_pipeline(estimator, LogisticRegression()).fit(X[:500], y[:500])
    check_proven(head)
    assert convert(head, X[500:]) == {"label", "probabilities", "decision"}


@pytest.mark.parametrize(
    "head",
    [
        TunedThresholdClassifierCV(LogisticRegression()),
        FixedThresholdClassifier(LogisticRegression(), threshold=0.3),
        CalibratedClassifierCV(LinearSVC(), method="isotonic"),
        KNeighborsClassifier(),
        KNeighborsClassifier(metric="cosine"),
        SVC(break_ties=True),
        EmbeddingNormalizer("cl2n"),  # on its way out it is replaced: see test_equivalent.py
        Normalizer("max"),
        SimpleImputer(add_indicator=True),
        FunctionTransformer(np.sqrt),
        make_pipeline(StandardScaler(), TunedThresholdClassifierCV(LogisticRegression())),
        CalibratedClassifierCV(KNeighborsClassifier()),
    ],
    ids=lambda head: repr(head)[:60],
)
def test_what_is_known_to_convert_wrongly_is_not_trusted(head):
    with pytest.raises(ExportError, match=r"not among the steps|does not convert to ONNX rightly"):
        check_proven(head)


def odd_rows():
    X, y = embeddings(2)
    X[::7] = np.nan
    return X, y


@pytest.mark.parametrize(
    ("head", "data"),
    [
        (TunedThresholdClassifierCV(LogisticRegression()), embeddings(2)),
        (FixedThresholdClassifier(LogisticRegression(), threshold=0.3), embeddings(2)),
        (CalibratedClassifierCV(LinearSVC(), method="isotonic"), embeddings(5)),
        (SVC(break_ties=True), embeddings(5)),
        (make_pipeline(Normalizer("max"), LogisticRegression()), embeddings(5)),
        (make_pipeline(SimpleImputer(add_indicator=True), LogisticRegression()), odd_rows()),
        (DecisionTreeClassifier(random_state=0), odd_rows()),
    ],
    ids=lambda part: repr(part)[:40] if hasattr(part, "fit") else "",
)
def test_and_where_it_shows_on_the_sample_it_is_refused_whoever_asks(head, data):
    X, y = data
    with pytest.raises(ExportError, match=r"in ONNX"):
        convert(head.fit(X[:500], y[:500]), X[500:])


def test_a_class_beyond_32_bits_is_refused_where_no_row_shows_that_it_survives():
    X, y = embeddings(2)
    codes = np.array([7, 4_006_381_333_931])[y]  # a bar code
    assert convert(LogisticRegression().fit(X, codes), X) == {"label", "probabilities", "decision"}
    with pytest.raises(ExportError, match=r"label.* in ONNX"):
        convert(GaussianNB().fit(X, codes), X)
    never = LogisticRegression().fit(X, codes)
    never.coef_, never.intercept_ = 0 * never.coef_, never.intercept_ - 1e6
    with pytest.raises(ExportError, match="4006381333931 may be cut to 32 bits"):
        convert(never, X)


def test_a_head_of_several_outputs_is_refused():
    X, y = embeddings(2)
    with pytest.raises(ExportError, match="several outputs"):
        ask(Ridge().fit(X, np.c_[y, y]), X)


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
