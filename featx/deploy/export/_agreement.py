"""Compare answers: those of a bundle with the pipeline's, on a sample and on rows that no sample shows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from featx.deploy._bundle import METHODS, head_input
from featx.exceptions import ExportError

# In float32: probabilities absolutely; decision values and predicted values by the largest of them, if above 1.
TOLERANCE = 1e-4
_ROWS = 16  # made of each kind
_FAR = (10, 1000)
_NUDGE = 1e-6
_PAIRS = 4


def ask(head: Any, X: Any) -> dict[str, np.ndarray]:
    """Return what an estimator answers: its label and whichever scores it has."""
    answers = {name: getattr(head, method)(X) for name, method in METHODS.items() if hasattr(head, method)}
    if getattr(answers["label"], "ndim", 1) > 1 and answers["label"].shape[1] < 2:
        raise ExportError("Got a head that was fitted on labels in a column. Expected a row of them: y.ravel().")
    # Of several outputs some heads give a list: they are put side by side.
    answers = {name: np.concatenate(a, axis=1) if isinstance(a, list) else a for name, a in answers.items()}
    return {name: answer for name, answer in answers.items() if isinstance(answer, np.ndarray)}


def answer_quietly(head: Any, embedding: np.ndarray, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what a head answers to embeddings and the other columns, without warnings of names or large numbers."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return ask(head, head_input(embedding, values))


@dataclass
class Agreement:
    """How far answers agree with those expected.

    Attributes
    ----------
    rows : int
        The number of rows.
    labels_equal : float or None
        Share of equal labels; None for regression.
    errors : dict of str to float
        Largest difference of each output, in its tolerance's unit.
    where : list of str
        What disagrees beyond the tolerance, in words; empty where all is well.
    off : ndarray of bool, shape (rows,)
        Rows whose label or scores disagree; all of them where an embedding does.
    flips : int
        The number of rows that were left out: rounding decides what they are answered.
    """

    rows: int
    labels_equal: float | None = None
    errors: dict[str, float] = field(default_factory=dict)
    where: list[str] = field(default_factory=list)
    off: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    flips: int = 0

    def to_dict(self) -> dict[str, object]:
        """Return it as plain data for the manifest."""
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
        Rows of which any label and any score is right, as `decided_by_rounding` finds them; None stands for no row.

    Returns
    -------
    Agreement
        How far they agree, and what disagrees.

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
    """Note in words what differs; return which rows do."""
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
    """Note in words what differs; return which rows do."""
    labels = expected["label"]
    different = np.flatnonzero((labels != got).reshape(len(labels), -1).any(axis=1)).tolist()
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
        if name in expected and expected["label"].ndim == 1:
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
        Takes embeddings, and returns what scikit-learn's head answers.
    embedding : ndarray of shape (n, dim), float32
        The embeddings of the rows.
    expected : dict of str to ndarray
        What it answers to these.

    Returns
    -------
    ndarray of bool, shape (n,)
        Whether a row is one of them.
    """
    return np.any([compare(expected, answer(moved)).off for moved in nudged(embedding)], axis=0)


def probes(embedding: np.ndarray, values: Mapping[str, np.ndarray]) -> list[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Make rows between and beyond those of a sample, always the same.

    Parameters
    ----------
    embedding : ndarray of shape (n, dim), float32
        Of a sample; rows that are not finite are passed over.
    values : dict of str to ndarray of shape (n, 1)
        The sample's other columns.

    Returns
    -------
    list of (ndarray, dict)
        Embeddings and values, in batches whose scores are of one size: the first between the
        sample's rows, beyond them, near them, in random directions, in the corners of their range, and zero; the
        others so far out that scores saturate. Values are the sample's own.
    """
    rows = np.flatnonzero(np.isfinite(embedding).all(axis=1))
    if not len(rows):
        return []
    random = np.random.default_rng(0)
    shape = (_ROWS, embedding.shape[1])
    known = embedding[rows].astype(np.float64)
    some, others = known[random.integers(len(known), size=_ROWS)], known[random.integers(len(known), size=_ROWS)]
    directions = random.standard_normal(shape)
    directions *= np.linalg.norm(some, axis=1, keepdims=True) / np.linalg.norm(directions, axis=1, keepdims=True)
    near = [
        some + random.random((_ROWS, 1)) * (others - some),
        some + random.uniform(1, 3, (_ROWS, 1)) * (others - some),
        some + 0.3 * known.std(axis=0) * random.standard_normal(shape),
        directions,
        np.where(random.random(shape) < 0.5, known.min(axis=0), known.max(axis=0)),
        np.zeros((1, embedding.shape[1])),
    ]
    batches = [np.concatenate(near), *(factor * np.concatenate([some, directions]) for factor in _FAR)]
    made = []
    for batch in batches:
        chosen = random.choice(rows, len(batch))
        made.append((batch.astype(np.float32), {name: column[chosen] for name, column in values.items()}))
    return made


def nudged(embedding: np.ndarray) -> list[np.ndarray]:
    """Move embeddings as far as rounding does: by 1e-6 of a number's size, or of its column's spread.

    Parameters
    ----------
    embedding : ndarray of shape (n, dim), float32
        The embeddings.

    Returns
    -------
    list of ndarray
        Pairs to either side: of a threshold that is so near, one of them lies across.
    """
    random = np.random.default_rng(0)
    size = np.maximum(np.abs(embedding), np.nan_to_num(embedding.std(axis=0))) * _NUDGE
    moves = [np.where(random.random(embedding.shape) < 0.5, -size, size) for _ in range(_PAIRS)]
    return [(embedding + sign * move).astype(np.float32) for move in moves for sign in (1, -1)]
