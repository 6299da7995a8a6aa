"""DANN and deep CORAL on embeddings: a small network that skada trains on both domains."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin

from featx._optional import import_optional
from featx.exceptions import UnknownNameError

LOSSES = ("dann", "deepcoral")


class DomainNetwork(ClassifierMixin, BaseEstimator):
    """Classify by one hidden layer, whose features a loss makes alike in source and target.

    The network is built anew and seeded at each `fit`.

    Parameters
    ----------
    loss : {"dann", "deepcoral"}, default="dann"
        ``"dann"``: a second network learns to distinguish the domains, and the features are trained to deceive it
        (Ganin et al. 2016, JMLR 17). ``"deepcoral"``: the domains' covariances are made equal (Sun & Saenko 2016,
        arXiv:1607.01719).
    weight : float, default=1.0
        Weight of that loss, beside the cross-entropy of the source.
    hidden : int, default=64
        Number of hidden units.
    epochs : int, default=10
        Passes over the data.
    learning_rate : float, default=0.003
        Learning rate of Adam.
    batch_size : int, default=64
        Number of rows of each domain in a batch.
    random_state : int, default=0
        Seed of the weights and of the order of rows.

    Attributes
    ----------
    classes_ : ndarray
    hidden_, output_ : (weights, biases)
        The two layers as numpy arrays: only training needs torch.

    Raises
    ------
    UnknownNameError
        If the loss does not exist; in `fit`.
    MissingDependencyError
        If skada or skorch is not installed; in `fit`.
    """

    # What scikit-learn's routing passes on, as for skada's estimators.
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"sample_domain": True}

    def __init__(
        self,
        loss: str = "dann",
        *,
        weight: float = 1.0,
        hidden: int = 64,
        epochs: int = 10,
        learning_rate: float = 0.003,
        batch_size: int = 64,
        random_state: int = 0,
    ):
        self.loss = loss
        self.weight = weight
        self.hidden = hidden
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: np.ndarray, sample_domain: np.ndarray | None = None) -> DomainNetwork:
        """Train on rows of both domains.

        Parameters
        ----------
        X : array of shape (n, dim)
            Rows of both domains.
        y : array of int
            Classes, -1 for rows of the target.
        sample_domain : array of int
            Positive for the source, negative for the target.

        Returns
        -------
        DomainNetwork
            Fitted estimator.
        """
        if self.loss not in LOSSES:
            raise UnknownNameError("loss", self.loss, LOSSES)
        import torch

        source = np.asarray(sample_domain) >= 0
        self.classes_ = np.unique(np.asarray(y)[source])
        codes = np.where(source, np.searchsorted(self.classes_, y), -1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.random_state)
            module = _make_module(X.shape[1], self.hidden, len(self.classes_))
            rows = min(self.batch_size, source.sum(), (~source).sum())
            self._make_net(module, int(rows)).fit(
                np.asarray(X, np.float32), codes.astype(np.int64), sample_domain=np.where(source, 1, -1)
            )
        self.hidden_, self.output_ = _weights(module.body[0]), _weights(module.top)
        return self

    def features(self, X: np.ndarray) -> np.ndarray:
        """Compute the hidden layer of rows of either domain."""
        weights, biases = self.hidden_
        return np.maximum(X @ weights + biases, 0)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Predict class probabilities of rows of either domain."""
        weights, biases = self.output_
        return softmax(self.features(X) @ weights + biases, axis=1)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predict classes of rows of either domain."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _make_net(self, module: Any, rows: int) -> Any:
        import torch

        import_optional("skorch", extra="adapt", purpose="A deep adaptation method")
        from skada.deep import DANN, DeepCoral

        given = {"optimizer": torch.optim.Adam, "lr": self.learning_rate, "max_epochs": self.epochs}
        given |= {"batch_size": rows, "train_split": None, "verbose": 0, "reg": self.weight}
        if self.loss == "dann":
            return DANN(module, "body", domain_classifier=_make_rival(self.hidden), **given)
        return DeepCoral(module, "body", **given)


def _weights(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    return layer.weight.detach().numpy().T.astype(float), layer.bias.detach().numpy().astype(float)


def _make_module(dim: int, hidden: int, classes: int) -> Any:
    from torch import nn

    class Module(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU())
            self.top = nn.Linear(hidden, classes)

        def forward(self, X: Any, sample_weight: Any = None) -> Any:
            return self.top(self.body(X))

    return Module()


def _make_rival(hidden: int) -> Any:
    """Make the network that distinguishes domains.

    That of skada 0.6 ends in a softmax over one number, which is always 1 and teaches nothing.
    """
    from skada.deep.modules import GradientReversalLayer
    from torch import nn

    class Rival(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1), nn.Sigmoid())

        def forward(self, features: Any) -> Any:
            return self.layers(GradientReversalLayer.apply(features, 1)).squeeze(1)

    return Rival()
