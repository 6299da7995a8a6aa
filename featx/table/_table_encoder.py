"""TableEncoder: a table with columns of images as features, each image column with a weight of its own."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from featx._image_encoder import ImageEncoder
from featx._optional import import_optional
from featx._validate import check_integer, check_number, is_integer
from featx.evaluation import check_groups, check_y, is_regression
from featx.exceptions import InputError, ParameterError
from featx.images import columns_of, doubled_in, library_of
from featx.table._weighting import apart, by_groups, choose_weights

COMPONENTS = 30
_ROUNDING = 1e-6  # of float32 embeddings, relative to the largest value


class TableEncoder(TransformerMixin, BaseEstimator):
    """Turn a table with columns of images into features for one estimator.

    Each image column becomes its embedding, reduced to a few principal components, which together vary as much as one
    standardized column, times a weight that is chosen by cross-validation. The other columns go through skrub's
    ``TableVectorizer``. `tabular_pipeline` puts an estimator behind it.

    Parameters
    ----------
    image : str or list of str
        The columns of images.
    encoder : ImageEncoder or another transformer of images, default=None
        What embeds them. None is ``ImageEncoder(on_missing="nan")``: a photo may be missing, but one that cannot be
        read is an error. A supervised one, whose ``fit_transform(X, y)`` hides a row's own label from its embedding,
        is given y, and the groups if it takes some.
    table : transformer, default=None
        What makes numbers of the other columns. None is skrub's ``TableVectorizer()``, then an imputer with an
        indicator of what was missing, and a StandardScaler.
    reduce : int, transformer or None, default=30
        Number of principal components of an embedding (fewer of fewer rows), or what else reduces it. None keeps the
        embedding whole.
    weight : float or "auto", default="auto"
        The weight of each image column; 1 lets it vary as much as one standardized column. ``"auto"`` tries 0 and
        powers of two from 1/8 to 8, and takes the smallest that is within one standard error of the best, for the
        `estimator`, in cross-validation within the rows of the fit: in folds of the groups, if `fit` gets some, else
        of clusters of look-alikes. An estimator that ignores the scale of columns, such as trees, has 0 or 1.
    estimator : estimator, default=None
        The one that the features are for. None is Ridge, or logistic regression for classes.
    random_state : int, default=0
        Seed of the reduction and of the clusters.

    Attributes
    ----------
    weights_ : dict of str to float
        The weight of each image column.
    images_ : dict of str to Pipeline
        For each image column the steps ``encoder`` and ``features``, fitted.
    table_ : transformer or None
        The fitted transformer of the other columns; None where there are none.
    feature_names_in_ : ndarray of str
        The columns that are used: those of images, then the others that hold anything.
    n_features_in_ : int
        Their number.

    Notes
    -----
    A missing image has the mean embedding, and a column ``photo_missing`` says so if any was missing in the fit.

    The reduction is fitted again in each fold of the choice: with more dimensions than rows the components of a row
    that helped to find them show more than those of a new one.

    See Also
    --------
    tabular_pipeline : This and an estimator.

    Examples
    --------
    >>> import featx, pandas as pd
    >>> from sklearn.datasets import load_sample_images
    >>> photos = load_sample_images().images
    >>> frame = pd.DataFrame({"photo": photos * 6, "price": range(12)})
    >>> encoder = featx.ImageEncoder(cache=False, verbose=0)
    >>> features = featx.TableEncoder("photo", encoder=encoder, reduce=2, weight=1.0).fit(frame)
    >>> features.get_feature_names_out().tolist()
    ['price', 'photo_0', 'photo_1']
    """

    def __init__(
        self,
        image: str | Sequence[str],
        *,
        encoder: Any = None,
        table: Any = None,
        reduce: Any = COMPONENTS,
        weight: float | str = "auto",
        estimator: Any = None,
        random_state: int = 0,
    ):
        self.image = image
        self.encoder = encoder
        self.table = table
        self.reduce = reduce
        self.weight = weight
        self.estimator = estimator
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, groups: Any = None) -> TableEncoder:
        """Fit the transformers of all columns, and choose weights.

        Parameters
        ----------
        X : DataFrame
            n rows; pandas or polars.
        y : array of shape (n,) or (n, outputs), default=None
            Classes or numbers; None only with a weight that is given.
        groups : array of shape (n,), default=None
            Rows of one group are on one side of each fold in which weights are tried.

        Returns
        -------
        TableEncoder
            Fitted estimator.

        Raises
        ------
        InputError
            If X is no frame or lacks a column, or y or groups have another length, or a value of y is missing.
        ParameterError
            If a parameter has a value that is not accepted.
        ImageReadError
            If images cannot be read, unless the encoder has ``on_error="nan"``.
        MissingDependencyError
            If skrub is not installed (``pip install 'featx[table]'``).
        """
        self.fit_transform(X, y, groups)
        return self

    def fit_transform(self, X: Any, y: Any = None, groups: Any = None) -> np.ndarray:
        """Fit, and return the features of the same rows; each image is embedded once.

        Parameters
        ----------
        X, y, groups
            As for `fit`.

        Returns
        -------
        ndarray of shape (n, n_features)
            Or a frame, as `set_output` says.
        """
        with config_context(transform_output="default"):  # between the steps, whatever comes out of this one
            return self._fit_transform(X, y, groups)

    def _fit_transform(self, X: Any, y: Any, groups: Any) -> np.ndarray:
        names = _as_names(self.image)
        columns = columns_of(X, names)
        if not len(X):
            raise InputError(f"Got a table of no rows with the columns {columns[:20]}. Expected one row or more.")
        self._check_parameters(y)
        encoder = ImageEncoder(on_missing="nan") if self.encoder is None else self.encoder
        others = [column for column in columns if column not in names and not _is_empty(X[column])]
        table = self.table_ = None
        self._library = library_of(X)
        if others:
            self.table_ = vectorizer() if self.table is None else clone(self.table)
            table = _as_array(self.table_.fit_transform(X[others], y))
        encoders = {name: clone(encoder) for name in names}
        given = {"groups": groups} if groups is not None and has_fit_parameter(encoder, "groups") else {}
        embeddings = {name: np.asarray(encoders[name].fit_transform(X[[name]], y, **given)) for name in names}
        reductions = {name: self._reduction(rows) for name, rows in embeddings.items()}
        reduced = {name: _reduced(reductions[name], rows) for name, rows in embeddings.items()}
        self.weights_ = self._weigh(table, embeddings, reduced, y, groups)
        parts = [] if table is None else [table]
        self.images_ = {}
        for name, rows in embeddings.items():
            features = _weighted(reductions[name], reduced[name], rows, self.weights_[name])
            self.images_[name] = Pipeline([("encoder", encoders[name]), ("features", features)])
            parts.append(_as_one(_as_array(features.transform(rows)), np.isnan(rows[:, 0])))
        self.feature_names_in_ = np.array([*names, *others], dtype=object)
        self.n_features_in_ = len(self.feature_names_in_)
        return np.hstack(parts)

    def transform(self, X: Any) -> np.ndarray:
        """Return the features of rows.

        Parameters
        ----------
        X : DataFrame
            n rows with the columns that `fit` saw, in any order; others are ignored.

        Returns
        -------
        ndarray of shape (n, n_features)
            Or a frame, as `set_output` says.

        Raises
        ------
        InputError, ImageReadError
            As in `fit`.
        """
        check_is_fitted(self)
        columns_of(X, self.feature_names_in_.tolist())
        others = self.feature_names_in_[len(self.images_) :].tolist()
        parts = []
        with config_context(transform_output="default"):
            if self.table_ is not None:
                with warnings.catch_warnings():
                    # Categories that are new are no news in folds; they are zeros.
                    warnings.filterwarnings("ignore", "Found unknown categories", UserWarning)
                    parts.append(_as_array(self.table_.transform(_of_library(X[others], self._library))))
            for name, pipeline in self.images_.items():
                rows = np.asarray(pipeline["encoder"].transform(X[[name]]))
                parts.append(_as_array(pipeline["features"].transform(rows)))
        return np.hstack(parts)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the output's columns.

        Parameters
        ----------
        input_features : None
            Ignored: they are the columns that `fit` saw.

        Returns
        -------
        ndarray of str
            Those of the other columns, then ``photo_00``, ``photo_01``, ..., and ``photo_missing`` where a photo was.
        """
        check_is_fitted(self)
        names = [] if self.table_ is None else list(self.table_.get_feature_names_out())
        for name, pipeline in self.images_.items():
            features = pipeline["features"]
            places = features.output_indices_["embedding"]
            n = places.stop - places.start
            names += [f"{name}_{i:0{len(str(n - 1))}}" for i in range(n)]
            names += [f"{name}_missing"] * ("missing" in features.output_indices_)
        if doubled := doubled_in(names):
            raise InputError(f"Got columns whose features are named as those of images are: {doubled}. Rename them.")
        return np.array(names, dtype=object)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({"_library": None, **state})  # that of an older version is not known

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "images_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.weight == "auto"
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.input_tags.allow_nan = True
        return tags

    def _check_parameters(self, y: Any) -> None:
        if self.encoder is not None and (not hasattr(self.encoder, "transform") or isinstance(self.encoder, type)):
            raise ParameterError(f"Got encoder={self.encoder!r}. Expected a transformer: featx.ImageEncoder(...).")
        if self.reduce is not None and not hasattr(self.reduce, "fit_transform"):
            check_integer("reduce", self.reduce)
        if isinstance(self.weight, str):
            if self.weight != "auto":
                raise ParameterError(f"Got weight={self.weight!r}. Expected 'auto', or a number from 0.")
            if y is None:
                raise ParameterError("Got no y for weight='auto'. Expected y, or a number as weight.")
        else:
            check_number("weight", self.weight, 0)

    def _weigh(
        self,
        table: np.ndarray | None,
        embeddings: dict[str, np.ndarray],
        reduced: dict[str, np.ndarray],
        y: Any,
        groups: Any,
    ) -> dict[str, float]:
        """Return the weight of each column."""
        names = list(embeddings)
        if not isinstance(self.weight, str):
            return dict.fromkeys(names, float(self.weight))
        n = len(embeddings[names[0]])
        regression = is_regression(y, head=self.estimator)
        targets = check_y(y, n, regression)
        _check_logarithm(self.estimator, targets)
        estimator = self.estimator
        if estimator is None:
            estimator = Ridge() if regression else LogisticRegression(max_iter=1000)
        if groups is None:
            alike = [rows / _spread(rows, embeddings[name]) for name, rows in reduced.items()]
            folds = apart(np.hstack(alike), self.random_state)
        else:
            folds = by_groups(check_groups(groups, n))
        # That a photo is missing is a fact of the table: it has no weight.
        missing = [np.isnan(rows[:, :1]) for rows in embeddings.values() if np.isnan(rows[:, 0]).any()]
        known = [*([] if table is None else [table]), *missing]
        blocks = [partial(self._fold, rows) for rows in embeddings.values()]
        weights = choose_weights(np.hstack(known) if known else None, blocks, targets, estimator, folds)
        return dict(zip(names, weights, strict=True))

    def _fold(self, rows: np.ndarray, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reduce a fold's embeddings by what its training rows show, to total variance 1 there."""
        embedding = self._embedding(rows[train])
        inside = _reduced(embedding, rows[train])
        spread = _spread(inside, rows[train])
        return inside / spread, _as_array(embedding.transform(rows[test])) / spread

    def _reduction(self, rows: np.ndarray) -> ColumnTransformer:
        """Make a new reduction of embeddings, and an indicator of those that are missing if there are some."""
        entries: list[Any] = [("embedding", self._embedding(rows), list(range(rows.shape[1])))]
        if np.isnan(rows[:, 0]).any():
            entries.append(("missing", MissingIndicator(features="all"), [0]))
        return ColumnTransformer(entries)

    def _embedding(self, rows: np.ndarray) -> Pipeline:
        """Make a new reduction of embeddings: those that are missing become the mean first."""
        return Pipeline([("imputer", SimpleImputer(keep_empty_features=True)), ("reduction", self._reducer(rows))])

    def _reducer(self, rows: np.ndarray) -> Any:
        if self.reduce is None:
            return FunctionTransformer()
        if is_integer(self.reduce):
            n, dim = rows.shape
            return PCA(min(int(self.reduce), max(1, n - 1), dim), random_state=self.random_state)
        return clone(self.reduce)


def vectorizer() -> Pipeline:
    """Make numbers of columns of any kind: as skrub recommends for linear models, and no harm to trees."""
    skrub = import_optional("skrub", extra="table", purpose="A table's other columns")
    return Pipeline(
        [
            ("vectorizer", skrub.TableVectorizer()),
            ("imputer", SimpleImputer(add_indicator=True, keep_empty_features=True)),
            ("scaler", StandardScaler()),
        ]
    )


def _reduced(reduction: Any, rows: np.ndarray) -> np.ndarray:
    """Fit a reduction to embeddings, and return them reduced."""
    with np.errstate(invalid="ignore"):  # PCA divides by the variance, which is 0 where all images are alike
        return _as_array(reduction.fit_transform(rows))


def _spread(reduced: np.ndarray, embeddings: np.ndarray) -> float:
    """Return the standard deviation of all components together, 1 where embeddings vary by rounding only."""
    spread = float(np.sqrt(reduced.var(axis=0).sum()))
    return spread if spread > _ROUNDING * np.nanmax(np.abs(embeddings), initial=0) else 1.0


def _weighted(
    features: ColumnTransformer, output: np.ndarray, embeddings: np.ndarray, weight: float
) -> ColumnTransformer:
    """Have a fitted reduction multiply the embedding, not the indicator, so that it varies as much as `weight`."""
    spread = _spread(output[:, features.output_indices_["embedding"]], embeddings)
    features.transformer_weights = {"embedding": weight / spread}
    return features


def _as_one(features: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Make all rows without an image the same: they differ by rounding, and trees would split between them."""
    features[missing] = features[missing][:1]
    return features


def _as_names(image: Any) -> list[str]:
    names = [image] if isinstance(image, str) else list(image) if isinstance(image, Sequence) else []
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise ParameterError(f"Got image={image!r}. Expected the name of a column, or a list of different ones.")
    return names


def _of_library(frame: Any, library: str | None) -> Any:
    """Make a frame one of the library whose frames a table's transformer was fitted on: skrub takes no other."""
    if library is None or library_of(frame) == library:
        return frame
    if library == "pandas":
        return frame.to_pandas()
    return import_optional("polars", extra=None, purpose="A model that was fitted on polars").from_pandas(frame)


def _is_empty(column: Any) -> bool:
    missing = column.is_null() if hasattr(column, "is_null") else column.isna()
    return bool(missing.all())


def _as_array(rows: Any) -> np.ndarray:
    return np.asarray(rows, dtype=np.float64)


def _check_logarithm(estimator: Any, y: np.ndarray) -> None:
    """Name the rows of which there is no logarithm: scikit-learn would only say that y has NaN."""
    if not isinstance(estimator, TransformedTargetRegressor) or estimator.func is not np.log1p:
        return
    rows = np.flatnonzero((y.reshape(len(y), -1) <= -1).any(axis=1))
    if len(rows):
        raise InputError(
            f"Got y={y[rows[0]]} in row {rows[0]} ({len(rows):,} rows like it). Expected numbers above -1 for "
            'target="log", which is log(1 + y); or target="identity".'
        )
