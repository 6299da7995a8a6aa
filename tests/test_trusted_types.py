"""The list of what needs no trust is scikit-learn's own, and no index in a file leads outside of its array."""

from __future__ import annotations

import importlib
import subprocess
import sys
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    RandomTreesEmbedding,
)
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer, get_scorer_names, pairwise
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity, KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators
from skops import io

from featx._trusted_types import FUNCTIONS, TRUSTED, TYPES, check_indices

pytestmark = pytest.mark.filterwarnings("ignore")  # of fits on few rows
X, Y = make_classification(60, 5, n_informative=4, n_redundant=0, n_classes=3, n_clusters_per_class=1, random_state=0)


def find(name):
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("name", TRUSTED)
def test_a_name_is_that_of_a_type_or_a_function_where_it_is_made(name):
    found = find(name)
    assert f"{found.__module__}.{found.__qualname__}" == name
    assert isinstance(found, type) == (name in TYPES)
    assert name.split(".")[0] in ("sklearn", "numpy", "scipy")


def test_nothing_on_the_list_reads_files_or_runs_what_it_is_given_by_a_file():
    forbidden = ("load", "fetch", "open", "read", "make_scorer", "pairwise_distances", "pairwise_kernels", "FunctionTr")
    assert not [name for name in TRUSTED if any(word in name.rpartition(".")[2] for word in forbidden)]


def test_the_functions_that_scikit_learns_estimators_take_are_on_it():
    import sklearn.feature_selection as selection

    functions = [get_scorer(name)._score_func for name in get_scorer_names()]
    functions += [getattr(selection, name) for name in selection.__all__]
    functions += [*pairwise.PAIRWISE_KERNEL_FUNCTIONS.values(), *pairwise.PAIRWISE_DISTANCE_FUNCTIONS.values()]
    functions = [function for function in functions if callable(function) and not isinstance(function, type)]
    assert {f"{function.__module__}.{function.__qualname__}" for function in functions} <= set(FUNCTIONS)


TREES = [
    DecisionTreeClassifier(),
    RandomForestClassifier(3),
    ExtraTreesRegressor(3),
    GradientBoostingRegressor(n_estimators=3),
    GradientBoostingClassifier(n_estimators=3, init="zero"),
    GradientBoostingClassifier(n_estimators=3, init=LogisticRegression()),
    BaggingClassifier(n_estimators=3, max_features=3),
    IsolationForest(n_estimators=3, max_features=3),
    make_pipeline(RandomTreesEmbedding(3), LogisticRegression()),
    GridSearchCV(RandomForestClassifier(3), {"max_depth": [2, 3]}, cv=2),
    HistGradientBoostingClassifier(max_iter=3),
    KNeighborsClassifier(),
    KNeighborsClassifier(algorithm="ball_tree", metric="minkowski", metric_params={"w": np.ones(5)}),
    KernelDensity(),
    make_pipeline(SplineTransformer(), LogisticRegression()),
]


def named(model):
    return repr(model).replace("\n", "")[:50]


def test_what_scikit_learns_estimators_learn_from_numbers_needs_no_trust():
    foreign, saved = {}, 0
    for name, kind in all_estimators():
        try:
            data = io.dumps(kind().fit(np.abs(X), Y))
        except Exception:  # other steps or other input are needed, or skops has no form of it
            continue
        saved += 1
        if names := set(io.get_untrusted_types(data=data)) - set(TRUSTED):
            foreign[name] = names
    assert saved > 120
    assert foreign == {"SpectralEmbedding": {"scipy.sparse._csr.csr_matrix"}}  # which predicts nothing


@pytest.mark.parametrize("model", TREES, ids=named)
def test_a_model_as_it_was_saved_passes(model):
    data = io.dumps(clone(model).fit(X, Y))
    assert set(io.get_untrusted_types(data=data)) <= set(TRUSTED)
    check_indices(io.loads(data, trusted=list(TRUSTED)))


def test_a_tree_of_categories_passes():
    table = pd.DataFrame(X, columns=list("abcde")).assign(kind=pd.Categorical(np.resize(["a", "b", "c", "d"], 60)))
    check_indices(HistGradientBoostingClassifier(max_iter=3, categorical_features="from_dtype").fit(table, Y))


# What is damaged below are stand-ins that hold copies of a fitted model's arrays, and that no library could follow.


class Tree:
    def __init__(self, of, **changes):
        self.n_features = of.n_features
        for name in ("children_left", "children_right", "feature"):
            setattr(self, name, getattr(of, name).copy())
        for name, (place, value) in changes.items():
            getattr(self, name)[place] = value


class KDTree:
    places: ClassVar = {"data": 0, "order": 1, "nodes": 2, "bounds": 3, "metric": -2}

    def __init__(self, of, **changes):
        self.state = [part.copy() if isinstance(part, np.ndarray) else part for part in of.__getstate__()]
        for name, change in changes.items():
            self.state[self.places[name]] = change(self.state[self.places[name]])

    def __getstate__(self):
        return tuple(self.state)


