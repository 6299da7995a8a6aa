"""LinearProbe: logistic regression whose regularisation is chosen on the usual grid, on a validation split."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from featx._array_api import refuse_tensors
from featx.exceptions import InputError, ParameterError
from featx.heads._hold_out import hold_out
from featx.heads._labels import as_labels
from featx.heads._linear import LinearHead
from featx.heads._weights import check_weights

_PATH_ITERATIONS = 100


def linear_probe(**parameters: Any) -> Pipeline:
    """Build the usual judge of embeddings: StandardScaler and LinearProbe.

    Parameters
    ----------
    **parameters
        Of `LinearProbe`.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``scaler`` and ``head``.

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
    r"""Logistic regression, its strength of L2 chosen on a validation split, then refitted on all rows.

    The protocol by which embeddings are compared [1]_ [2]_: the minimum of

    .. math:: \frac{1}{2} \lVert W \rVert^2 + C \sum_i -\log p(y_i \mid x_i)

    for each C of a path from strong to weak regularisation, each solution the start of the next; the C of the highest
    validation accuracy is taken (among equals that of the lower log loss, then the smaller one).

    Parameters
    ----------
    Cs : int or sequence of float, default=45
        An int: so many values, evenly spaced by their logarithms from 1e-5 to 1e6, the grid of [1]_. Or the values.
    validation_fraction : float, default=0.2
        Of each class, at least one row and at most all but one: a class of one row is trained on, and not validated.
        Where all classes are such there is nothing to choose by, and the middle value of the grid is taken.
    max_iter : int, default=1000
        Iterations of the last fit.
    random_state : int, RandomState or None, default=0
        Draws the split.

    Attributes
    ----------
    C_ : float
        The chosen value.
    Cs_ : ndarray of shape (n_values,)
        The grid, rising.
    scores_ : ndarray of shape (n_values,)
        The validation accuracy of each; NaN where there was nothing to choose by.
    classes_ : ndarray of shape (n_classes,)
    coef_, intercept_ : ndarray
        As LogisticRegression has them.
    n_iter_ : int
        Iterations of the last fit.
    n_features_in_ : int

    Notes
    -----
    It wants columns of one scale: `linear_probe` puts a StandardScaler before it. float32 stays float32, though it is
    trained in float64, and the last fit starts from zero: of one C, one BLAS thread and many give the same
    probabilities within 1e-5. Validation scores of the path may differ by single rows, and so may C where two values
    are that close. To stop the path early would save nothing: where C no longer matters, a start is a solution.

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
        """Choose C, and fit with it.

        Parameters
        ----------
        X : array of shape (n, dim)
        y : array of shape (n,)
        sample_weight : array of shape (n,), default=None
            Of the losses, and in the validation accuracy. A row of weight zero is as one left out.

        Returns
        -------
        LinearProbe
            Itself.

        Raises
        ------
        ParameterError
            If a parameter has a value that is not accepted.
        InputError
            If there is one class, a label is missing, or weights are none.

        Warns
        -----
        ConvergenceWarning
            scikit-learn's, if ``max_iter`` is too small for the last fit.
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
        X = X.astype(np.float64)  # in float32 the result would depend on the order of sums, so on BLAS's threads
        held_out = hold_out(codes, self.validation_fraction, check_random_state(self.random_state))
        self._choose(X, codes, weights, held_out)
        # From zero: a start from the path would hand on its rounding, which each of its fits makes larger.
        model = LogisticRegression(C=self.C_, max_iter=self.max_iter).fit(X, codes, weights)
        self.coef_, self.intercept_ = model.coef_.astype(dtype), model.intercept_.astype(dtype)
        self.n_iter_ = int(model.n_iter_[0])
        return self

    def _check_parameters(self) -> np.ndarray:
        """The grid, rising."""
        if not _is_count(self.max_iter):
            raise ParameterError(f"Got max_iter={self.max_iter!r}. Expected a positive integer.")
        fraction = self.validation_fraction
        if not isinstance(fraction, Real) or not 0 < fraction < 1:
            raise ParameterError(f"Got validation_fraction={fraction!r}. Expected a number between 0 and 1.")
        grid = np.logspace(-5, 6, self.Cs) if _is_count(self.Cs) else np.sort(np.ravel(self.Cs))
        if not len(grid) or grid.dtype.kind not in "fiu" or not ((grid > 0) & np.isfinite(grid)).all():
            raise ParameterError(f"Got Cs={self.Cs!r}. Expected a positive integer, or positive numbers.")
        return grid

    def _choose(self, X: np.ndarray, codes: np.ndarray, weights: np.ndarray | None, held_out: np.ndarray) -> None:
        """Walk the path, and keep the best C."""
        model = LogisticRegression(warm_start=True, max_iter=_PATH_ITERATIONS)
        self.scores_ = np.full(len(self.Cs_), np.nan)
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
    """Fit, from where the model is; accuracy and negative log loss."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the next value goes on from here
        model.fit(*train)
    X, y, weights = validation
    probabilities = model.predict_proba(X)
    accuracy = float(np.average(model.classes_[probabilities.argmax(axis=1)] == y, weights=weights))
    return accuracy, -log_loss(y, probabilities, sample_weight=weights, labels=model.classes_)


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and value > 0
