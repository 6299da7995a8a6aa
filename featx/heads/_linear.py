"""A classifier that is a matrix: classes are told apart by weighted sums of an embedding."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from featx._array_api import refuse_tensors


class LinearHead(ClassifierMixin, BaseEstimator):
    """What linear classifiers of embeddings share, once they are fitted.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    coef_ : ndarray of shape (n_classes, dim)
        Of two classes (1, dim), the second one's against the first one's; as scikit-learn has it.
    intercept_ : ndarray of shape (n_classes,)
        Of two classes (1,).
    """

    def decision_function(self, X: Any) -> np.ndarray:
        """Scores of the classes.

        Parameters
        ----------
        X : array of shape (n, dim)

        Returns
        -------
        ndarray of shape (n, n_classes)
            Of two classes (n,): above 0 for the second.
        """
        check_is_fitted(self)
        refuse_tensors(X=X)
        scores = self._prepare(validate_data(self, X, reset=False)) @ self.coef_.T + self.intercept_
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: Any) -> np.ndarray:
        """The class of the highest score.

        Parameters
        ----------
        X : array of shape (n, dim)

        Returns
        -------
        ndarray of shape (n,)
        """
        scores = self.decision_function(X)
        return self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes: the softmax of their scores.

        Parameters
        ----------
        X : array of shape (n, dim)

        Returns
        -------
        ndarray of shape (n, n_classes)
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.column_stack([expit(-scores), expit(scores)])
        return softmax(scores, axis=1)

    def _prepare(self, X: np.ndarray) -> np.ndarray:
        return X
