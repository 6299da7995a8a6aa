"""Class labels and numbers as targets of a training, and the linear models before and after it."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.preprocessing import StandardScaler
from sklearn.utils import compute_sample_weight

from featx.evaluation import check_classes, check_targets, check_weights, has_fractions, hold_out
from featx.exceptions import InputError
from featx.heads import LogisticRegression

# As image_pipeline("logistic") and image_pipeline("ridge") have them.
_C = 0.01
_ALPHA = 1000.0


class ClassTargets:
    """The class labels of n images.

    Parameters
    ----------
    y : array of shape (n,)
        The labels.
    n : int
        The number of images.
    sample_weight : array of shape (n,), default=None
        Weights of the images.
    class_weight : dict, "balanced" or None, default=None
        ``"balanced"`` gives each class the same sum of weights, as LogisticRegression does, not the same number of
        images.

    Attributes
    ----------
    values : ndarray of shape (n,), int64
        The positions of the labels in `classes`.
    classes : ndarray of shape (n_outputs,)
        The labels, sorted.
    weights : ndarray of shape (n,)
        The weights of the images, times those of their classes.
    n_outputs : int
        The number of the head's outputs.
    """

    metric_name = "accuracy"
    # What the outputs of another task are for the loss.
    masked_output = -np.inf

    def __init__(self, y: Any, n: int, sample_weight: Any = None, class_weight: Any = None):
        if has_fractions(y):
            raise InputError("Got y with continuous values. Expected class labels; FineTuneRegressor predicts numbers.")
        self.values, self.classes = check_classes(y, n)
        self.n_outputs = len(self.classes)
        self.weights = self._weigh(check_weights(sample_weight, n), class_weight)

    def _weigh(self, weights: np.ndarray, class_weight: Any) -> np.ndarray:
        if isinstance(class_weight, str) and class_weight == "balanced":
            sums = np.bincount(self.values, weights)
            # A class whose images all weigh nothing is refused later, by name.
            of_class = weights.sum() / (len(sums) * np.where(sums, sums, 1))
            return weights * of_class[self.values]
        try:
            of_images = compute_sample_weight(class_weight, self.classes[self.values])
        except (TypeError, ValueError) as error:
            raise InputError(f"Got class_weight={class_weight!r}: {error}") from error
        return weights * check_weights(of_images, len(weights), "class_weight")

    def check_usable(self, usable: np.ndarray) -> None:
        """Refuse a class without a usable image.

        Raises
        ------
        InputError
            If there is such a class.
        """
        left = np.bincount(self.values[usable], minlength=self.n_outputs)
        if not left.all():
            raise InputError(
                f"Got no usable image with a weight of class {self.classes[left.argmin()].item()!r}. Leave it out of y."
            )

    def hold_out(self, usable: np.ndarray, fraction: float, random: np.random.RandomState) -> np.ndarray:
        """Choose positions for validation: a share of each class."""
        return usable[hold_out(self.values[usable], fraction, random)]

    def fit_probe(self, embeddings: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Fit logistic regression on some rows: weights (n_outputs, dim) and intercepts."""
        model = LogisticRegression(C=_C, max_iter=1000)
        coef, intercept = fit_probe(model, embeddings[rows], self.values[rows], self.weights[rows])
        if self.n_outputs == 2:  # scikit-learn has one row, the second class's against the first
            coef, intercept = (np.concatenate([-values / 2, values / 2]) for values in (coef, intercept))
        return coef, intercept

    def encode(self, first: int, n_outputs: int) -> np.ndarray:
        """Encode the targets for a head of `n_outputs` outputs, of which this task's begin at `first`."""
        return self.values + first

    def make_head(self, coef: np.ndarray, intercept: np.ndarray) -> LogisticRegression:
        """Make a fitted scikit-learn model of the tuned head."""
        if self.n_outputs == 2:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        head = LogisticRegression(C=_C, max_iter=1000)
        head.classes_, head.coef_, head.intercept_ = self.classes, coef, intercept
        head.n_features_in_, head.n_iter_ = coef.shape[1], np.array([0], np.int32)
        return head

    @staticmethod
    def loss() -> type:
        """Return the loss in torch."""
        from torch import nn

        return nn.CrossEntropyLoss

    @staticmethod
    def metric(outputs: Any, targets: Any) -> float:
        """Compute the accuracy."""
        return (outputs.argmax(1) == targets).float().mean().item()


