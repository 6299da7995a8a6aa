"""Two sets of answers to the same rows, held against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

# In float32: probabilities absolutely; decision values and predicted values by the largest of them, if above 1.
TOLERANCE = 1e-4


@dataclass
class Agreement:
    """How far answers agree with those expected.

    Attributes
    ----------
    rows : int
    labels_equal : float or None
        Share; None for regression.
    errors : dict of str to float
        Largest difference of each output, in its tolerance's unit.
    where : list of str
        What disagrees beyond the tolerance, in words; empty where all is well.
    """

    rows: int
    labels_equal: float | None = None
    errors: dict[str, float] = field(default_factory=dict)
    where: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, object]:
        equal = {} if self.labels_equal is None else {"labels_equal": self.labels_equal}
        return {"rows": self.rows, **equal, **{f"{name}_error": error for name, error in self.errors.items()}}


def compare(expected: Mapping[str, np.ndarray], got: Mapping[str, np.ndarray]) -> Agreement:
    """Compare outputs by name.

    Parameters
    ----------
    expected, got : dict of str to ndarray
        Of ``label``, ``probabilities``, ``decision``, ``embedding``; what is in
        both is compared.

    Returns
    -------
    Agreement

    Examples
    --------
    >>> import numpy as np
    >>> from featx.deploy.export._agreement import compare
    >>> compare({"label": np.array(["a", "b"])}, {"label": np.array(["a", "a"])}).where
    ["labels differ in 1 of 2 rows, first in row 1: 'b' became 'a'"]
    """
    agreement = Agreement(len(next(iter(expected.values()))))
    is_regression = not {"probabilities", "decision"} & set(expected)
    for name in expected.keys() & got.keys():
        if expected[name].shape != got[name].shape:
            agreement.where.append(f"{name} has shape {got[name].shape}, expected {expected[name].shape}")
        elif name == "label" and not (is_regression and expected[name].dtype.kind == "f"):
            _compare_labels(expected, got["label"], agreement)
        else:
            _compare_numbers(name, expected[name], got[name], agreement)
    return agreement


def _compare_numbers(name: str, expected: np.ndarray, got: np.ndarray, agreement: Agreement) -> None:
    odd = ~np.isfinite(expected)
    if not np.array_equal(odd, ~np.isfinite(got)) or not np.array_equal(expected[odd], got[odd], equal_nan=True):
        agreement.where.append(f"{name} is not finite in the same places")
        return
    expected, got = np.where(odd, 0, expected), np.where(odd, 0, got)
    unit = 1.0 if name == "probabilities" else max(1.0, float(np.abs(expected).max(initial=0)))
    differences = np.abs(expected - got).reshape(len(expected), -1).max(axis=1) / unit
    error = float(differences.max(initial=0))
    agreement.errors[name] = error
    if error > TOLERANCE:
        row = int(differences.argmax())
        n = int((differences > TOLERANCE).sum())
        agreement.where.append(
            f"{name} differs by up to {error:.1e} in {n} of {len(expected)} rows, most in row {row}: "
            f"{_shown(expected[row])} became {_shown(got[row])}"
        )


def _compare_labels(expected: Mapping[str, np.ndarray], got: np.ndarray, agreement: Agreement) -> None:
    labels = expected["label"]
    different = np.flatnonzero(labels != got)
    agreement.labels_equal = 1 - len(different) / max(1, len(labels))
    wrong = [row for row in different if not _is_tie(expected, row)]
    if wrong:
        row = wrong[0]
        agreement.where.append(
            f"labels differ in {len(wrong)} of {len(labels)} rows, first in row {row}: "
            f"{labels.tolist()[row]!r} became {got.tolist()[row]!r}"
        )


def _is_tie(expected: Mapping[str, np.ndarray], row: int) -> bool:
    """Whether the two best scores are nearer to each other than the tolerance: then either label is right."""
    for name in ("decision", "probabilities"):
        if name in expected:
            scores = np.sort(np.atleast_1d(expected[name][row]))
            gap = scores[-1] - scores[-2] if len(scores) > 1 else abs(scores[0])
            return bool(gap <= TOLERANCE * max(1.0, abs(scores[-1])))
    return False


def _shown(values: np.ndarray) -> str:
    return np.array2string(np.atleast_1d(values), precision=6, threshold=6, max_line_width=10_000)
