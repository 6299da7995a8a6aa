"""LinearProbe: logistic regression with regularization chosen on the usual grid, on a validation split."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from featx._array_api import refuse_tensors
from featx._blas import one_blas_thread
from featx._validate import check_integer, check_number, is_integer
from featx.evaluation import as_labels, check_weights, hold_out
from featx.exceptions import InputError, ParameterError
from featx.heads._linear import LinearHead
from featx.heads._logistic import LogisticRegression

_PATH_ITERATIONS = 100
_LEAST = float(np.log(np.finfo(np.float64).eps))  # as in scikit-learn's log_loss


def linear_probe(**parameters: Any) -> Pipeline:
    """Build the usual classifier by which embeddings are evaluated: StandardScaler and LinearProbe.

    Parameters
    ----------
    **parameters
        Parameters of `LinearProbe`.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Pipeline with the steps ``scaler`` and ``head``.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from featx.heads import linear_probe
    >>> X, y = load_digits(return_X_y=True)
    >>> probe = linear_probe(Cs=5).fit(X[:400], y[:400])
    >>> bool(probe.score(X[400:], y[400:]) > 0.85)
    True
    """
    return Pipeline([("scaler", StandardScaler()), ("head", LinearProbe(**parameters))])


class LinearProbe(LinearHead):
    r"""Logistic regression whose L2 strength is chosen on a validation split, then refitted on all rows.

    This is the protocol by which embeddings are compared [1]_ [2]_. It minimizes

    .. math:: \frac{1}{2} \lVert W \rVert^2 + C \sum_i -\log p(y_i \mid x_i)

    for each C of a path from strong to weak regularization, and each solution is the start of the next. The C with the
    highest validation accuracy is chosen; ties are broken by the lower log loss, then by the smaller C.

    Parameters
    ----------
    Cs : int or sequence of float, default=45
        The grid. An int is a number of values, spaced evenly on a log scale from 1e-5 to 1e6, as in [1]_.
    validation_fraction : float, default=0.2
        Share of each class in the validation split, at least one row and at most all but one. A class with a single
        row is in the training part only. If every class is like that, the middle value of the grid is used.
    max_iter : int, default=1000
        Maximum number of iterations of the final fit.
    random_state : int, RandomState or None, default=0
        Controls the split. The default is an int so that two fits on the same data agree.

    Attributes
    ----------
    C_ : float
        The chosen value.
    Cs_ : ndarray of shape (n_values,)
        The grid, in ascending order.
    scores_ : ndarray of shape (n_values,)
        Validation accuracy of each value; NaN if there was no validation split.
    classes_ : ndarray of shape (n_classes,)
        The class labels.
    coef_, intercept_ : ndarray
        As in `sklearn.linear_model.LogisticRegression`.
    n_iter_ : int
        Number of iterations of the final fit.
    n_features_in_ : int
        Length of an embedding.

    Notes
    -----
    Columns should have similar scales: `linear_probe` puts a StandardScaler before it. The output has the input's
    dtype, though fitting is in float64, and the final fit starts from zero: for a given C, the probabilities of two
    processors that sum in another order agree within 1e-5. Validation scores on the path may differ by single rows, and
    so may C if two values are that close. Fits use one BLAS thread. Stopping the path early would save nothing: where C
    no longer matters, the start is already the solution.

    References
    ----------
    .. [1] Kornblith et al. 2019, Do Better ImageNet Models Transfer Better?, arXiv:1805.08974: 45 values from 1e-6 to
       1e5 of the weight of L2, here 1 / C.
    .. [2] Radford et al. 2021, appendix A.3, arXiv:2103.00020.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from featx.heads import LinearProbe
    >>> X, y = load_digits(return_X_y=True)
    >>> probe = LinearProbe(Cs=[0.001, 0.1, 10]).fit(X[:300] / 16, y[:300])
    >>> probe.C_
    10.0
    """

    def __init__(
        self,
        Cs: int | Sequence[float] = 45,
        *,
        validation_fraction: float = 0.2,
        max_iter: int = 1000,
        random_state: Any = 0,
    ):
        self.Cs = Cs
        self.validation_fraction = validation_fraction
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> LinearProbe:
        """Choose C and fit with it.

        Parameters
        ----------
        X : array of shape (n, dim)
            Embeddings.
        y : array of shape (n,)
            Classes.
        sample_weight : array of shape (n,), default=None
            Weights of the losses and in the validation accuracy. Rows of weight zero are ignored.

        Returns
        -------
        LinearProbe
            Fitted estimator.

        Raises
        ------
        ParameterError
            If a parameter has an invalid value.
        InputError
            If there is one class, a label is missing, or weights cannot be used.

        Warns
        -----
        ConvergenceWarning
            As scikit-learn does, if ``max_iter`` is too small for the final fit.
        """
        self.Cs_ = self._check_parameters()
        refuse_tensors(X=X, y=y)
        X, y = validate_data(self, X, as_labels(y), dtype=(np.float32, np.float64))
        check_classification_targets(y)
        weights = None if sample_weight is None else check_weights(sample_weight, len(X))
        if weights is not None:
            X, y, weights = X[weights > 0], y[weights > 0], weights[weights > 0]
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(f"Got 1 class, {self.classes_.tolist()[0]!r}. Expected two or more.")
        dtype = X.dtype
        X = X.astype(np.float64)  # in float32 the result would depend on the order of sums, so on the processor
        held_out = hold_out(codes, self.validation_fraction, check_random_state(self.random_state))
        with one_blas_thread():
            self._choose(X, codes, weights, held_out)
        # From zero: starting from the path would carry over its rounding errors, which each of its fits amplifies.
        model = LogisticRegression(C=self.C_, max_iter=self.max_iter).fit(X, codes, weights)
        self.coef_, self.intercept_ = model.coef_.astype(dtype), model.intercept_.astype(dtype)
        self.n_iter_ = int(model.n_iter_[0])
        return self

    def _check_parameters(self) -> np.ndarray:
        """Check the parameters and return the grid, in ascending order."""
        check_integer("max_iter", self.max_iter)
        check_number("validation_fraction", self.validation_fraction, 0, 1, closed="neither")
        Cs: Any = self.Cs
        grid = np.logspace(-5, 6, Cs) if is_integer(Cs) and Cs > 0 else np.sort(np.ravel(Cs))
        if not len(grid) or grid.dtype.kind not in "fiu" or not ((grid > 0) & np.isfinite(grid)).all():
            raise ParameterError(f"Got Cs={self.Cs!r}. Expected a positive integer, or positive numbers.")
        return grid

    def _choose(self, X: np.ndarray, codes: np.ndarray, weights: np.ndarray | None, held_out: np.ndarray) -> None:
        """Follow the path and keep the best C."""
        model = LogisticRegression(warm_start=True, max_iter=_PATH_ITERATIONS)
        self.scores_: np.ndarray = np.full(len(self.Cs_), np.nan)
        if not held_out.any():
            self.C_ = float(self.Cs_[len(self.Cs_) // 2])
            return
        train, validation = (
            (X[rows], codes[rows], None if weights is None else weights[rows]) for rows in (~held_out, held_out)
        )
        best = None
        for i, C in enumerate(self.Cs_):
            found = _score(model.set_params(C=C), train, validation)
            self.scores_[i] = found[0]
            if best is None or found > best:
                best, self.C_ = found, float(C)


def _score(model: LogisticRegression, train: tuple, validation: tuple) -> tuple[float, float]:
    """Continue to fit a model; return its validation accuracy and its negative log loss."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the next value continues from here
        model.fit(*train)
    X, codes, weights = validation  # the training part has all classes, so that codes are positions
    scores = X @ model.coef_.T + model.intercept_
    if scores.shape[1] == 1:
        scores = np.hstack([np.zeros_like(scores), scores])
    own = log_softmax(scores, axis=1)[np.arange(len(codes)), codes]
    accuracy = np.average(scores.argmax(axis=1) == codes, weights=weights)
    return float(accuracy), float(np.average(np.maximum(own, _LEAST), weights=weights))
