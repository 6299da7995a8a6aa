"""The scores of a ranking, by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax

from featx.exceptions import ParameterError, UnknownNameError
from featx.scores import hscore, knn_score, lda_score, leep_score, logme_score, nce_score

PROBE = "probe"
_OF_EMBEDDINGS = {"knn": knn_score, "logme": logme_score, "hscore": hscore, "lda": lda_score}
_OF_PROBABILITIES = {"leep": leep_score, "nce": nce_score}
SCORES = (*_OF_EMBEDDINGS, *_OF_PROBABILITIES, PROBE)
_OF_NUMBERS = ("logme", PROBE)  # the others are of classes


def check_scores(scores: Sequence[str], regression: bool) -> tuple[str, ...]:
    """Known names, those that apply.

    Raises
    ------
    UnknownNameError
        If there is no such score.
    ParameterError
        If none is left.
    """
    names = (scores,) if isinstance(scores, str) else tuple(scores)
    for name in names:
        if name not in SCORES:
            raise UnknownNameError("score", name, SCORES)
    left = tuple(dict.fromkeys(name for name in names if not regression or name in _OF_NUMBERS))
    if not left:
        raise ParameterError(f"Got scores={scores!r}. Expected one or more of {SCORES}; of numbers: {_OF_NUMBERS}.")
    return left


def need_logits(scores: Sequence[str]) -> bool:
    """Whether the probabilities of the source's own classes are asked for."""
    return any(name in _OF_PROBABILITIES for name in scores)


def cheap_scores(
    scores: Sequence[str],
    Z: np.ndarray,
    logits: np.ndarray | None,
    y: np.ndarray,
    regression: bool = False,
    groups: np.ndarray | None = None,
) -> dict[str, float]:
    """All scores but the probe.

    Parameters
    ----------
    scores : sequence of str
    Z : ndarray of shape (n, dim)
    logits : ndarray of shape (n, n_source_classes) or None
        Where there are none, scores that need them are NaN.
    y : ndarray of shape (n,)
    regression : bool, default=False
        Whether y holds numbers to predict: whole ones look like classes.
    groups : ndarray of shape (n,), default=None
        For the scores that test a row on others: those of its group are not among them.
    """
    if regression:
        return {name: logme_score(Z, y, task="regression") for name in scores if name == "logme"}
    options = {"knn": {"groups": groups}, "lda": {"groups": groups}, "logme": {"task": "classification"}}
    found = {
        name: float(_OF_EMBEDDINGS[name](Z, y, **options.get(name, {}))) for name in scores if name in _OF_EMBEDDINGS
    }
    wanted = [name for name in scores if name in _OF_PROBABILITIES]
    if logits is None:
        return found | dict.fromkeys(wanted, np.nan)
    P = softmax(logits.astype(np.float64), axis=1) if wanted else None
    return found | {name: float(_OF_PROBABILITIES[name](P, y)) for name in wanted}
