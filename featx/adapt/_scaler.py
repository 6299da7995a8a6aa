"""Each domain standardised by itself."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import StandardScaler


class DomainScaler(TransformerMixin, BaseEstimator):
    """Standardise source and target apart; rows without a domain are of the target.

    skada's ``PerDomain(StandardScaler())`` cannot do without the domain of new rows, and knows labels that it has seen
    alone.

    Attributes
    ----------
    source_, target_ : StandardScaler
    """

    # What scikit-learn's routing is asked for, as skada's own estimators ask.
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"sample_domain": True}
    __metadata_request__transform: ClassVar[dict[str, bool]] = {"sample_domain": True}

    def fit(self, X: np.ndarray, y: Any = None, sample_domain: np.ndarray | None = None) -> DomainScaler:
        """Measure both domains.

        Parameters
        ----------
        X : array of shape (n, dim)
        y : None
            Ignored.
        sample_domain : array of int
            Positive for the source, negative for the target.

        Returns
        -------
        DomainScaler
            Itself.
        """
        source = np.asarray(sample_domain) >= 0
        self.source_, self.target_ = StandardScaler().fit(X[source]), StandardScaler().fit(X[~source])
        return self

    def transform(self, X: np.ndarray, sample_domain: np.ndarray | None = None) -> np.ndarray:
        """Standardise rows, each by its own domain.

        Parameters
        ----------
        X : array of shape (n, dim)
        sample_domain : array of int, default=None
            None takes all rows as the target's.

        Returns
        -------
        ndarray of shape (n, dim)
        """
        if sample_domain is None:
            return self.target_.transform(X)
        source = np.asarray(sample_domain)[:, None] >= 0
        return np.where(source, self.source_.transform(X), self.target_.transform(X))

    def fit_transform(self, X: np.ndarray, y: Any = None, sample_domain: np.ndarray | None = None) -> np.ndarray:
        """Measure both domains and standardise them; scikit-learn's own would not pass the domains on."""
        return self.fit(X, y, sample_domain).transform(X, sample_domain)
