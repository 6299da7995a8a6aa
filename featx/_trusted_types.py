"""What a file of skops may hold unasked: scikit-learn's own types and functions, by name, and with indices that fit.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed. A name is here only if
nothing that a file gives it makes it run something else: functions compute with numbers alone (they may be called
while a file is read), types hold data, estimators that are here, or functions that are here.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from functools import partial
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np


def _names(module: str, names: str) -> list[str]:
    return [f"{module}.{name}" for name in names.split()]


# Beside scikit-learn's estimators, which skops trusts.
TYPES = (
    "numpy.dtype",
    "scipy.interpolate._bsplines.BSpline",
    *_names("sklearn._loss.loss", "HalfTweedieLoss HalfTweedieLossIdentity"),
    *_names("sklearn.calibration", "_CalibratedClassifier _SigmoidCalibration _TemperatureScaling"),
    "sklearn.cluster._bisect_k_means._BisectingTree",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    *_names(
        "sklearn.gaussian_process.kernels",
        "CompoundKernel ConstantKernel DotProduct ExpSineSquared Exponentiation Hyperparameter Matern PairwiseKernel "
        "Product RBF RationalQuadratic Sum WhiteKernel",
    ),
    "sklearn.impute._iterative._ImputerTriplet",
    *_names(
        "sklearn.metrics._dist_metrics",
        "ChebyshevDistance32 ChebyshevDistance64 EuclideanDistance32 "
        "EuclideanDistance64 ManhattanDistance32 ManhattanDistance64 "
        "MinkowskiDistance32 MinkowskiDistance64",
    ),
    *_names("sklearn.metrics._scorer", "_CurveScorer _MultimetricScorer _PassthroughScorer _Scorer"),
    *_names(
        "sklearn.model_selection._split",
        "GroupKFold GroupShuffleSplit KFold LeaveOneGroupOut LeaveOneOut LeavePGroupsOut LeavePOut PredefinedSplit "
        "RepeatedKFold RepeatedStratifiedKFold ShuffleSplit StratifiedGroupKFold StratifiedKFold "
        "StratifiedShuffleSplit TimeSeriesSplit _CVIterableWrapper",
    ),
    "sklearn.multiclass._ConstantPredictor",
    *_names("sklearn.neighbors._ball_tree", "BallTree BallTree32 BallTree64"),
    *_names("sklearn.neighbors._kd_tree", "KDTree KDTree32 KDTree64"),
    *_names("sklearn.neural_network._stochastic_optimizers", "AdamOptimizer SGDOptimizer"),
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
    *_names("sklearn.utils._metadata_requests", "MetadataRequest MethodMetadataRequest"),
)
FUNCTIONS = (
    *_names("numpy", "amax amin max mean median min std sum var"),
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    *_names("sklearn.cluster._kmeans", "_kmeans_single_elkan _kmeans_single_lloyd"),
    *_names("sklearn.feature_selection._mutual_info", "mutual_info_classif mutual_info_regression"),
    *_names("sklearn.feature_selection._univariate_selection", "chi2 f_classif f_oneway f_regression r_regression"),
    *_names(
        "sklearn.metrics._classification",
        "accuracy_score balanced_accuracy_score brier_score_loss cohen_kappa_score d2_brier_score d2_log_loss_score "
        "f1_score fbeta_score hamming_loss hinge_loss jaccard_score log_loss matthews_corrcoef precision_score "
        "recall_score zero_one_loss",
    ),
    *_names(
        "sklearn.metrics._ranking",
        "average_precision_score coverage_error dcg_score label_ranking_average_precision_score label_ranking_loss "
        "ndcg_score roc_auc_score top_k_accuracy_score",
    ),
    *_names(
        "sklearn.metrics._regression",
        "d2_absolute_error_score d2_pinball_score d2_tweedie_score explained_variance_score max_error "
        "mean_absolute_error mean_absolute_percentage_error mean_gamma_deviance mean_pinball_loss "
        "mean_poisson_deviance mean_squared_error mean_squared_log_error mean_tweedie_deviance median_absolute_error "
        "r2_score root_mean_squared_error root_mean_squared_log_error",
    ),
    *_names("sklearn.metrics._scorer", "negative_likelihood_ratio positive_likelihood_ratio"),
    *_names(
        "sklearn.metrics.cluster._supervised",
        "adjusted_mutual_info_score adjusted_rand_score completeness_score fowlkes_mallows_score homogeneity_score "
        "mutual_info_score normalized_mutual_info_score rand_score v_measure_score",
    ),
    *_names(
        "sklearn.metrics.pairwise",
        "additive_chi2_kernel chi2_kernel cosine_distances cosine_similarity euclidean_distances haversine_distances "
        "laplacian_kernel linear_kernel manhattan_distances nan_euclidean_distances polynomial_kernel rbf_kernel "
        "sigmoid_kernel",
    ),
)
TRUSTED = (*TYPES, *FUNCTIONS)
# Of skrub's TableVectorizer, which a model may hold, a bundle not: it chooses columns by these functions alone.
OF_TABLES = (
    *_names("skrub._apply_to_each_col", "ApplyToEachCol"),
    *_names("skrub._check_input", "CheckInputDataFrame"),
    *_names("skrub._clean_categories", "CleanCategories"),
    *_names("skrub._clean_null_strings", "CleanNullStrings"),
    *_names("skrub._dataframe._common", "is_any_date is_categorical is_numeric"),
    *_names("skrub._datetime_encoder", "DatetimeEncoder"),
    *_names("skrub._drop_uninformative", "DropUninformative"),
    *_names("skrub._duration_to_float", "DurationToFloat"),
    *_names("skrub._string_encoder", "StringEncoder"),
    *_names("skrub._table_vectorizer", "PassThrough ShortReprDict TableVectorizer _created_by_predicate"),
    *_names("skrub._to_datetime", "ToDatetime"),
    *_names("skrub._to_float", "ToFloat"),
    *_names("skrub._to_str", "ToStr"),
    *_names("skrub.selectors._base", "All And Cols Filter Sub"),
    "skrub.selectors._selectors._cardinality_below",
)


def import_skops() -> ModuleType:
    """Import skops, and no torch with it.

    skops asks scikit-learn for all of its estimators, and scikit-learn then imports each package below it. One of
    these is a layer over torch, which imports torch: many seconds that nothing needs. That one package is hidden
    meanwhile, for the whole process, which matters only to another thread that hands scikit-learn its first tensors
    just then. This is the only place in which featx changes ``sys.modules``.

    Returns
    -------
    module
        ``skops.io``, with ``skops.io.exceptions``.
    """
    layer = "sklearn.externals.array_api_compat.torch"
    hide = not {"torch", "skops.io", layer} & sys.modules.keys()
    if hide:
        sys.modules[layer] = None  # type: ignore[assignment]  # what import takes for a module that cannot be found
    try:
        import skops.io
        import skops.io.exceptions
    finally:
        if hide:
            sys.modules.pop(layer, None)
    return skops.io


_OF_TREES = ("RandomForest", "ExtraTrees", "RandomTrees", "GradientBoosting", "IsolationForest")


def check_indices(model: Any) -> None:
    """Check what native code would follow without looking: the indices inside of trees.

    Parameters
    ----------
    model : object
        What was read from a file; nothing of it has been called yet.

    Raises
    ------
    ValueError
        If one points outside of its tree, or of the columns that its owner takes.
    """
    for part in reversed(list(walk(model))):  # what is held before who holds it
        kind = type(part).__name__
        if kind == "Tree":
            _check_tree(part)
        elif kind == "BSpline":
            type(part)(part.t, part.c, part.k)  # raises where its knots and its coefficients do not fit
        elif kind.startswith(("KDTree", "BallTree")):
            _check_neighbors(part)
        elif hasattr(part, "_predictors") and hasattr(part, "_bin_mapper"):
            _check_boosting(part)
        elif hasattr(part, "__dict__"):
            _check_owner(part, kind)


def walk(model: Any) -> Iterator[Any]:
    """Yield everything that a model holds, however deep."""
    seen, stack = set(), [model]
    while stack:
        part = stack.pop()
        if id(part) in seen or isinstance(part, type | ModuleType | FunctionType | BuiltinFunctionType | str | bytes):
            continue
        seen.add(id(part))
        yield part
        if isinstance(part, np.ndarray):
            stack += part.ravel().tolist() if part.dtype == object else []
        else:
            stack += gc.get_referents(part)


def _expect(fits: Any, what: str) -> None:
    if not fits:
        raise ValueError(f"{what} is damaged: its indices point outside of it")


def _check_nodes(what: str, is_leaf: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
    own = np.arange(len(left))
    _expect(len(own), what)
    for child in (left, right):
        # A child comes after its parent: the way down ends.
        _expect((is_leaf | ((child > own) & (child < len(own)))).all(), what)


def _check_tree(tree: Any) -> None:
    columns = (tree.children_left, tree.children_right, tree.feature)
    left, right, feature = (np.asarray(column, np.int64) for column in columns)
    is_leaf = left == -1
    _check_nodes("a tree", is_leaf, left, right)
    _expect((is_leaf | ((feature >= 0) & (feature < tree.n_features))).all(), "a tree")


def _check_owner(owner: Any, kind: str) -> None:
    """Check that a tree asks for no column that its owner does not make sure of."""
    held, columns = vars(owner), vars(owner).get("n_features_in_")
    if type(held.get("tree_")).__name__ == "Tree":
        _expect(held["tree_"].n_features == columns, f"the tree of {kind}")
    if not any(name in kind for name in _OF_TREES) or "estimators_" not in held:
        return
    estimators = np.array(held["estimators_"], object)
    trees = [estimator.tree_ for estimator in estimators.ravel().tolist()]
    _expect({type(tree).__name__ for tree in trees} == {"Tree"}, f"a tree of {kind}")
    if kind == "IsolationForest":
        _expect([tree.n_features for tree in trees] == list(map(len, owner.estimators_features_)), f"a tree of {kind}")
        _expect(max(tree.n_features for tree in trees) <= columns, f"a tree of {kind}")
    else:
        _expect({tree.n_features for tree in trees} == {columns}, f"a tree of {kind}")
    if "Boosting" in kind:
        first = owner._raw_predict_init(np.zeros((1, columns), np.float32))
        _expect(first.shape == (1, estimators.shape[1]), f"a stage of {kind}")


def _check_boosting(owner: Any) -> None:
    kind, columns = type(owner).__name__, owner.n_features_in_
    categorical = np.asarray(owner._bin_mapper.is_categorical_, bool)
    _expect(owner._n_features == columns == len(categorical), kind)
    # scikit-learn's preprocessor holds a partial, which is not trusted by default: here the user has trusted the file.
    own = owner._preprocessor is None or any(isinstance(part, partial) for part in walk(owner._preprocessor))
    _expect(own, f"the preprocessor of {kind}")
    for predictor in (predictor for stage in owner._predictors for predictor in stage):
        nodes, bits = predictor.nodes, predictor.raw_left_cat_bitsets
        is_leaf = nodes["is_leaf"] != 0
        _check_nodes(f"a tree of {kind}", is_leaf, nodes["left"].astype(np.int64), nodes["right"].astype(np.int64))
        inner = nodes[~is_leaf]
        _expect(((inner["feature_idx"] >= 0) & (inner["feature_idx"] < columns)).all(), f"a tree of {kind}")
        of_categories = inner[inner["is_categorical"] != 0]
        _expect(categorical[of_categories["feature_idx"]].all(), f"a tree of {kind}")
        _expect(bits.ndim == 2 and bits.shape[1] == 8, f"a tree of {kind}")
        _expect((of_categories["bitset_idx"] < len(bits)).all(), f"a tree of {kind}")


def _check_neighbors(tree: Any) -> None:
    kind = type(tree).__name__
    data, order, nodes, bounds, _, _, n_nodes, *_, metric, weights = tree.__getstate__()
    own, (rows, columns) = np.arange(len(nodes)), data.shape
    _expect(len(order) == rows > 0 and n_nodes == len(nodes) > 0, kind)
    _expect(((order >= 0) & (order < rows)).all(), kind)
    start, end = nodes["idx_start"], nodes["idx_end"]
    _expect(((start >= 0) & (start <= end) & (end <= rows)).all(), kind)
    _expect(((nodes["is_leaf"] != 0) | (2 * own + 2 < len(nodes))).all(), kind)
    _expect(bounds.shape == (2 if kind.startswith("KDTree") else 1, len(nodes), columns), kind)
    _expect(weights is None or len(weights) == rows, kind)
    if "Minkowski" in type(metric).__name__:  # the only one here with weights of columns
        _expect(np.size(metric.__getstate__()[1]) in (0, columns), f"the metric of {kind}")
