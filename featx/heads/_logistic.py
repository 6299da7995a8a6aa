"""LogisticRegression: scikit-learn's, fitted with one BLAS thread."""

from __future__ import annotations

from typing import Any

from sklearn import linear_model

from featx._blas import one_blas_thread
from featx.evaluation import as_labels


class LogisticRegression(linear_model.LogisticRegression):
    """Scikit-learn's logistic regression, many times sooner on embeddings: it is fitted with one BLAS thread.

    Parameters, attributes and results are those of `sklearn.linear_model.LogisticRegression`, as it gives them with one
    BLAS thread. scikit-learn itself leaves BLAS all threads. The optimizer, L-BFGS, hands them vectors so short that
    they mostly wait for one another, and burn a processor each while they do.

    See Also
    --------
    image_pipeline : Makes it for ``head="logistic"``.

    Notes
    -----
    On two processors a grid search of 300 to 10,000 embeddings takes less than a tenth of the time
    ("Heads" in ``tests/benchmarks/RESULTS.md``). An own pipeline gets the same from the environment variable
    ``OPENBLAS_NUM_THREADS=1``, or from ``threadpoolctl.threadpool_limits(1, user_api="blas")`` around its fit.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from featx.heads import LogisticRegression
    >>> X, y = load_digits(return_X_y=True)
    >>> bool(LogisticRegression(C=0.01, max_iter=1000).fit(X, y).score(X, y) > 0.95)
    True
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> LogisticRegression:
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
        LogisticRegression
            Fitted estimator.
        """
        with one_blas_thread():
            return super().fit(X, as_labels(y), sample_weight)
