"""Write LightGBM's and XGBoost's models, from what they dump: their trees are compared as they compare."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from featx.deploy.export.heads._trees import LEAF, Tree, with_categories, write_trees
from featx.deploy.export.heads._writer import Rows, UnwritableError, Writer, writes

# LightGBM

_LIGHT_CLASSIFIER, _LIGHT_REGRESSOR = "lightgbm.LGBMClassifier", "lightgbm.LGBMRegressor"
_LIGHT_IDENTITY = ("regression", "regression_l1", "huber", "fair", "quantile", "mape")
_LOGARITHMIC = ("poisson", "gamma", "tweedie", "count:poisson", "reg:gamma", "reg:tweedie")


def _light(graph: Writer, step: Any, rows: Rows) -> tuple[str, list[str]]:
    """Write the sum of the trees; return it, and the words that name the objective."""
    dump = step.booster_.dump_model()
    n = dump["num_tree_per_iteration"]
    trees = [_of_lightgbm(entry["tree_structure"]) for entry in dump["tree_info"]]
    x = _with_whole_categories(graph, graph.double(rows), trees, dump["max_feature_idx"] + 1)
    total = write_trees(graph, x, trees, [i % n for i in range(len(trees))], n)
    if dump["average_output"]:
        total = graph.op("Div", total, len(trees) / n)
    return total, dump.get("objective", "an objective of one's own").split()


def _with_whole_categories(graph: Writer, x: str, trees: list[Tree], n: int) -> str:
    """Cut categories to integers, as LightGBM does."""
    asked = np.unique([column for tree in trees for column in tree.feature[tree.modes == "BRANCH_EQ"]])
    if not len(asked):
        return x
    whole = graph.op("Mul", graph.op("Sign", x), graph.op("Floor", graph.op("Abs", x)))
    return graph.op("Where", np.isin(np.arange(n), asked)[None], whole, x)


def _of_lightgbm(root: dict[str, Any]) -> Tree:
    nodes = [root]
    places: list[tuple[int, int]] = []
    for node in nodes:  # it grows meanwhile
        places.append((len(nodes), len(nodes) + 1))
        if "left_child" in node:
            nodes += [node["left_child"], node["right_child"]]
    is_leaf = np.array(["left_child" not in node for node in nodes])
    sets = {i: _categories(node) for i, node in enumerate(nodes) if node.get("decision_type") == "=="}
    if odd := [node for node in nodes if node.get("missing_type") == "Zero"]:
        raise UnwritableError(f"a LightGBM model in which zero is missing ({odd[0]['missing_type']})")
    if any("leaf_coeff" in node for node in nodes):
        raise UnwritableError("a LightGBM model of linear trees")
    tree = Tree(
        feature=np.array([node.get("split_feature", LEAF) for node in nodes]),
        threshold=np.array([0.0 if i in sets else node.get("threshold", 0.0) for i, node in enumerate(nodes)]),
        yes=np.where(is_leaf, 0, [yes for yes, _ in places]),
        no=np.where(is_leaf, 0, [no for _, no in places]),
        missing=np.array([i not in sets and _is_left(node) for i, node in enumerate(nodes)], np.int64),
        value=np.array([[node.get("leaf_value", 0.0)] for node in nodes]),
        modes=np.full(len(nodes), "BRANCH_LEQ"),
    )
    return with_categories(tree, sets)


def _categories(node: dict[str, Any]) -> list[int]:
    return [int(category) for category in node["threshold"].split("||")]


def _is_left(node: dict[str, Any]) -> bool:
    """Whether NaN goes left; where training saw none it is taken for zero."""
    if "left_child" not in node:
        return False
    return bool(node["default_left"] if node["missing_type"] == "NaN" else node["threshold"] >= 0)


@writes("number", _LIGHT_REGRESSOR)
def _light_number(graph: Writer, step: Any, rows: Rows) -> str:
    total, (objective, *details) = _light(graph, step, rows)
    if objective in _LOGARITHMIC:
        return graph.op("Exp", total)
    if objective not in _LIGHT_IDENTITY:
        raise UnwritableError(f"LightGBM's objective {objective!r}")
    return graph.op("Mul", graph.op("Abs", total), total) if "sqrt" in details else total


@writes("decision", _LIGHT_CLASSIFIER)
def _light_decision(graph: Writer, step: Any, rows: Rows) -> str:
    return _light(graph, step, rows)[0]


@writes("probabilities", _LIGHT_CLASSIFIER)
def _light_probabilities(graph: Writer, step: Any, rows: Rows) -> str:
    total, (objective, *details) = _light(graph, step, rows)
    if objective == "multiclass":
        return graph.op("Softmax", total, axis=1)
    if objective != "binary":
        raise UnwritableError(f"LightGBM's objective {objective!r}")
    slope = next((float(text.removeprefix("sigmoid:")) for text in details if text.startswith("sigmoid:")), 1.0)
    return graph.with_complement(graph.sigmoid(graph.op("Mul", total, slope)))


# XGBoost

_EXTREME_CLASSIFIERS = ("xgboost.XGBClassifier", "xgboost.XGBRFClassifier")
_EXTREME_REGRESSORS = ("xgboost.XGBRegressor", "xgboost.XGBRFRegressor")
_EXTREME_IDENTITY = (
    *("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:squaredlogerror", "reg:quantileerror"),
    *("multi:softprob", "multi:softmax"),
)
_LOGISTIC = ("binary:logistic", "reg:logistic")


def _extreme(graph: Writer, step: Any, rows: Rows) -> tuple[str, str]:
    """Write the sum of the trees; return it, and the name of the objective."""
    learner = json.loads(bytes(step.get_booster().save_raw("json")))["learner"]
    objective, model = learner["objective"]["name"], learner["gradient_booster"]
    if model["name"] != "gbtree":
        raise UnwritableError(f"XGBoost's booster {model['name']!r}")
    if not np.isnan(step.missing if step.missing is not None else np.nan):
        raise UnwritableError(f"{type(step).__name__}(missing={step.missing!r})")
    trees, targets = model["model"]["trees"], model["model"]["tree_info"]
    used = len(trees)
    if getattr(step, "early_stopping_rounds", None) is not None:
        used = model["model"]["iteration_indptr"][step.best_iteration + 1]
    sizes = learner["learner_model_param"]
    n = max(1, int(sizes["num_class"]), int(sizes["num_target"]))
    x = graph.cast(graph.cast(rows.name, np.float32), np.float64)
    total = write_trees(graph, x, [_of_xgboost(tree) for tree in trees[:used]], targets[:used], n)
    base = np.array(json.loads(sizes["base_score"]), np.float64).reshape(1, -1)
    return graph.op("Add", total, _margin(base, objective)), objective


def _margin(base: np.ndarray, objective: str) -> np.ndarray:
    if objective in _LOGARITHMIC:
        return np.log(base)
    if objective in _LOGISTIC:
        return np.log(base / (1 - base))
    if objective not in _EXTREME_IDENTITY:
        raise UnwritableError(f"XGBoost's objective {objective!r}")
    return base


def _of_xgboost(tree: dict[str, Any]) -> Tree:
    if any(tree["split_type"]) or int(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise UnwritableError("an XGBoost model of categories, or of trees of several targets")
    yes = np.array(tree["left_children"])
    conditions = np.array(tree["split_conditions"], np.float32).astype(np.float64)
    return Tree(
        feature=np.where(yes < 0, LEAF, tree["split_indices"]),
        threshold=conditions,
        yes=yes,
        no=np.array(tree["right_children"]),
        missing=np.array(tree["default_left"], np.int64),
        value=conditions[:, None],  # of a leaf it is that
        modes=np.full(len(yes), "BRANCH_LT"),
    )


@writes("number", *_EXTREME_REGRESSORS)
def _extreme_number(graph: Writer, step: Any, rows: Rows) -> str:
    total, objective = _extreme(graph, step, rows)
    if objective in _LOGARITHMIC:
        return graph.op("Exp", total)
    return graph.sigmoid(total) if objective in _LOGISTIC else total


@writes("probabilities", *_EXTREME_CLASSIFIERS)
def _extreme_probabilities(graph: Writer, step: Any, rows: Rows) -> str:
    total, objective = _extreme(graph, step, rows)
    if objective in _LOGISTIC:
        return graph.with_complement(graph.sigmoid(total))
    if not objective.startswith("multi:"):
        raise UnwritableError(f"XGBoost's objective {objective!r}")
    return graph.op("Softmax", total, axis=1)
