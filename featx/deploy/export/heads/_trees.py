"""Write ensembles of trees: scikit-learn's, with missing values, categories and thresholds as they were learned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featx.deploy.export.heads._writer import ML, Rows, UnwritableError, Writer, writes

LEAF = -1


@dataclass
class Tree:
    """A tree as arrays, one entry for each node; the first is the root.

    Attributes
    ----------
    feature : ndarray of int64
        The column that a node looks at; -1 is a leaf.
    threshold : ndarray of float64
        What it compares that with.
    yes, no : ndarray of int64
        The node that comes next; a node may be reached from several.
    missing : ndarray of int64
        Whether NaN goes to `yes`.
    value : ndarray of float64, shape (n_nodes, n_targets)
        What a leaf adds.
    modes : ndarray of str
        How a node compares, as ONNX names it.
    """

    feature: np.ndarray
    threshold: np.ndarray
    yes: np.ndarray
    no: np.ndarray
    missing: np.ndarray
    value: np.ndarray
    modes: np.ndarray


def write_trees(graph: Writer, x: str, trees: Sequence[Tree], targets: Sequence[int], n_targets: int) -> str:
    """Write the sum of trees.

    Parameters
    ----------
    graph : Writer
        The graph.
    x : str
        What they take, float64: in float32 a threshold would be rounded, and a row could fall on its other side.
    trees : sequence of Tree
        The trees.
    targets : sequence of int
        The column of the sum that each tree's first value adds to.
    n_targets : int
        The number of columns.

    Returns
    -------
    str
        The sum, float64 (n, n_targets), rounded to float32.
    """
    base = np.zeros(n_targets)
    branching = []
    for tree, target in zip(trees, targets, strict=True):
        if len(tree.feature) == 1:
            base[target : target + tree.value.shape[1]] += tree.value[0]
        else:
            branching.append((tree, target))
    if not branching:
        return graph.op("Expand", base[None], graph.op("Concat", graph.op("Shape", x, end=1), np.array([1]), axis=0))
    total = graph.op("TreeEnsembleRegressor", x, domain=ML, **_attributes(branching, n_targets))
    return graph.op("Add", graph.cast(total, np.float64), base[None])


def _attributes(trees: Sequence[tuple[Tree, int]], n_targets: int) -> dict[str, Any]:
    from onnx import numpy_helper

    sizes = [len(tree.feature) for tree, _ in trees]
    every = {
        name: np.concatenate([getattr(tree, name) for tree, _ in trees])
        for name in Tree.__annotations__
        if name != "value"
    }
    is_leaf = every["feature"] == LEAF
    ids: list[np.ndarray] = []
    for number, (tree, target) in enumerate(trees):
        leaves = tree.feature == LEAF
        given = leaves[:, None] & (tree.value != 0)
        given[leaves, 0] = True  # a leaf that adds nothing is one all the same
        nodes, columns = np.nonzero(given)
        ids.append(np.stack([np.full(len(nodes), number), nodes, columns + target]))
    weights = np.concatenate(
        [tree.value[nodes, columns - target] for (tree, target), (_, nodes, columns) in zip(trees, ids, strict=True)]
    )
    target_trees, target_nodes, target_ids = np.concatenate(ids, axis=1)
    return {
        "n_targets": n_targets,
        "nodes_treeids": np.repeat(np.arange(len(trees)), sizes).tolist(),
        "nodes_nodeids": np.concatenate([np.arange(size) for size in sizes]).tolist(),
        "nodes_featureids": np.where(is_leaf, 0, every["feature"]).tolist(),
        "nodes_modes": np.where(is_leaf, "LEAF", every["modes"]).tolist(),
        "nodes_values_as_tensor": numpy_helper.from_array(np.where(is_leaf, 0.0, every["threshold"])),
        "nodes_truenodeids": np.where(is_leaf, 0, every["yes"]).tolist(),
        "nodes_falsenodeids": np.where(is_leaf, 0, every["no"]).tolist(),
        "nodes_missing_value_tracks_true": np.where(is_leaf, 0, every["missing"]).tolist(),
        "target_treeids": target_trees.tolist(),
        "target_nodeids": target_nodes.tolist(),
        "target_ids": target_ids.tolist(),
        "target_weights_as_tensor": numpy_helper.from_array(weights),
    }


def with_categories(tree: Tree, sets: Mapping[int, Sequence[int]]) -> Tree:
    """Ask for each category of a set by a node of its own: node -> the categories that go to its `yes`."""
    arrays = {name: [getattr(tree, name)] for name in Tree.__annotations__}
    size = len(tree.feature)
    for node, categories in sets.items():
        if not len(categories):
            categories = [-1]  # none that there is
        first, *others = categories
        tree.threshold[node], tree.modes[node] = first, "BRANCH_EQ"
        end = tree.no[node]
        if not others:
            continue
        tree.no[node] = size
        n = len(others)
        new = {
            "feature": np.full(n, tree.feature[node]),
            "threshold": np.array(others, np.float64),
            "yes": np.full(n, tree.yes[node]),
            "no": np.append(np.arange(size + 1, size + n), end),
            "missing": np.zeros(n, np.int64),
            "value": np.zeros((n, tree.value.shape[1])),
            "modes": np.full(n, "BRANCH_EQ"),
        }
        for name, array in new.items():
            arrays[name].append(array)
        size += n
    return Tree(**{name: np.concatenate(part) for name, part in arrays.items()})


# scikit-learn's own trees, and forests of them

_CLASSIFIERS = ("sklearn.DecisionTreeClassifier", "sklearn.ExtraTreeClassifier")
_REGRESSORS = ("sklearn.DecisionTreeRegressor", "sklearn.ExtraTreeRegressor")
_FOREST_CLASSIFIERS = ("sklearn.RandomForestClassifier", "sklearn.ExtraTreesClassifier")
_FOREST_REGRESSORS = ("sklearn.RandomForestRegressor", "sklearn.ExtraTreesRegressor")


def _of_sklearn(tree: Any, scale: float = 1.0) -> Tree:
    nodes = tree.__getstate__()["nodes"]
    is_leaf = nodes["left_child"] == LEAF
    values = tree.value.reshape(len(nodes), -1)  # of several outputs beside each other
    return Tree(
        feature=np.where(is_leaf, LEAF, nodes["feature"]),
        threshold=nodes["threshold"].astype(np.float64),
        yes=nodes["left_child"].astype(np.int64),
        no=nodes["right_child"].astype(np.int64),
        missing=nodes["missing_go_to_left"].astype(np.int64),
        value=scale * values,
        modes=np.full(len(nodes), "BRANCH_LEQ"),
    )


def _forest(graph: Writer, step: Any, rows: Rows) -> str:
    """Write the mean of trees that take float32, be it of one."""
    trees = [_of_sklearn(part.tree_) for part in getattr(step, "estimators_", [step])]
    x = graph.cast(graph.cast(rows.name, np.float32), np.float64)
    total = write_trees(graph, x, trees, [0] * len(trees), trees[0].value.shape[1])
    mean = graph.op("Div", total, float(len(trees)))
    if not isinstance(getattr(step, "classes_", None), list):
        return mean
    # Each output has as many columns as the one with most classes.
    sizes = [len(classes) for classes in step.classes_]
    return graph.columns(mean, [i * max(sizes) + j for i, size in enumerate(sizes) for j in range(size)])


writes("probabilities", *_CLASSIFIERS, *_FOREST_CLASSIFIERS)(_forest)
writes("number", *_REGRESSORS, *_FOREST_REGRESSORS)(_forest)


# Gradient boosting

_BOOSTED = ("sklearn.GradientBoostingClassifier", "sklearn.GradientBoostingRegressor")
_HISTOGRAMS = ("sklearn.HistGradientBoostingClassifier", "sklearn.HistGradientBoostingRegressor")


@writes("decision", _BOOSTED[0])
@writes("number", _BOOSTED[1])
def _gradient_boosting(graph: Writer, step: Any, rows: Rows) -> str:
    if step.init_ != "zero" and type(step.init_).__name__ not in ("DummyClassifier", "DummyRegressor"):
        raise UnwritableError(f"{type(step).__name__}(init={step.init_!r})")
    first = step._raw_predict_init(np.zeros((1, step.n_features_in_), np.float32))
    trees = [_of_sklearn(part.tree_, step.learning_rate) for part in step.estimators_.ravel()]
    n = step.estimators_.shape[1]
    x = graph.cast(graph.cast(rows.name, np.float32), np.float64)
    return graph.op("Add", write_trees(graph, x, trees, [i % n for i in range(len(trees))], n), first)


@writes("decision", _HISTOGRAMS[0])
def _histograms(graph: Writer, step: Any, rows: Rows) -> str:
    known = None if step._preprocessor is None else step._bin_mapper.make_known_categories_bitsets()
    n = step.n_trees_per_iteration_
    trees = [_of_histograms(part, known) for parts in step._predictors for part in parts]
    x = graph.double(rows) if known is None else _with_codes(graph, step, graph.double(rows))
    total = write_trees(graph, x, trees, [i % n for i in range(len(trees))], n)
    return graph.op("Add", total, np.asarray(step._baseline_prediction, np.float64).reshape(1, -1))


@writes("number", _HISTOGRAMS[1])
def _histogram_numbers(graph: Writer, step: Any, rows: Rows) -> str:
    return _inverse_link(graph, step, _histograms(graph, step, rows))


def _of_histograms(predictor: Any, known: Any) -> Tree:
    nodes = predictor.nodes
    is_leaf = nodes["is_leaf"].astype(bool)
    tree = Tree(
        feature=np.where(is_leaf, LEAF, nodes["feature_idx"]).astype(np.int64),
        threshold=nodes["num_threshold"].astype(np.float64),
        yes=nodes["left"].astype(np.int64),
        no=nodes["right"].astype(np.int64),
        missing=nodes["missing_go_to_left"].astype(np.int64),
        value=nodes["value"].reshape(-1, 1).astype(np.float64),
        modes=np.full(len(nodes), "BRANCH_LEQ"),
    )
    if known is None:
        return tree
    categorical = np.flatnonzero(nodes["is_categorical"].astype(bool) & ~is_leaf)
    sets = {int(node): _members(predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]]) for node in categorical}
    return with_categories(tree, sets)


def _members(bitset: Iterable[int]) -> list[int]:
    return [32 * i + j for i, word in enumerate(bitset) for j in range(32) if int(word) >> j & 1]


def _with_codes(graph: Writer, step: Any, x: str) -> str:
    """Put the categories' columns first, as codes; what is no category becomes NaN."""
    encoder = step._preprocessor.named_transformers_["encoder"]
    codes = []
    for column, categories in zip(np.flatnonzero(step.is_categorical_), encoder.categories_, strict=True):
        known = np.array([value for value in categories if value == value], np.float64)
        equal = graph.op("Equal", graph.columns(x, [column]), known[None])
        code = graph.op("ArgMax", graph.cast(equal, np.float64), axis=1, keepdims=1)
        is_known = graph.op("Greater", graph.row_sums(graph.cast(equal, np.float64)), 0.0)
        codes.append(graph.op("Where", is_known, graph.cast(code, np.float64), np.nan))
    return graph.beside([*codes, graph.columns(x, np.flatnonzero(~step.is_categorical_))])


def _inverse_link(graph: Writer, step: Any, raw: str) -> str:
    kind = type(step._loss.link).__name__
    if kind == "LogLink":
        return graph.op("Exp", raw)
    if kind != "IdentityLink":
        raise UnwritableError(f"{type(step).__name__}(loss={step.loss!r})")
    return raw


@writes("index", _BOOSTED[0])
def _gradient_boosting_index(graph: Writer, step: Any, rows: Rows) -> str:
    raw = graph.write(step, "decision", rows)
    if step.estimators_.shape[1] > 1:
        return graph.argmax(raw)
    return graph.cast(graph.op("Squeeze", graph.op("GreaterOrEqual", raw, 0.0), np.array([1])), np.int64)


@writes("probabilities", _BOOSTED[0], _HISTOGRAMS[0])
def _boosted_probabilities(graph: Writer, step: Any, rows: Rows) -> str:
    raw = graph.write(step, "decision", rows)
    kind = type(step._loss.link).__name__
    if kind == "MultinomialLogit":
        return graph.op("Softmax", raw, axis=1)
    return graph.with_complement(graph.sigmoid(graph.op("Mul", raw, 2.0) if kind == "HalfLogitLink" else raw))
