"""The methods, each a pipeline of skada: its one parameter, the values that are tried, its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.special import softmax
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from featx._optional import import_optional
from featx.exceptions import ParameterError, UnknownNameError

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

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


SOURCE, ORACLE = "source", "oracle"
_MOST_COMPONENTS = 256  # a covariance of 1,280 columns takes seconds to invert, and gains nothing here
_FAR = 5.0  # standard deviations
_SINKHORN = 200  # iterations; POT's thousand changed no accuracy


@dataclass(frozen=True)
class Setting:
    """What every pipeline of a comparison shares.

    Attributes
    ----------
    head : estimator
        Logistic regression, whose strength was chosen on the source.
    most : int
        Number of components that the smallest part to be fitted has.
    seed : int
    """

    head: Any
    most: int
    seed: int


@dataclass(frozen=True)
class Method:
    """One way to adapt.

    Attributes
    ----------
    steps : callable
        (value, setting) -> the steps of its pipeline.
    parameter : str
        The parameter that is tuned; "" for none.
    values : tuple
        The values that are tried.
    """

    steps: Callable[[Any, Setting], list[Any]]
    parameter: str = ""
    values: tuple = (None,)


@contextmanager
def domain_routing() -> Iterator[ModuleType]:
    """Import skada, and switch on the metadata routing that it needs, inside alone.

    Importing skada would switch routing on for the whole process; here it is left as it was.

    Yields
    ------
    module
        skada.

    Raises
    ------
    MissingDependencyError
        If skada is not installed.

    Examples
    --------
    >>> import sklearn
    >>> from featx.adapt._methods import domain_routing
    >>> with domain_routing() as skada:
    ...     print(sklearn.get_config()["enable_metadata_routing"])
    True
    >>> sklearn.get_config()["enable_metadata_routing"]
    False
    """
    with config_context(enable_metadata_routing=True):
        yield import_optional("skada", extra="adapt", purpose="Domain adaptation")


class DomainScaler(TransformerMixin, BaseEstimator):
    """Standardize each domain by itself; rows without a domain belong to the target.

    skada's ``PerDomain(StandardScaler())`` needs the domain of new rows, and accepts only those that it was fitted on.

    Attributes
    ----------
    source_, target_ : StandardScaler
    """

    # What scikit-learn's routing passes on, as for skada's estimators.
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"sample_domain": True}
    __metadata_request__transform: ClassVar[dict[str, bool]] = {"sample_domain": True}

    def fit(self, X: np.ndarray, y: Any = None, sample_domain: np.ndarray | None = None) -> DomainScaler:
        """Measure both domains.

        Parameters
        ----------
        X : array of shape (n, dim)
            Rows of both domains.
        y : None
            Ignored.
        sample_domain : array of int
            Positive for the source, negative for the target.

        Returns
        -------
        DomainScaler
            Fitted transformer.
        """
        source = np.asarray(sample_domain) >= 0
        self.source_, self.target_ = StandardScaler().fit(X[source]), StandardScaler().fit(X[~source])
        return self

    def transform(self, X: np.ndarray, sample_domain: np.ndarray | None = None) -> np.ndarray:
        """Standardize rows, each by its domain.

        Parameters
        ----------
        X : array of shape (n, dim)
            Rows of either domain.
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
        """Measure both domains and standardize them; the inherited method would not pass the domains on."""
        return self.fit(X, y, sample_domain).transform(X, sample_domain)


def build(name: str, value: Any, setting: Setting) -> Pipeline:
    """Build a pipeline to be fitted on both domains with ``sample_domain``; inside `domain_routing`."""
    from skada import make_da_pipeline

    return make_da_pipeline(*METHODS[name].steps(value, setting))


def candidates(name: str, setting: Setting) -> list[Any]:
    """List the values that are tried; numbers of components stay below what there is."""
    method = METHODS[name]
    if method.parameter != "n_components":
        return list(method.values)
    return sorted({min(value, setting.most) for value in method.values})


def check_methods(methods: str | Sequence[str]) -> tuple[str, ...]:
    """Check the names of methods.

    Parameters
    ----------
    methods : str or sequence of str
        As given by the user.

    Returns
    -------
    tuple of str
        Each name once, the source alone first.

    Raises
    ------
    UnknownNameError
        If a method does not exist.
    ParameterError
        If they are not a list, or nothing is left to compare.

    Examples
    --------
    >>> from featx.adapt._methods import check_methods
    >>> check_methods(["coral"])
    ('source', 'coral')
    """
    if not isinstance(methods, str | Iterable):
        raise ParameterError(f"Got methods={methods!r}. Expected names of methods, such as ['standardize', 'coral'].")
    methods = (methods,) if isinstance(methods, str) else tuple(methods)
    for name in methods:
        if not isinstance(name, str) or name not in METHODS:
            raise UnknownNameError("method", name, METHODS)
    methods = tuple(dict.fromkeys((SOURCE, *methods)))
    if len(methods) < 2:
        raise ParameterError(f"Got methods={methods!r}. Expected at least one to compare with the source alone.")
    return methods


def _near() -> FunctionTransformer:
    """Clip standardized columns: one that hardly varies in one domain puts rows of the other far out.

    On digits that loses the source 10 points, and POT's map makes rows NaN that have no target row near them.
    """
    return FunctionTransformer(np.clip, kw_args={"a_min": -_FAR, "a_max": _FAR})


def _head(setting: Setting) -> Any:
    return clone(setting.head).set_score_request(sample_weight=True)  # which one of the scorers weights


def _source(value: None, setting: Setting) -> list[Any]:
    from skada import SelectSource

    return [SelectSource(StandardScaler()), _near(), _head(setting)]


def _standardize(value: None, setting: Setting) -> list[Any]:
    return [DomainScaler(), _near(), _head(setting)]


def _coral(value: float, setting: Setting) -> list[Any]:
    from skada import CORALAdapter

    components = PCA(min(_MOST_COMPONENTS, setting.most), random_state=setting.seed)
    return [StandardScaler(), _near(), components, CORALAdapter(reg=value), _head(setting)]


def _subspace(value: int, setting: Setting) -> list[Any]:
    from skada import SubspaceAlignmentAdapter

    return [StandardScaler(), _near(), SubspaceAlignmentAdapter(value, random_state=setting.seed), _head(setting)]


def _ot(value: float, setting: Setting) -> list[Any]:
    from skada import EntropicOTMappingAdapter, OTMappingAdapter

    adapter = EntropicOTMappingAdapter(value, norm="max", max_iter=_SINKHORN) if value else OTMappingAdapter()
    return [StandardScaler(), _near(), adapter, _head(setting)]


def _deep(loss: str) -> Callable[[float, Setting], list[Any]]:
    def steps(value: float, setting: Setting) -> list[Any]:
        network = DomainNetwork(loss, weight=value, random_state=setting.seed)
        return [StandardScaler(), _near(), network.set_score_request(sample_weight=True)]

    return steps


METHODS = {
    SOURCE: Method(_source),
    "standardize": Method(_standardize),
    "coral": Method(_coral, "shrinkage", (0.01, 0.1, 0.5, 0.9)),
    "subspace": Method(_subspace, "n_components", (5, 20, 80)),
    "ot": Method(_ot, "entropy", (0, 0.01, 0.1)),
    "dann": Method(_deep("dann"), "weight", (0.1, 0.3, 1.0)),
    "deepcoral": Method(_deep("deepcoral"), "weight", (10.0, 100.0, 1000.0)),
}
