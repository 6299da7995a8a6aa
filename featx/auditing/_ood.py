"""OODDetector: find embeddings unlike those that a model was trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.covariance import ledoit_wolf
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.validation import check_is_fitted, validate_data

from featx._array_api import refuse_tensors
from featx._validate import check_choice, check_integer, check_number
from featx.evaluation import as_array, as_labels

_METHODS = ("knn", "mahalanobis")
_ITSELF = 1e-6


class OODDetector(OutlierMixin, BaseEstimator):
    """Detect embeddings that are unlike the training set (out of distribution).

    Parameters
    ----------
    method : {"knn", "mahalanobis"}, default="knn"
        ``"knn"`` is the distance to the last of the nearest training rows, where all rows are scaled to unit length
        (Sun et al. 2022, arXiv:2204.06507). ``"mahalanobis"`` is the distance to the nearest class minus that to the
        whole training set (relative Mahalanobis; Ren et al. 2021, arXiv:2106.09022), or without y the distance to the
        whole set. Covariances are shrunk as by Ledoit and Wolf, so that there may be fewer rows than columns.
    n_neighbors : int, default=10
        Number of neighbors for ``"knn"``; all but one of the training rows if there are fewer.
    contamination : float, default=0.01
        Share of the training rows that `predict` marks as outliers, above 0 and up to 0.5.

    Attributes
    ----------
    offset_ : float
        Rows whose `score_samples` is below it are outliers.
    n_features_in_ : int
        Length of an embedding.

    Notes
    -----
    A row that equals a training row is not counted as its own neighbor.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.auditing import OODDetector
    >>> X = np.random.default_rng(0).normal(size=(100, 4)) + [9, 0, 0, 0]
    >>> OODDetector().fit(X).predict([[9, 0, 0, 0], [-9, 0, 0, 0]]).tolist()
    [1, -1]
    """

    def __init__(self, method: str = "knn", *, n_neighbors: int = 10, contamination: float = 0.01):
        self.method = method
        self.n_neighbors = n_neighbors
        self.contamination = contamination

    def fit(self, X: Any, y: Any = None) -> OODDetector:
        """Learn the distribution of the training set.

        Parameters
        ----------
        X : array of shape (n, dim)
            Embeddings.
        y : array of shape (n,), default=None
            Classes, for ``"mahalanobis"``.

        Returns
        -------
        OODDetector
            Fitted estimator.

        Raises
        ------
        ParameterError
            If a parameter has an invalid value.
        """
        refuse_tensors(X=X, y=y)
        self._check_parameters()
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        (self._fit_knn if self.method == "knn" else self._fit_mahalanobis)(X, y)
        self.offset_ = float(np.quantile(self._score(X), self.contamination))
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Score how usual each row is: the negated distance.

        Parameters
        ----------
        X : array of shape (n, dim)
            Embeddings.

        Returns
        -------
        ndarray of shape (n,)
            Lower values are more unusual.
        """
        check_is_fitted(self)
        refuse_tensors(X=X)
        return self._score(validate_data(self, X, dtype=np.float64, reset=False))

    def decision_function(self, X: Any) -> np.ndarray:
        """Compute `score_samples` minus `offset_`.

        Parameters
        ----------
        X : array of shape (n, dim)
            Embeddings.

        Returns
        -------
        ndarray of shape (n,)
            Negative for outliers.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Mark outliers.

        Parameters
        ----------
        X : array of shape (n, dim)
            Embeddings.

        Returns
        -------
        ndarray of shape (n,)
            1 for usual rows, -1 for outliers.
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def _check_parameters(self) -> None:
        check_choice("method", self.method, _METHODS)
        check_integer("n_neighbors", self.n_neighbors)
        check_number("contamination", self.contamination, 0, 0.5, closed="right")

    def _fit_knn(self, X: np.ndarray, y: Any) -> None:
        self._k = min(self.n_neighbors, len(X) - 1)
        self._neighbors = NearestNeighbors(n_neighbors=self._k + 1, algorithm="brute").fit(_unit(X))

    def _fit_mahalanobis(self, X: np.ndarray, y: Any) -> None:
        self._whole = _gaussian(X, X.mean(axis=0, keepdims=True), np.zeros(len(X), int))
        self._classes = None
        if y is not None:
            classes, codes = np.unique(as_array(as_labels(y)), return_inverse=True)
            means = np.array([X[codes == code].mean(axis=0) for code in range(len(classes))])
            self._classes = _gaussian(X, means, codes)

    def _score(self, X: np.ndarray) -> np.ndarray:
        if self.method == "mahalanobis":
            whole = _squared_distance(X, *self._whole)
            return -whole if self._classes is None else whole - _squared_distance(X, *self._classes)
        distances = self._neighbors.kneighbors(_unit(X))[0]
        known = distances[:, 0] < _ITSELF
        return -np.where(known, distances[:, self._k], distances[:, self._k - 1])


def _unit(X: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(X, axis=1, keepdims=True)
    return X / np.where(lengths > 0, lengths, 1)


def _gaussian(X: np.ndarray, means: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the means and the inverse of the covariance that they share."""
    covariance = ledoit_wolf(X - means[codes], assume_centered=True)[0]
    return means, np.linalg.pinv(covariance, hermitian=True)


def _squared_distance(X: np.ndarray, means: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Compute the squared distance to the nearest mean."""
    distances = [np.einsum("ij,jk,ik->i", X - mean, precision, X - mean, optimize=True) for mean in means]
    return np.min(distances, axis=0)
