"""Every classifier, regressor and clustering of scikit-learn leaves rightly, stays, or is refused by name."""

from __future__ import annotations

import inspect
from functools import cache

import numpy as np
import pytest
from sklearn.base import ClassifierMixin, ClusterMixin, RegressorMixin
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm import SVC
from sklearn.utils import all_estimators

from featx.deploy._bundle import load_head, polish
from featx.deploy.export._agreement import answer_quietly, ask, compare
from featx.deploy.export._inputs import Parts
from featx.deploy.export.heads import convert_head, dump_head
from featx.deploy.export.heads._convert import _open
from featx.exceptions import ExportError

pytest.importorskip("skl2onnx", reason="needs pip install 'featx[export]'")
pytestmark = pytest.mark.filterwarnings("ignore")  # of fits on few rows

HEADS = {
    name: kind for name, kind in all_estimators() if issubclass(kind, ClassifierMixin | RegressorMixin | ClusterMixin)
}
RANDOM = np.random.default_rng(0)
CENTRES = RANDOM.normal(size=(3, 6))
CLASSES = np.repeat([0, 1, 2], 20)
X = (CENTRES[CLASSES] + 0.5 * RANDOM.normal(size=(60, 6))).astype(np.float32)
# Not those that the export itself looks at: other draws, between the classes and far from them.
NEW = [
    (scale * (CENTRES[RANDOM.integers(3, size=40)] + RANDOM.normal(size=(40, 6)))).astype(np.float32)
    for scale in (1, 7, 300)
]
GIVEN = {
    "estimators": lambda part: [("one", part), ("other", type(part)())],
    "estimator": lambda part: part,
    "base_estimator": lambda part: part,
    "param_grid": lambda part: {next(iter({"C", "alpha"} & set(part.get_params()))): [0.1, 1]},
    "param_distributions": lambda part: {next(iter({"C", "alpha"} & set(part.get_params()))): [0.1, 1]},
    "n_iter": lambda part: 2,
}
CANNOT_BE_ASKED = {
    *("AgglomerativeClustering", "DBSCAN", "FeatureAgglomeration", "HDBSCAN", "OPTICS", "SpectralClustering"),
    *("SpectralBiclustering", "SpectralCoclustering"),  # they predict nothing
    *("MultiOutputClassifier", "MultiOutputRegressor", "ClassifierChain", "RegressorChain", "CCA", "PLSCanonical"),
    *("MultiTaskElasticNet", "MultiTaskElasticNetCV", "MultiTaskLasso", "MultiTaskLassoCV"),  # of several outputs
    *("CategoricalNB", "RadiusNeighborsClassifier"),  # they refuse rows that are new
    "IsotonicRegression",  # of one column
}


@cache
def fitted(name, **parameters):
    """A head, fitted once on rows that it takes: some take none below zero."""
    kind = HEADS[name]
    part = Ridge() if "Regressor" in name else LogisticRegression()
    accepted = inspect.signature(kind.__init__).parameters
    if "random_state" in accepted:
        parameters.setdefault("random_state", 0)
    for parameter, entry in accepted.items():
        if parameter in GIVEN and (entry.default is entry.empty or name == "SelfTrainingClassifier"):
            parameters.setdefault(parameter, GIVEN[parameter](part))
    labels = CLASSES % 2 if "Threshold" in name else CLASSES
    y = 1 + labels + X[:, 0] ** 2 if issubclass(kind, RegressorMixin) else labels
    try:
        return kind(**parameters).fit(X, y), X, NEW
    except ValueError:
        return kind(**parameters).fit(np.abs(X), y), np.abs(X), [np.abs(rows) for rows in NEW]


def answers(graphs, rows, expected):
    got = {}
    for graph in graphs:
        got |= _open(graph.model, graph.outputs)({"embedding": rows})
    return {name: polish(name, answer, expected["label"].dtype.str) for name, answer in got.items()}


def assert_graphs_answer_alike(head, graphs, new):
    for rows in new:
        expected = answer_quietly(head, rows, {})
        if not any(np.abs(scores).max() > np.finfo(np.float32).max for scores in expected.values()):
            assert compare(expected, answers(graphs, rows, expected)).where == []


@pytest.mark.parametrize("name", sorted(HEADS.keys() - CANNOT_BE_ASKED))
def test_in_onnx_it_answers_alike_also_where_the_sample_has_no_row_or_it_is_refused(name):
    head, sample, new = fitted(name)
    conversion = convert_head(Parts([], [], head), sample, {})
    if conversion.problem is None:
        assert_graphs_answer_alike(head, conversion.graphs, new)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("SGDClassifier", {"loss": "log_loss"}),
        ("SGDClassifier", {"loss": "modified_huber"}),
        ("OneVsRestClassifier", {"estimator": LogisticRegression(C=100)}),
        ("KNeighborsClassifier", {"weights": "distance"}),
        ("CalibratedClassifierCV", {"estimator": SVC(), "method": "isotonic"}),
        ("FixedThresholdClassifier", {"estimator": LogisticRegression(), "threshold": 0.9}),
    ],
    ids=str,
)
def test_where_scores_saturate_it_answers_alike(name, parameters):
    head, sample, new = fitted(name, **parameters)
    conversion = convert_head(Parts([], [], head), sample, {})
    assert conversion.problem is None
    assert_graphs_answer_alike(head, conversion.graphs, new)


@pytest.mark.parametrize("name", sorted(HEADS.keys() - CANNOT_BE_ASKED))
def test_and_it_stays_scikit_learns_or_is_refused_by_name(name, tmp_path):
    head, sample, _ = fitted(name)
    if name == "Birch":  # skops has no form of it
        with pytest.raises(ExportError, match="Birch"):
            dump_head(head, tmp_path / "head.skops")
        return
    dump_head(head, tmp_path / "head.skops")
    expected, got = ask(head, sample), ask(load_head(tmp_path / "head.skops"), sample)
    for output in expected:
        np.testing.assert_array_equal(got[output], expected[output])
