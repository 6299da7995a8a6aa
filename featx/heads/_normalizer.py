"""EmbeddingNormalizer: scale embeddings to unit length, after a step that makes directions comparable."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.covariance import ledoit_wolf
from sklearn.preprocessing import normalize
from sklearn.utils.validation import check_is_fitted, validate_data

from featx._array_api import refuse_tensors
from featx._validate import check_choice

METHODS = ("cl2n", "power", "whiten")
_FLOATS = (np.float64, np.float32)


class EmbeddingNormalizer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    r"""Scale embeddings to unit length, so that cosine and Euclidean distances agree.

    Most networks give features that are positive and far from centered, and whose length depends more on contrast than
    on content. Classifiers trained on few images do better without these effects.

    Parameters
    ----------
    method : {"cl2n", "power", "whiten"}, default="cl2n"
        ``"cl2n"`` subtracts the training mean, then divides by the length [1]_,

        .. math:: z = (x - \mu) / \lVert x - \mu \rVert_2

        ``"power"`` takes the signed square root, then divides by the length [2]_,

        .. math:: z = r / \lVert r \rVert_2, \quad r_i = \operatorname{sign}(x_i) \sqrt{\lvert x_i \rvert}

        which makes the skewed distributions of rectified features closer to Gaussian ones. Features of networks that
        do not end in a rectifier may be negative; they keep their sign.

        ``"whiten"`` subtracts the mean, multiplies by the inverse root of the covariance, then divides by the length,

        .. math:: z = w / \lVert w \rVert_2, \quad w = \Sigma^{-1/2} (x - \mu), \quad
           \Sigma = (1 - \rho) S + \rho \frac{\operatorname{tr} S}{d} I

        where S is the sample covariance and :math:`\rho` is the shrinkage of Ledoit and Wolf [3]_, with which fewer
        rows than dimensions suffice.

    Attributes
    ----------
    mean_ : ndarray of shape (dim,)
        The training mean, unless the method is ``"power"``.
    whitening_ : ndarray of shape (dim, dim)
        The symmetric :math:`\Sigma^{-1/2}`, if the method is ``"whiten"``.
    n_features_in_ : int
        Length of an embedding.

    Notes
    -----
    The output has the dtype of the input, float32 or float64. Rows of length zero stay zero.

    References
    ----------
    .. [1] Wang et al. 2019, SimpleShot, arXiv:1911.04623.
    .. [2] Hu et al. 2021, Leveraging the Feature Distribution in Transfer-based Few-Shot Learning, arXiv:2006.03806.
    .. [3] Ledoit & Wolf 2004, A well-conditioned estimator for large-dimensional covariance matrices.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.heads import EmbeddingNormalizer
    >>> EmbeddingNormalizer("power").fit_transform([[9.0, -16.0], [0.0, 0.0]])
    array([[ 0.6, -0.8],
           [ 0. ,  0. ]])
    """

    def __init__(self, method: str = "cl2n"):
        self.method = method

    def fit(self, X: Any, y: Any = None) -> EmbeddingNormalizer:
        """Learn the mean, and the covariance if the method needs it.

        Parameters
        ----------
        X : array of shape (n, dim)
            Embeddings.
        y : None
            Ignored.

        Returns
        -------
        EmbeddingNormalizer
            Fitted estimator.

        Raises
        ------
        UnknownNameError
            If there is no such method.
        """
        check_choice("method", self.method, METHODS)
        refuse_tensors(X=X)
        X = validate_data(self, X, dtype=_FLOATS)
        for attribute in ("mean_", "whitening_"):
            self.__dict__.pop(attribute, None)
        if self.method != "power":
            self.mean_ = X.mean(axis=0, dtype=np.float64)
        if self.method == "whiten":
            self.whitening_ = _inverse_root(ledoit_wolf(X - self.mean_, assume_centered=True)[0])
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Normalize embeddings.

        Parameters
        ----------
        X : array of shape (n, dim)
            Embeddings.

        Returns
        -------
        ndarray of shape (n, dim)
            Rows of unit length, or zero.
        """
        check_is_fitted(self)
        refuse_tensors(X=X)
        X = validate_data(self, X, dtype=_FLOATS, reset=False)
        if self.method == "power":
            return normalize(np.sign(X) * np.sqrt(np.abs(X)))
        centered = X - self.mean_
        return normalize(centered @ self.whitening_ if self.method == "whiten" else centered).astype(X.dtype)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_features_in_")


def _inverse_root(covariance: np.ndarray) -> np.ndarray:
    """Compute the symmetric inverse root; directions without variance become zero."""
    values, vectors = np.linalg.eigh(covariance)
    varies = values > len(values) * np.finfo(float).eps * max(values[-1], np.finfo(float).tiny)
    roots: np.ndarray = np.zeros_like(values)
    roots[varies] = values[varies] ** -0.5
    return (vectors * roots) @ vectors.T
