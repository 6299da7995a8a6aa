"""ModelScores: what is known of how good a model is, and of the data that say so; plain data that travel with it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from featx.evaluation._folds import fold_interval
from featx.evaluation._reliability import calibration_error
from featx.exceptions import ParameterError

# Where the interval of a mean, which knows no bounds, is cut.
_AT_MOST = {"accuracy": 1.0, "balanced_accuracy": 1.0, "macro_f1": 1.0, "r2": 1.0}
# What cross_validate and featx's tables hold beside scores.
_NO_SCORES = frozenset({"images", "seconds", "fit_time", "score_time", "estimator", "indices"})


@dataclass(frozen=True)
class ModelScores:
    """What is known of how good a model is; `export_bundle` and `save` keep it with the model.

    Attributes
    ----------
    folds : dict of str to list of float
        Each metric's value on each fold; None where a fold has none.
    how : str
        How the folds were made; "" where it was not told.
    splits : dict of str to dict of str to float
        Each metric on each split that the model was not fitted on, such as ``test``.
    rows : int or None
        How many rows the model was fitted on; None where it was not told, as for all that follows.
    classes : dict of str to int, or None
        How many of them each class has.
    target : list of two floats, or None
        The least and the largest number to predict.
    left_out : int or None
        How many images could not be read.
    digest : str or None
        SHA-256, in hex, of the images and their labels, in whatever order and under whatever names.
    reliability : list of dict, or None
        As `reliability` returns it.
    copies : int or None
        Groups of equal images that are on both sides of a fold.
    audit : dict of str to int, or None
        The counts of `Audit`.
    """

    folds: dict[str, list[float | None]] = field(default_factory=dict)
    how: str = ""
    splits: dict[str, dict[str, float | None]] = field(default_factory=dict)
    rows: int | None = None
    classes: dict[str, int] | None = None
    target: list[float] | None = None
    left_out: int | None = None
    digest: str | None = None
    reliability: list[dict[str, Any]] | None = None
    copies: int | None = None
    audit: dict[str, int] | None = None

    @property
    def summary(self) -> dict[str, dict[str, float | None]]:
        """Each metric's ``mean`` over the folds, with ``low`` and ``high``: the interval of 95 %.

        The bounds are None where there are fewer than two values (`fold_interval` has the formula).
        """
        means = {}
        for name, values in self.folds.items():
            known = [value for value in values if value is not None]
            low, high = fold_interval(known, 1 / (len(known) - 1)) if len(known) > 1 else (math.nan, math.nan)
            high = high if math.isnan(high) else min(high, _AT_MOST.get(name, math.inf))
            means[name] = {"mean": float(np.mean(known)) if known else None, "low": _finite(low), "high": _finite(high)}
        return means

    @property
    def calibration_error(self) -> float | None:
        """The expected calibration error; None where probabilities were not compared."""
        return calibration_error(self.reliability) if self.reliability else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, of which `as_model_scores` makes this again."""
        return {**asdict(self), "summary": self.summary, "calibration_error": self.calibration_error}


def as_model_scores(given: Any) -> ModelScores | None:
    """Read scores of any accepted kind.

    Parameters
    ----------
    given : ModelScores, mapping, DataFrame, sequence of float, float, or None
        What `score_model` returns, or its ``to_dict()``, of which unknown keys are ignored; a value a fold, as
        `cross_val_score` returns; such values by the metric's name, or what `cross_validate` returns; a table with a
        row a fold.

    Returns
    -------
    ModelScores or None
        None where nothing was given.

    Raises
    ------
    ParameterError
        If it is none of these.

    Examples
    --------
    >>> from featx.evaluation import as_model_scores
    >>> as_model_scores({"test_accuracy": [0.9, 0.8], "fit_time": [1, 2]}).folds
    {'accuracy': [0.9, 0.8]}
    """
    if given is None or isinstance(given, ModelScores):
        return given
    if isinstance(given, Mapping) and isinstance(given.get("folds"), Mapping):
        known = {part.name for part in fields(ModelScores)}
        return ModelScores(**{name: value for name, value in given.items() if name in known})
    columns = {"score": given}
    if isinstance(given, Mapping) or hasattr(given, "columns"):
        names = [name for name in given if name not in _NO_SCORES and not str(name).startswith("train_")]
        columns = {str(name).removeprefix("test_"): given[name] for name in names}
    return ModelScores({name: _as_floats(name, values) for name, values in columns.items()})


def _as_floats(name: str, values: Any) -> list[float | None]:
    try:
        array = np.atleast_1d(np.asarray(values, float))
    except (TypeError, ValueError):
        array = np.empty((0, 0))
    if isinstance(values, str) or array.ndim != 1 or not len(array):
        raise ParameterError(
            f"Got scores of which {name!r} is {values!r:.200}. Expected a number a fold, as cross_val_score returns "
            "them, or what featx.score_model returns."
        )
    return [_finite(value) for value in array.tolist()]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def finite_rows(table: Any) -> dict[str, list[float | None]]:
    """List the columns of a table of scores, without those that are none."""
    return {name: [_finite(value) for value in table[name]] for name in table if name not in _NO_SCORES}


def describe_folds(n: int, *, regression: bool, groups: str | None = None) -> str:
    """Say how `make_folds` made folds; `groups` names what keeps rows together.

    Examples
    --------
    >>> from featx.evaluation import describe_folds
    >>> describe_folds(5, regression=False)
    '5 folds, shuffled (seed 0), with the same share of each class'
    """
    kinds = [f"{n} folds"]
    if groups is None or not regression:
        kinds.append("shuffled (seed 0)")
    if not regression:
        kinds.append("with the same share of each class")
    if groups is not None:
        kinds.append(f"with no {groups} in both training and test")
    return ", ".join(kinds)


def count_targets(y: Sequence[Any], *, regression: bool) -> dict[str, Any]:
    """Describe labels: rows, and the classes or the range of numbers."""
    if regression:
        return {"rows": len(y), "target": [float(np.min(y)), float(np.max(y))]}
    labels, counts = np.unique(np.asarray(y), return_counts=True)
    return {"rows": len(y), "classes": {str(label): int(n) for label, n in zip(labels, counts, strict=True)}}
