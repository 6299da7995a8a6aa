"""PrototypeClassifier: predict the class whose mean embedding is nearest."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import normalize
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import validate_data

from featx._array_api import refuse_tensors
from featx._validate import check_choice, check_number
from featx.evaluation import as_labels, check_weights
from featx.exceptions import InputError
from featx.heads._linear import LinearHead

METRICS = ("cosine", "euclidean")


class PrototypeClassifier(LinearHead):
    r"""Classify by the nearest prototype, the mean embedding of a class [1]_.

    Nothing is optimized, so one image per class suffices, and adding an image is cheap (`partial_fit`).

    Parameters
    ----------
    metric : {"cosine", "euclidean"}, default="cosine"
        Distance between a row and a prototype :math:`c_k`. With ``"cosine"``, rows and prototypes are scaled to unit
        length and :math:`d_k = 1 - \cos(x, c_k)`. With ``"euclidean"``, :math:`d_k = \lVert x - c_k \rVert^2`.
    temperature : float, default=0.1
        Larger values give less certain probabilities,

        .. math:: p(k \mid x) = \frac{\exp(-d_k / T)}{\sum_j \exp(-d_j / T)}

        and the same labels. Euclidean distances have the scale of the embeddings and need a temperature of that
        scale, or normalize the embeddings first with `EmbeddingNormalizer`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels.
    prototypes_ : ndarray of shape (n_classes, dim)
        The mean embedding of each class.
    class_count_ : ndarray of shape (n_classes,)
        Number of rows seen of each class, or the sum of their weights. A class without any has the probability zero.
    coef_, intercept_ : ndarray
        Weights of the equivalent linear classifier.
    n_features_in_ : int
        Length of an embedding.

    Notes
    -----
    Squared distances to two points differ by a linear function of x, so this is a linear classifier of the rows (of
    unit length, for the cosine). `decision_function` is how much nearer than the average a prototype is,

    .. math:: s_k(x) = (\bar d - d_k) / T

    and :math:`s_1 - s_0` for two classes. `predict_proba` is the softmax of these scores.

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
            Embeddings.
        y : array of shape (n,)
            Classes.
        sample_weight : array of shape (n,), default=None
            Weights of the rows in the means.

        Returns
        -------
        PrototypeClassifier
            Fitted estimator.

        Raises
        ------
        UnknownNameError, ParameterError
            If a parameter has an invalid value.
        InputError
            If there is one class.
        """
        self.__dict__.pop("classes_", None)
        return self.partial_fit(X, y, sample_weight=sample_weight)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> PrototypeClassifier:
        """Add rows; their order and how they are divided into batches do not matter.

        Parameters
        ----------
        X : array of shape (n, dim)
            Embeddings.
        y : array of shape (n,)
            Classes.
        classes : array of shape (n_classes,), default=None
            All classes that will occur, for the first call. None is those in `y`.
        sample_weight : array of shape (n,), default=None
            Weights of the rows in the means.

        Returns
        -------
        PrototypeClassifier
            Fitted estimator.

        Raises
        ------
        UnknownNameError, ParameterError
            If a parameter has an invalid value.
        InputError
            If a label is missing or not among the classes, there is one class, or weights cannot be used.
        """
        check_choice("metric", self.metric, METRICS)
        check_number("temperature", self.temperature, 0, closed="neither")
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

    def _begin(self, classes: np.ndarray) -> None:
        if len(classes) < 2:
            raise InputError(f"Got 1 class, {classes.tolist()[0]!r}. Expected two or more.")
        self.classes_ = classes
        self.class_count_: np.ndarray = np.zeros(len(classes))
        self.sums_: np.ndarray = np.zeros((len(classes), self.n_features_in_))

    def _encode(self, y: np.ndarray) -> np.ndarray:
        if unknown := sorted(set(y.tolist()) - set(self.classes_.tolist())):
            raise InputError(
                f"Got the label {unknown[0]!r}. Expected one of {self.classes_.tolist()}: pass all that will come as "
                "classes=[...] to the first partial_fit."
            )
        return np.asarray(np.searchsorted(self.classes_, y))

    def _prepare(self, X: np.ndarray) -> np.ndarray:
        return normalize(X) if self.metric == "cosine" else X

    def _solve(self) -> None:
        """Compute the prototypes, and the linear form of the distances to them."""
        seen = self.class_count_ > 0
        means = self.sums_ / np.where(seen, self.class_count_, 1)[:, None]
        self.prototypes_ = self._prepare(means)
        # For unit vectors half the squared distance is 1 - cos, up to a term that all classes share.
        factor = (1 if self.metric == "cosine" else 2) / self.temperature
        coef = factor * (self.prototypes_ - self.prototypes_[seen].mean(axis=0))
        squares = (self.prototypes_**2).sum(axis=1) / self.temperature * (self.metric == "euclidean")
        intercept = np.where(seen, squares[seen].mean() - squares, -np.inf)
        coef[~seen] = 0
        if len(self.classes_) == 2:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        self.coef_, self.intercept_ = coef, intercept
