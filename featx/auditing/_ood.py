"""Embeddings unlike those that a model was trained on."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from featx._array_api import refuse_tensors
from featx.exceptions import ParameterError, UnknownNameError

_METHODS = ("knn", "mahalanobis")
_ITSELF = 1e-6


class OODDetector(OutlierMixin, BaseEstimator):
    """Tell embeddings that are unlike the training set's (out of distribution).

    Parameters
    ----------
    method : {"knn", "mahalanobis"}, default="knn"
        ``"knn"``: the distance to the k-th nearest training row, all rows brought to length one (Sun et al. 2022,
        arXiv:2204.06507). ``"mahalanobis"``: the distance to the nearest class, less that to the whole training set
        (relative Mahalanobis; Ren et al. 2021, arXiv:2106.09022), with covariances shrunk as Ledoit and Wolf have it,
        so that there may be fewer rows than columns; without y, the distance to the whole set.
    k : int, default=10
        Of ``"knn"``; at most the training rows less one.
    contamination : float, default=0.01
        The share of training rows that `predict` takes for outliers, above 0 and up to 0.5.

    Attributes
    ----------
    offset_ : float
        `score_samples` below it is an outlier.
    n_features_in_ : int

    Notes
    -----
    A row that equals a training row is not its own neighbour.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.auditing import OODDetector
    >>> Z = np.random.default_rng(0).normal(size=(100, 4)) + [9, 0, 0, 0]
    >>> OODDetector().fit(Z).predict([[9, 0, 0, 0], [-9, 0, 0, 0]]).tolist()
    [1, -1]
    """

    def __init__(self, method: str = "knn", *, k: int = 10, contamination: float = 0.01):
        self.method = method
        self.k = k
        self.contamination = contamination

    def fit(self, X: Any, y: Any = None) -> OODDetector:
        """Learn what is usual.

        Parameters
        ----------
        X : array of shape (n, dim)
        y : array of shape (n,), default=None
            Classes, for ``"mahalanobis"``.

        Returns
        -------
        OODDetector
            Itself.

        Raises
        ------
        ParameterError
            If a parameter has a value that is not accepted.
        """
        refuse_tensors(X=X, y=y)
        self._check_parameters()
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        (self._fit_knn if self.method == "knn" else self._fit_mahalanobis)(X, y)
        self.offset_ = float(np.quantile(self._score(X), self.contamination))
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """How usual each row is: a distance, negated."""
        check_is_fitted(self)
        refuse_tensors(X=X)
        return self._score(validate_data(self, X, dtype=np.float64, reset=False))

    def decision_function(self, X: Any) -> np.ndarray:
        """`score_samples` less `offset_`: negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """1 for what is usual, -1 for outliers."""
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def _check_parameters(self) -> None:
        if self.method not in _METHODS:
            raise UnknownNameError("method", self.method, _METHODS)
        if not isinstance(self.k, Integral) or isinstance(self.k, bool) or self.k < 1:
            raise ParameterError(f"Got k={self.k!r}. Expected a positive integer.")
        if not isinstance(self.contamination, Real) or not 0 < self.contamination <= 0.5:
            raise ParameterError(f"Got contamination={self.contamination!r}. Expected a share in (0, 0.5].")

    def _fit_knn(self, X: np.ndarray, y: Any) -> None:
        from sklearn.neighbors import NearestNeighbors

        self._k = min(self.k, len(X) - 1)
        self._neighbours = NearestNeighbors(n_neighbors=self._k + 1, algorithm="brute").fit(_unit(X))

    def _fit_mahalanobis(self, X: np.ndarray, y: Any) -> None:
        self._whole = _gaussian(X, X.mean(axis=0, keepdims=True), np.zeros(len(X), int))
        self._classes = None
        if y is not None:
            classes, codes = np.unique(np.asarray(y), return_inverse=True)
            means = np.array([X[codes == code].mean(axis=0) for code in range(len(classes))])
            self._classes = _gaussian(X, means, codes)

    def _score(self, X: np.ndarray) -> np.ndarray:
        if self.method == "mahalanobis":
            whole = _squared_distance(X, *self._whole)
            return -whole if self._classes is None else whole - _squared_distance(X, *self._classes)
        distances = self._neighbours.kneighbors(_unit(X))[0]
        known = distances[:, 0] < _ITSELF
        return -np.where(known, distances[:, self._k], distances[:, self._k - 1])


def _unit(X: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(X, axis=1, keepdims=True)
    return X / np.where(lengths > 0, lengths, 1)


def _gaussian(X: np.ndarray, means: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and the inverse of the covariance that they share."""
    from sklearn.covariance import ledoit_wolf

    covariance = ledoit_wolf(X - means[codes], assume_centered=True)[0]
    return means, np.linalg.pinv(covariance, hermitian=True)


def _squared_distance(X: np.ndarray, means: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """To the nearest mean."""
    distances = [np.einsum("ij,jk,ik->i", X - mean, precision, X - mean, optimize=True) for mean in means]
    return np.min(distances, axis=0)
