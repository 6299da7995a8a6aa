"""The base class of linear classifiers of embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from featx._array_api import refuse_tensors


class LinearHead(ClassifierMixin, BaseEstimator):
    """Predict by weighted sums of an embedding; subclasses fit the weights.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels.
    coef_ : ndarray of shape (n_classes, dim)
        Weights. For two classes its shape is (1, dim), for the second class as in scikit-learn.
    intercept_ : ndarray of shape (n_classes,)
        Added to the sums; of shape (1,) for two classes.
    """

    classes_: np.ndarray
    coef_: np.ndarray
    intercept_: np.ndarray

    def decision_function(self, X: Any) -> np.ndarray:
        """Compute a score for each class.

        Parameters
        ----------
        X : array of shape (n, dim)
            Embeddings.

        Returns
        -------
        ndarray of shape (n, n_classes)
            For two classes its shape is (n,), with values above 0 for the second class.
        """
        check_is_fitted(self)
        refuse_tensors(X=X)
        scores = self._prepare(validate_data(self, X, reset=False)) @ self.coef_.T + self.intercept_
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: Any) -> np.ndarray:
        """Predict the class with the highest score.

        Parameters
        ----------
        X : array of shape (n, dim)
            Embeddings.

        Returns
        -------
        ndarray of shape (n,)
            Class labels.
        """
        scores = self.decision_function(X)
        return self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Estimate the probability of each class: the softmax of the scores.

        Parameters
        ----------
        X : array of shape (n, dim)
            Embeddings.

        Returns
        -------
        ndarray of shape (n, n_classes)
            Probabilities, in the order of `classes_`.
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.column_stack([expit(-scores), expit(scores)])
        return softmax(scores, axis=1)

    def _prepare(self, X: np.ndarray) -> np.ndarray:
        """Transform rows before the weights are applied."""
        return X
