"""The methods, each a pipeline of skada: its one parameter, the values that are tried, its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from featx.adapt._network import DomainNetwork
from featx.adapt._scaler import DomainScaler
from featx.exceptions import ParameterError, UnknownNameError

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

SOURCE, ORACLE = "source", "oracle"
_MOST_COMPONENTS = 256  # a covariance of 1,280 columns takes seconds to invert, and gains nothing here
_FAR = 5.0  # standard deviations
_SINKHORN = 200  # iterations; POT's thousand moved no accuracy


@dataclass(frozen=True)
class Task:
    """What every pipeline of a comparison shares.

    Attributes
    ----------
    head : estimator
        Logistic regression, whose strength was chosen on the source.
    most : int
        Components that the smallest part to be fitted has.
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
        (value, task) -> the steps of its pipeline.
    parameter : str
        What is tuned; "" where nothing is.
    values : tuple
        What is tried.
    """

    steps: Callable[[Any, Task], list[Any]]
    parameter: str = ""
    values: tuple = (None,)


def build(name: str, value: Any, task: Task) -> Pipeline:
    """A pipeline to be fitted on both domains with ``sample_domain``; inside `domain_routing`."""
    from skada import make_da_pipeline

    return make_da_pipeline(*METHODS[name].steps(value, task))


def candidates(name: str, task: Task) -> list[Any]:
    """Values that are tried, of which those that count components stay below what there is."""
    method = METHODS[name]
    if method.parameter != "n_components":
        return list(method.values)
    return sorted({min(value, task.most) for value in method.values})


def check_methods(methods: str | Sequence[str]) -> tuple[str, ...]:
    """Names of methods, each once, the source alone first.

    Raises
    ------
    UnknownNameError
        If there is no such method.
    ParameterError
        If they are no list, or nothing is left to compare.

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
    """A column that hardly varies in one domain puts rows of the other far out: 10 points, on digits, for the source.

    Without it POT's map makes such rows NaN, for want of a target row near them.
    """
    return FunctionTransformer(np.clip, kw_args={"a_min": -_FAR, "a_max": _FAR})


def _head(task: Task) -> Any:
    return clone(task.head).set_score_request(sample_weight=True)  # which one of the scorers weights


def _source(value: None, task: Task) -> list[Any]:
    from skada import SelectSource

    return [SelectSource(StandardScaler()), _near(), _head(task)]


def _standardize(value: None, task: Task) -> list[Any]:
    return [DomainScaler(), _near(), _head(task)]


def _coral(value: float, task: Task) -> list[Any]:
    from skada import CORALAdapter

    components = PCA(min(_MOST_COMPONENTS, task.most), random_state=task.seed)
    return [StandardScaler(), _near(), components, CORALAdapter(reg=value), _head(task)]


def _subspace(value: int, task: Task) -> list[Any]:
    from skada import SubspaceAlignmentAdapter

    return [StandardScaler(), _near(), SubspaceAlignmentAdapter(value, random_state=task.seed), _head(task)]


def _ot(value: float, task: Task) -> list[Any]:
    from skada import EntropicOTMappingAdapter, OTMappingAdapter

    adapter = EntropicOTMappingAdapter(value, norm="max", max_iter=_SINKHORN) if value else OTMappingAdapter()
    return [StandardScaler(), _near(), adapter, _head(task)]


def _deep(loss: str) -> Callable[[float, Task], list[Any]]:
    def steps(value: float, task: Task) -> list[Any]:
        network = DomainNetwork(loss, weight=value, random_state=task.seed)
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
