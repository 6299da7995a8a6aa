"""Numbers to be predicted: what a training needs of them, and the linear models before and after it."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.preprocessing import StandardScaler

from featx.evaluation import check_targets, check_weights
from featx.finetune._probe import fit_probe

# As image_pipeline("ridge") has it.
_ALPHA = 1000.0


class Numbers:
    """The targets of n images, brought to mean 0 and variance 1.

    Parameters
    ----------
    y : array of shape (n,) or (n, outputs)
    n : int
    sample_weight : array of shape (n,), default=None

    Attributes
    ----------
    targets : ndarray of shape (n, outputs), float32
    weights : ndarray of shape (n,)
    n_outputs : int
    """

    measure = "mae"
    fill = 0.0

    def __init__(self, y: Any, n: int, class_weight: None = None, sample_weight: Any = None):
        targets = check_targets(y, n)
        self._is_flat = np.ndim(y) == 1
        self._scaler = StandardScaler().fit(targets)
        self.targets = self._scaler.transform(targets).astype(np.float32)
        self.n_outputs = targets.shape[1]
        self.weights = check_weights(sample_weight, n)

    def check(self, usable: np.ndarray) -> None:
        """Any numbers will do."""

    def hold_out(self, usable: np.ndarray, fraction: float, random: np.random.RandomState) -> np.ndarray:
        """Positions of a share of the images."""
        n = min(max(1, round(fraction * len(usable))), len(usable) - 1)
        return np.sort(random.permutation(usable)[:n])

    def probe(self, Z: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ridge regression on embeddings, as weights (n_outputs, dim) and intercepts."""
        return fit_probe(Ridge(alpha=_ALPHA), Z[rows], self.targets[rows], weights)

    def at(self, first: int, n_outputs: int) -> np.ndarray:
        """The targets, where their outputs begin at `first`; zero at the others."""
        padded = np.zeros((len(self.targets), n_outputs), np.float32)
        padded[:, first : first + self.n_outputs] = self.targets
        return padded

    def head(self, coef: np.ndarray, intercept: np.ndarray) -> LinearRegression:
        """The tuned head as scikit-learn has it, in the units of y."""
        coef = coef * self._scaler.scale_[:, None]
        intercept = intercept * self._scaler.scale_ + self._scaler.mean_
        head = LinearRegression()
        head.coef_, head.intercept_ = (coef[0], float(intercept[0])) if self._is_flat else (coef, intercept)
        head.n_features_in_ = coef.shape[1]
        return head

    @staticmethod
    def loss() -> type:
        """The loss in torch."""
        from torch import nn

        return nn.MSELoss

    def judge(self, outputs: Any, targets: Any) -> float:
        """Mean absolute error, in the units of y."""
        n = self.n_outputs
        return float(np.abs((outputs - targets).numpy()[:, :n] * self._scaler.scale_).mean())
