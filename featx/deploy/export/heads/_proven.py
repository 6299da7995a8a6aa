"""Say which heads are known to convert to ONNX rightly."""

from __future__ import annotations

from typing import Any

from sklearn.compose import TransformedTargetRegressor

from featx.deploy.export._inputs import walk
from featx.deploy.export.heads._writer import is_written

# What skl2onnx was seen to convert rightly: `python -m tests.benchmarks.bundles` prints the table.
_PROVEN = """
    MaxAbsScaler MinMaxScaler Normalizer PCA RobustScaler StandardScaler
    GaussianNB MLPClassifier SVC MLPRegressor SVR
"""
# Of these only with the parameters that were tried.
_PROVEN_WITH: dict[str, dict[str, Any]] = {
    "EmbeddingNormalizer": {"method": "power"},  # of the others there are equivalents
    "Normalizer": {"norm": "l2"},
    "SVC": {"break_ties": False},
}


def find_unproven(head: Any) -> str | None:
    """Say which step of a head was never seen to convert rightly on more than one sample; None if all were."""
    for step in _steps(head):
        wanted = _PROVEN_WITH.get(_name(step), {})
        if not is_written(step) and _name(step) not in _PROVEN.split():
            return f"{_name(step)} is not among the steps that are known to convert to ONNX rightly"
        if odd := [name for name, value in wanted.items() if getattr(step, name) != value]:
            return f"{_name(step)} with {odd[0]}={getattr(step, odd[0])!r} does not convert to ONNX rightly"
    return None


def find_tree(head: Any) -> str | None:
    """Say which part of a head that gets NaN sends it another way in ONNX: skl2onnx's into a tree's other branch."""
    for part in walk(head):
        is_its = hasattr(part, "get_params") and not is_written(part)
        if is_its and any("Tree" in _name(inner) or "Forest" in _name(inner) for inner in walk(part)):
            return f"{_name(part)} treats missing values otherwise in ONNX"
    return None


def _steps(head: Any) -> list[Any]:
    """List a head and the estimators among its parameters, but for what transforms a target."""
    found = [part for part in [head, *head.get_params().values()] if hasattr(part, "get_params")]
    targets = [part.transformer for part in found if isinstance(part, TransformedTargetRegressor)]
    passed = {id(part) for target in targets if target for part in [target, *target.get_params().values()]}
    return [part for part in found if id(part) not in passed]


def _name(step: Any) -> str:
    return type(step).__name__
