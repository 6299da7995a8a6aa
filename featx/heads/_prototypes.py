"""PrototypeClassifier: an image belongs to the class whose mean embedding is nearest."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from sklearn.preprocessing import normalize
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import validate_data

from featx._array_api import refuse_tensors
from featx.exceptions import InputError, ParameterError, UnknownNameError
from featx.heads._labels import as_labels
from featx.heads._linear import LinearHead
from featx.heads._weights import check_weights

METRICS = ("cosine", "euclidean")


class PrototypeClassifier(LinearHead):
    r"""Classify by the nearest prototype, the mean embedding of a class [1]_.

    Nothing is optimised, so one image a class suffices and a new image costs an addition (`partial_fit`).

    Parameters
    ----------
    metric : {"cosine", "euclidean"}, default="cosine"
        How far a row is from a prototype :math:`c_k`: with ``"cosine"`` rows and prototypes are brought to length one
        and :math:`d_k = 1 - \cos(x, c_k)`, with ``"euclidean"`` :math:`d_k = \lVert x - c_k \rVert^2`.
    temperature : float, default=0.1
        Larger is less certain:

        .. math:: p(k \mid x) = \frac{\exp(-d_k / T)}{\sum_j \exp(-d_j / T)}

        The label does not depend on it. Euclidean distances have the scale of the embeddings, and want a temperature
        of that scale; or normalise the embeddings first, by `EmbeddingNormalizer`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    prototypes_ : ndarray of shape (n_classes, dim)
    class_count_ : ndarray of shape (n_classes,)
        Rows seen of each class, or the sum of their weights; one of which none was seen has the probability zero.
    coef_, intercept_ : ndarray
        The same classifier as a linear one.
    n_features_in_ : int

    Notes
    -----
    Distances to several points differ by what is linear in x, so this is a linear classifier of the rows (brought to
    length one, for the cosine). `decision_function` is how much nearer than the average a prototype is,

    .. math:: s_k(x) = (\bar d - d_k) / T

    and of two classes :math:`s_1 - s_0`. The softmax of these is `predict_proba`.

    References
    ----------
    .. [1] Snell et al. 2017, Prototypical Networks for Few-shot Learning, arXiv:1703.05175.

    Examples
    --------
    >>> from featx.heads import PrototypeClassifier
    >>> head = PrototypeClassifier().fit([[1, 0], [2, 1], [0, 3]], ["cat", "cat", "dog"])
    >>> head.predict([[1, 5]]).tolist()
    ['dog']
    >>> head.partial_fit([[1, 5]], ["cat"]).class_count_.tolist()
    [3.0, 1.0]
    """

    def __init__(self, metric: str = "cosine", temperature: float = 0.1):
        self.metric = metric
        self.temperature = temperature

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> PrototypeClassifier:
        """Average the rows of each class.

        Parameters
        ----------
        X : array of shape (n, dim)
        y : array of shape (n,)
        sample_weight : array of shape (n,), default=None
            Prototypes are weighted means.

        Returns
        -------
        PrototypeClassifier
            Itself.

        Raises
        ------
        UnknownNameError, ParameterError
            If a parameter has a value that is not accepted.
        InputError
            If there is one class.
        """
        vars(self).pop("classes_", None)
        return self.partial_fit(X, y, sample_weight=sample_weight)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> PrototypeClassifier:
        """Add rows to those seen; in which order and in which parts they come does not matter.

        Parameters
        ----------
        X : array of shape (n, dim)
        y : array of shape (n,)
        classes : array of shape (n_classes,), default=None
            All that will come, for the first call; None is those in `y`.
        sample_weight : array of shape (n,), default=None

        Returns
        -------
        PrototypeClassifier
            Itself.

        Raises
        ------
        UnknownNameError, ParameterError
            If a parameter has a value that is not accepted.
        InputError
            If a label is none of the classes, or missing, there is one class, or weights are none.
        """
        self._check_parameters()
        first = not hasattr(self, "classes_")
        refuse_tensors(X=X, y=y)
        X, y = validate_data(self, X, as_labels(y), dtype=(np.float64, np.float32), reset=first)
        check_classification_targets(y)
        weights = check_weights(sample_weight, len(X))
        classes = None if classes is None else unique_labels(as_labels(classes))
        if first:
            self._begin(unique_labels(y) if classes is None else classes)
        elif classes is not None and not np.array_equal(self.classes_, classes):
            raise InputError(
                f"Got classes={classes.tolist()}. Expected those of the first call, {self.classes_.tolist()}."
            )
        codes = self._encode(y)
        of_class = np.eye(len(self.classes_))[codes] * weights[:, None]
        self.sums_ += of_class.T @ self._prepare(X)
        self.class_count_ += of_class.sum(axis=0)
        self._solve()
        return self

    def _check_parameters(self) -> None:
        if self.metric not in METRICS:
            raise UnknownNameError("metric", self.metric, METRICS)
        if not isinstance(self.temperature, Real) or not 0 < self.temperature < np.inf:
            raise ParameterError(f"Got temperature={self.temperature!r}. Expected a number above 0.")

    def _begin(self, classes: np.ndarray) -> None:
        if len(classes) < 2:
            raise InputError(f"Got 1 class, {classes.tolist()[0]!r}. Expected two or more.")
        self.classes_ = classes
        self.class_count_ = np.zeros(len(classes))
        self.sums_ = np.zeros((len(classes), self.n_features_in_))

    def _encode(self, y: np.ndarray) -> np.ndarray:
        if unknown := sorted(set(y.tolist()) - set(self.classes_.tolist())):
            raise InputError(
                f"Got the label {unknown[0]!r}. Expected one of {self.classes_.tolist()}: pass all that will come as "
                "classes=[...] to the first partial_fit."
            )
        return np.searchsorted(self.classes_, y)

    def _prepare(self, X: np.ndarray) -> np.ndarray:
        return normalize(X) if self.metric == "cosine" else X

    def _solve(self) -> None:
        """The linear form of the distances to the prototypes."""
        seen = self.class_count_ > 0
        means = self.sums_ / np.where(seen, self.class_count_, 1)[:, None]
        self.prototypes_ = self._prepare(means)
        # Half the squared distance is 1 - cos where both have length one, up to what all classes share.
        factor = (1 if self.metric == "cosine" else 2) / self.temperature
        coef = factor * (self.prototypes_ - self.prototypes_[seen].mean(axis=0))
        squares = (self.prototypes_**2).sum(axis=1) / self.temperature * (self.metric == "euclidean")
        intercept = np.where(seen, squares[seen].mean() - squares, -np.inf)
        coef[~seen] = 0
        if len(self.classes_) == 2:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        self.coef_, self.intercept_ = coef, intercept
