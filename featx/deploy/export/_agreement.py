"""Two sets of answers to the same rows, held against each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from featx.deploy.export._probes import nudged

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
    off : ndarray of bool, shape (rows,)
        Rows whose label or scores disagree; all, where an embedding does.
    flips : int
        Rows that were left out: rounding decides what they are answered.
    """

    rows: int
    labels_equal: float | None = None
    errors: dict[str, float] = field(default_factory=dict)
    where: list[str] = field(default_factory=list)
    off: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    flips: int = 0

    def to_dict(self) -> dict[str, object]:
        equal = {} if self.labels_equal is None else {"labels_equal": self.labels_equal}
        errors = {f"{name}_error": error for name, error in self.errors.items()}
        return {"rows": self.rows, **equal, **errors, "threshold_flips": self.flips}

    def exceeds(self, tolerance: float) -> bool:
        """Whether a larger share of the rows disagrees than may."""
        return int(self.off.sum()) > tolerance * self.rows


def compare(
    expected: Mapping[str, np.ndarray], got: Mapping[str, np.ndarray], flips: np.ndarray | None = None
) -> Agreement:
    """Compare outputs by name.

    Parameters
    ----------
    expected, got : dict of str to ndarray
        Of ``label``, ``probabilities``, ``decision``, ``embedding``; what is in
        both is compared.
    flips : ndarray of bool, default=None
        Rows of which any label and any score is right, as `decided_by_rounding` finds them; None is none.

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
    rows = len(next(iter(expected.values())))
    flips = np.zeros(rows, bool) if flips is None else flips
    agreement = Agreement(rows, off=np.zeros(rows, bool), flips=int(flips.sum()))
    is_regression = not {"probabilities", "decision"} & set(expected)
    for name in expected.keys() & got.keys():
        if expected[name].shape != got[name].shape:
            agreement.where.append(f"{name} has shape {got[name].shape}, expected {expected[name].shape}")
            agreement.off[:] = True
            continue
        # Of an embedding no row is left out.
        counted = ~flips | (name == "embedding")
        if name == "label" and not (is_regression and expected[name].dtype.kind == "f"):
            off = _compare_labels(expected, got["label"], counted, agreement)
        else:
            off = _compare_numbers(name, expected[name], got[name], counted, agreement)
        agreement.off |= off if name != "embedding" else off.any()
    return agreement


def _compare_numbers(
    name: str, expected: np.ndarray, got: np.ndarray, counted: np.ndarray, agreement: Agreement
) -> np.ndarray:
    """Tell in words what differs; returns which rows do."""
    odd = ~np.isfinite(expected)
    same = np.where(odd, (expected == got) | (np.isnan(expected) & np.isnan(got)), np.isfinite(got))
    unlike = counted & ~same.reshape(len(expected), -1).all(axis=1)
    if unlike.any():
        agreement.where.append(f"{name} is not finite in the same places")
        return unlike
    expected, got = np.where(odd | ~same, 0, expected), np.where(odd | ~same, 0, got)
    unit = 1.0 if name == "probabilities" else max(1.0, float(np.abs(expected).max(initial=0)))
    differences = counted * np.abs(expected - got).reshape(len(expected), -1).max(axis=1) / unit
    error = float(differences.max(initial=0))
    agreement.errors[name] = error
    off = differences > TOLERANCE
    if off.any():
        row = int(differences.argmax())
        n = int(off.sum())
        agreement.where.append(
            f"{name} differs by up to {error:.1e} in {n} of {len(expected)} rows, most in row {row}: "
            f"{_shown(expected[row])} became {_shown(got[row])}"
        )
    return off


def _compare_labels(
    expected: Mapping[str, np.ndarray], got: np.ndarray, counted: np.ndarray, agreement: Agreement
) -> np.ndarray:
    """Tell in words what differs; returns which rows do."""
    labels = expected["label"]
    different = np.flatnonzero(labels != got)
    agreement.labels_equal = 1 - len(different) / max(1, len(labels))
    wrong = [row for row in different if counted[row] and not _is_tie(expected, row)]
    if wrong:
        row = wrong[0]
        agreement.where.append(
            f"labels differ in {len(wrong)} of {len(labels)} rows, first in row {row}: "
            f"{labels.tolist()[row]!r} became {got.tolist()[row]!r}"
        )
    return np.isin(np.arange(len(labels)), wrong)


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


def decided_by_rounding(
    answer: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    embedding: np.ndarray,
    expected: Mapping[str, np.ndarray],
) -> np.ndarray:
    """Find rows on a threshold: scikit-learn itself answers them otherwise when the embedding moves by 1e-6.

    Parameters
    ----------
    answer : callable
        Embeddings -> what scikit-learn's head answers.
    embedding : ndarray of shape (n, dim), float32
    expected : dict of str to ndarray
        What it answers to these.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    return np.any([compare(expected, answer(moved)).off for moved in nudged(embedding)], axis=0)