class RegressionTargets:
    """The numbers of n images, scaled to mean 0 and variance 1.

    Parameters
    ----------
    y : array of shape (n,) or (n, n_outputs)
        The numbers.
    n : int
        The number of images.
    sample_weight : array of shape (n,), default=None
        Weights of the images.

    Attributes
    ----------
    values : ndarray of shape (n, n_outputs), float32
        The scaled numbers.
    weights : ndarray of shape (n,)
        The weights of the images.
    center, scale : ndarray of shape (n_outputs,)
        The means and deviations that they had.
    n_outputs : int
        The number of the head's outputs.
    """

    metric_name = "mae"
    masked_output = 0.0

    def __init__(self, y: Any, n: int, sample_weight: Any = None):
        targets = check_targets(y, n)
        self._is_flat = np.ndim(y) == 1
        self._scaler = StandardScaler().fit(targets)
        self.values = self._scaler.transform(targets).astype(np.float32)
        self.center, self.scale = self._scaler.mean_, self._scaler.scale_
        self.n_outputs = targets.shape[1]
        self.weights = check_weights(sample_weight, n)

    def check_usable(self, usable: np.ndarray) -> None:
        """Accept any numbers."""

    def hold_out(self, usable: np.ndarray, fraction: float, random: np.random.RandomState) -> np.ndarray:
        """Choose positions for validation: a share of the images."""
        n = min(max(1, round(fraction * len(usable))), len(usable) - 1)
        return np.sort(random.permutation(usable)[:n])

    def fit_probe(self, embeddings: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Fit ridge regression on some rows: weights (n_outputs, dim) and intercepts."""
        return fit_probe(Ridge(alpha=_ALPHA), embeddings[rows], self.values[rows], self.weights[rows])

    def encode(self, first: int, n_outputs: int) -> np.ndarray:
        """Encode the targets for a head of `n_outputs` outputs: from `first` on, with zeros at the others."""
        padded: np.ndarray = np.zeros((len(self.values), n_outputs), np.float32)
        padded[:, first : first + self.n_outputs] = self.values
        return padded

    def make_head(self, coef: np.ndarray, intercept: np.ndarray) -> LinearRegression:
        """Make a fitted scikit-learn model of the tuned head, in the units of y."""
        coef = coef * self._scaler.scale_[:, None]
        intercept = intercept * self._scaler.scale_ + self._scaler.mean_
        head = LinearRegression()
        head.coef_, head.intercept_ = (coef[0], float(intercept[0])) if self._is_flat else (coef, intercept)
        head.n_features_in_ = coef.shape[1]
        return head

    @staticmethod
    def loss() -> type:
        """Return the loss in torch."""
        from torch import nn

        return nn.MSELoss

    def metric(self, outputs: Any, targets: Any) -> float:
        """Compute the mean absolute error, in the units of y."""
        n = self.n_outputs
        return float(np.abs((outputs - targets).numpy()[:, :n] * self._scaler.scale_).mean())


Targets = ClassTargets | RegressionTargets


def fit_probe(
    model: Any, embeddings: np.ndarray, targets: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a linear model on centered embeddings, all columns scaled by the same factor.

    A factor for each column would give large weights to columns that hardly vary, which upset the outputs as soon as
    the layers below are tuned. On 900 images of Fashion-MNIST the one factor is not worse before that.

    Parameters
    ----------
    model : estimator
        A linear model with ``coef_`` and ``intercept_``.
    embeddings : ndarray of shape (n, dim)
        The embeddings.
    targets : ndarray of shape (n,) or (n, n_outputs)
        What the model predicts.
    weights : ndarray of shape (n,)
        Weights of the rows.

    Returns
    -------
    coef : ndarray of shape (n_rows, dim)
        The weights for the embeddings as they are, not as they were scaled.
    intercept : ndarray of shape (n_rows,)
        The intercepts for the embeddings as they are.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from featx.finetune._targets import fit_probe
    >>> embeddings = np.arange(6.0).reshape(3, 2)
    >>> coef, intercept = fit_probe(Ridge(alpha=1e-9), embeddings, 2 * embeddings[:, 0] + 1, np.ones(3))
    >>> (embeddings @ coef[0] + intercept).round(3).tolist()
    [1.0, 5.0, 9.0]
    """
    mean = embeddings.mean(axis=0, dtype=np.float64)
    scale = np.sqrt(np.square(embeddings - mean).mean()) or 1.0
    model.fit((embeddings - mean) / scale, targets, sample_weight=weights)
    coef = np.atleast_2d(model.coef_) / scale
    return coef, np.atleast_1d(model.intercept_) - coef @ mean
