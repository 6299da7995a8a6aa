"""Classes to be told apart: what a training needs of them, and the linear models before and after it."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.utils import compute_sample_weight

from featx.evaluation import check_classes, check_weights, has_fractions, hold_out
from featx.exceptions import InputError
from featx.finetune._probe import fit_probe

# As image_pipeline("logistic") has it.
_C = 0.01


class Classes:
    """The labels of n images.

    Parameters
    ----------
    y : array of shape (n,)
    n : int
    class_weight : dict, "balanced" or None
        Balanced are the sums of the rows' weights, as LogisticRegression has it; not the numbers of rows.
    sample_weight : array of shape (n,), default=None

    Attributes
    ----------
    targets : ndarray of shape (n,), int64
    weights : ndarray of shape (n,)
        Of rows, times those of their classes.
    n_outputs : int
    """

    measure = "accuracy"
    fill = -np.inf

    def __init__(self, y: Any, n: int, class_weight: Any = None, sample_weight: Any = None):
        if has_fractions(y):
            raise InputError(
                "Got y with numbers that are no classes. Expected classes; FineTuneRegressor takes numbers."
            )
        self.targets, self.classes = check_classes(y, n)
        self.n_outputs = len(self.classes)
        self.weights = check_weights(sample_weight, n)
        if isinstance(class_weight, str) and class_weight == "balanced":
            sums = np.bincount(self.targets, self.weights)
            # A class of which no row weighs anything is refused later, by name.
            of_class = self.weights.sum() / (len(sums) * np.where(sums, sums, 1))
            self.weights = self.weights * of_class[self.targets]
            return
        try:
            weights = compute_sample_weight(class_weight, self.classes[self.targets])
        except (TypeError, ValueError) as error:
            raise InputError(f"Got class_weight={class_weight!r}: {error}") from error
        self.weights = self.weights * check_weights(weights, n, "class_weight")

    def check(self, usable: np.ndarray) -> None:
        """Refuse a class of which no image can be used."""
        left = np.bincount(self.targets[usable], minlength=self.n_outputs)
        if not left.all():
            raise InputError(
                f"Got no usable image with a weight of class {self.classes[left.argmin()].item()!r}. Leave it out of y."
            )

    def hold_out(self, usable: np.ndarray, fraction: float, random: np.random.RandomState) -> np.ndarray:
        """Positions of a share of each class."""
        return usable[hold_out(self.targets[usable], fraction, random)]

    def probe(self, Z: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logistic regression on embeddings, as weights (n_outputs, dim) and intercepts."""
        model = LogisticRegression(C=_C, max_iter=1000)
        coef, intercept = fit_probe(model, Z[rows], self.targets[rows], weights)
        if self.n_outputs == 2:  # scikit-learn has one row, the second class's against the first
            coef, intercept = (np.concatenate([-values / 2, values / 2]) for values in (coef, intercept))
        return coef, intercept

    def at(self, first: int, n_outputs: int) -> np.ndarray:
        """The targets, where the classes' outputs begin at `first`."""
        return self.targets + first

    def head(self, coef: np.ndarray, intercept: np.ndarray) -> LogisticRegression:
        """The tuned head as scikit-learn has it."""
        if self.n_outputs == 2:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        head = LogisticRegression(C=_C, max_iter=1000)
        head.classes_, head.coef_, head.intercept_ = self.classes, coef, intercept
        head.n_features_in_, head.n_iter_ = coef.shape[1], np.array([0], np.int32)
        return head

    @staticmethod
    def loss() -> type:
        """The loss in torch."""
        from torch import nn

        return nn.CrossEntropyLoss

    @staticmethod
    def judge(outputs: Any, targets: Any) -> float:
        """Accuracy."""
        return (outputs.argmax(1) == targets).float().mean().item()
