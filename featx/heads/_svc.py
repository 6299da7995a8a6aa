"""SVC: scikit-learn's, with kernel matrices computed by BLAS."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import svm
from sklearn.metrics.pairwise import rbf_kernel

from featx.evaluation import as_labels

# Bytes of a training's kernel matrix, beyond which libsvm computes the parts that it needs; and of a prediction's.
_LARGEST_KERNEL = 2**31
_BLOCK = 2**26


class SVC(svm.SVC):
    """Scikit-learn's support vector machine, several times sooner with an RBF kernel: BLAS computes the kernel.

    Parameters, attributes and predictions are those of `sklearn.svm.SVC`. With ``kernel="rbf"`` and dense X the kernel
    between rows is computed at once, by a product of matrices on all processors, where libsvm computes it number by
    number on one. Of more than 16,384 training rows, whose kernel takes 2 GiB, it is left to libsvm; so are other
    kernels and sparse X.

    See Also
    --------
    image_pipeline : Makes it for ``head="svm"``.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from featx.heads import SVC
    >>> X, y = load_digits(return_X_y=True)
    >>> bool(SVC(C=10).fit(X, y).score(X, y) > 0.95)
    True
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> SVC:
        """Fit the model.

        Parameters
        ----------
        X : array of shape (n, dim)
            Embeddings.
        y : array of shape (n,)
            Classes.
        sample_weight : array of shape (n,), default=None
            Weights of the losses.

        Returns
        -------
        SVC
            Fitted estimator.
        """
        return super().fit(X, as_labels(y), sample_weight)

    def _dense_fit(self, X: Any, y: Any, sample_weight: Any, solver_type: Any, kernel: Any, random_seed: Any) -> None:
        if kernel != "rbf" or 8 * len(X) ** 2 > _LARGEST_KERNEL:
            super()._dense_fit(X, y, sample_weight, solver_type, kernel, random_seed)
            return
        kernels = rbf_kernel(X, gamma=self._gamma)
        super()._dense_fit(kernels, y, sample_weight, solver_type, "precomputed", random_seed)
        self.support_vectors_ = X[self.support_]

    def _dense_predict(self, X: Any) -> np.ndarray:
        return self._by_kernel("_dense_predict", X)

    def _dense_predict_proba(self, X: Any) -> np.ndarray:
        return self._by_kernel("_dense_predict_proba", X)

    def _dense_decision_function(self, X: Any) -> np.ndarray:
        return self._by_kernel("_dense_decision_function", X)

    def _by_kernel(self, method: str, X: Any) -> np.ndarray:
        """Ask scikit-learn's method, block by block, about the kernels between rows and support vectors."""
        plain: Callable[[Any, Any], np.ndarray] = getattr(svm.SVC, method)
        if self.kernel != "rbf":
            return plain(self, X)
        of_kernels = copy.copy(self)
        of_kernels.kernel = "precomputed"
        of_kernels.support_vectors_ = np.empty((0, 0))
        n_fitted = self.shape_fit_[0]
        size = max(1, _BLOCK // (8 * n_fitted))
        answers = []
        for start in range(0, max(1, len(X)), size):
            rows = X[start : start + size]
            kernels = np.zeros((len(rows), n_fitted))
            kernels[:, self.support_] = rbf_kernel(rows, self.support_vectors_, gamma=self._gamma)
            answers.append(plain(of_kernels, kernels))
        return np.concatenate(answers)