class MinkowskiDistance:
    def __init__(self, n_weights):
        self.n_weights = n_weights

    def __getstate__(self):
        return 2.0, np.ones(self.n_weights), np.zeros((1, 1))


class BSpline:
    def __init__(self, t, c, k):
        if len(t) - k - 1 != len(c):
            raise ValueError("knots and coefficients do not fit")
        self.t, self.c, self.k = t, c, k


def owner(kind, **attributes):
    """An estimator by its name, whose attributes are these."""
    made = type(kind, (), {"_raw_predict_init": lambda self, X: np.zeros((len(X), self.first))})()
    vars(made).update(attributes)
    return made


TREE = DecisionTreeClassifier(max_leaf_nodes=4, random_state=0).fit(X, Y).tree_
NEAR = KNeighborsClassifier(leaf_size=5).fit(X, Y)._tree
BINS = SimpleNamespace(is_categorical_=np.zeros(5))
BOOSTED = HistGradientBoostingClassifier(max_iter=1, min_samples_leaf=5).fit(X, Y)


def holding(kind, n=5, trees=3, **attributes):
    estimators = np.array([[SimpleNamespace(tree_=Tree(TREE), n_features_in_=5)] for _ in range(trees)], object)
    return owner(kind, **{"n_features_in_": n, "estimators_": estimators, "first": 1, **attributes})


def boosting(change=None, **attributes):
    predictor = BOOSTED._predictors[0][0]
    nodes = predictor.nodes.copy()
    for name, value in (change or {}).items():
        nodes[name][0] = value
    part = SimpleNamespace(nodes=nodes, raw_left_cat_bitsets=predictor.raw_left_cat_bitsets)
    known = {"n_features_in_": 5, "_n_features": 5, "_preprocessor": None, "_predictors": [[part]]}
    return owner("HistGradientBoosting", **{**known, "_bin_mapper": BINS, **attributes})


def put(value, place=0, field=...):
    def change(array):
        (array if field is ... else array[field])[place] = value
        return array

    return change


@pytest.mark.parametrize(
    "whole",
    [
        Tree(TREE),
        KDTree(NEAR),
        boosting(),
        *map(holding, ("RandomForest", "GradientBoosting")),
        holding("IsolationForest", estimators_features_=[range(5)] * 3),
        owner("DecisionTree", tree_=Tree(TREE), n_features_in_=5),
        BSpline(np.arange(8.0), np.arange(4.0), 3),
    ],
    ids=lambda part: type(part).__name__,
)
def test_a_stand_in_as_it_was_made_passes(whole):
    check_indices({"deep": [np.array([whole, None], object)]})


def cut_short(spline):
    spline.c = spline.c[:2]
    return spline


@pytest.mark.parametrize(
    "damaged",
    [
        Tree(TREE, children_left=(0, 10**6)),
        Tree(TREE, children_right=(0, -7)),
        Tree(TREE, children_left=(0, 0)),
        Tree(TREE, feature=(0, 5)),
        Tree(TREE, feature=(0, -3)),
        owner("DecisionTree", tree_=Tree(TREE), n_features_in_=2),
        holding("RandomForest", n=2),
        holding("RandomForest", estimators_=[SimpleNamespace(tree_=None)]),
        holding("IsolationForest", estimators_features_=[range(1)] * 3),
        holding("IsolationForest", n=4, estimators_features_=[range(5)] * 3),
        holding("GradientBoosting", first=3),
        boosting({"left": 10**6}),
        boosting({"right": 0}),
        boosting({"feature_idx": 5}),
        boosting({"is_categorical": 1}),
        boosting(_n_features=2),
        boosting(_preprocessor=SimpleNamespace()),
        KDTree(NEAR, order=put(60)),
        KDTree(NEAR, order=put(-1)),
        KDTree(NEAR, nodes=put(61, field="idx_end")),
        KDTree(NEAR, nodes=put(0, -1, "is_leaf")),
        KDTree(NEAR, bounds=lambda bounds: bounds[:, :, :2]),
        KDTree(NEAR, data=lambda data: data[:9]),
        KDTree(NEAR, metric=lambda _: MinkowskiDistance(3)),
        cut_short(BSpline(np.arange(8.0), np.arange(4.0), 3)),
    ],
)
def test_an_index_that_leads_outside_is_refused(damaged):
    with pytest.raises(ValueError, match=r"damaged|do not fit"):
        check_indices({"deep": [np.array([damaged, None], object)]})


def test_importing_skops_imports_no_torch_and_leaves_it_importable():
    code = (
        "import sys; from featx._trusted_types import import_skops; import_skops()\n"
        "print('torch' in sys.modules); import torch; print(torch.ones(2).sum().item())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "2.0"]


def test_nothing_stays_hidden_and_other_imports_of_torch_go_on_meanwhile():
    code = """
import sys

class Meanwhile:
    def find_spec(self, name, path=None, target=None):
        if name == "skops.io._sklearn":
            import torch
        return None

sys.meta_path.insert(0, Meanwhile())
from featx._trusted_types import import_skops
before = set(sys.modules)
import_skops()
print("torch" in sys.modules, None in sys.modules.values())
import sklearn.externals.array_api_compat.torch
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
