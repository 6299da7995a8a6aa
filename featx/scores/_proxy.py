"""proxy_a_distance: how well a linear classifier tells two sets of embeddings apart."""

from __future__ import annotations

from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from featx.evaluation import check_embeddings
from featx.exceptions import InputError, ParameterError

_RIDGE = 0.1  # in mean eigenvalues


class ProxyADistance(NamedTuple):
    """What `proxy_a_distance` found.

    Attributes
    ----------
    distance : float
        2 (1 - 2 error): 2 for sets that are told apart without a mistake, about 0 for like ones.
    p_value : float
        How often like sets would be told apart as well.
    error : float
        Mean of the two sets' shares of rows that are taken for the other's.
    """

    distance: float
    p_value: float
    error: float


def proxy_a_distance(Zs: Any, Zt: Any, *, n_permutations: int = 200, random_state: Any = 0) -> ProxyADistance:
    r"""Distance of two sets of embeddings by how well a linear classifier tells them apart.

    .. math:: d_A = 2 (1 - 2 \epsilon)

    with :math:`\epsilon` the leave-one-out error of the classifier, of both sets alike whatever their
    sizes (Ben-David et al. 2007, "Analysis of representations for domain adaptation"). Also a test
    for drift: whether new images come from where the old ones did.

    Parameters
    ----------
    Zs : array of shape (n, dim)
    Zt : array of shape (m, dim)
    n_permutations : int, default=200
        The p-value is 1 / (n_permutations + 1) at least.
    random_state : int, Generator or None, default=0

    Returns
    -------
    ProxyADistance
        distance, p_value, error.

    Raises
    ------
    InputError
        If rows are not finite, a set has fewer than two, or the columns differ.
    ParameterError
        If n_permutations is not positive.

    Notes
    -----
    The classifier is ridge regression on the standardised columns of both sets, with targets 1/n and
    -1/m (Fisher's discriminant), no intercept, and a penalty of a tenth of the mean eigenvalue. Rows and
    penalty know nothing of the sets, so one matrix gives every row's prediction without it,
    :math:`(\hat y_i - h_i y_i) / (1 - h_i)`, for the sets and for all permutations of their rows. The p-value
    is the share of permutations, the identity counted, with an error as small: under like sets it is at
    most p with a probability of at most p. It is so for rows drawn one by one: copies of one image, or
    several photos of one object, make sets look more different than they are.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from featx.scores import proxy_a_distance
    >>> Z = load_digits().data
    >>> found = proxy_a_distance(Z[:300], 16 - Z[300:600])
    >>> round(found.distance, 2), found.p_value < 0.01
    (2.0, True)
    """
    if not isinstance(n_permutations, Integral) or isinstance(n_permutations, bool) or n_permutations < 1:
        raise ParameterError(f"Got n_permutations={n_permutations!r}. Expected a whole number, 1 or more.")
    Zs, Zt = check_embeddings(Zs, "Zs"), check_embeddings(Zt, "Zt")
    if Zs.shape[1] != Zt.shape[1] or min(len(Zs), len(Zt)) < 2:
        raise InputError(
            f"Got Zs of shape {Zs.shape} and Zt of shape {Zt.shape}. Expected as many columns, 2 rows each."
        )
    first = np.arange(len(Zs) + len(Zt)) < len(Zs)
    rng = np.random.default_rng(random_state)
    sets = np.stack([first, *(rng.permutation(first) for _ in range(n_permutations))], axis=1)
    errors = _errors(_standardised(np.vstack([Zs, Zt])), sets)
    error = float(errors[0])
    p_value = float((errors <= errors[0] + 1e-12).mean())
    return ProxyADistance(2 * (1 - 2 * error), p_value, error)


def _standardised(Z: np.ndarray) -> np.ndarray:
    Z = Z / (np.abs(Z).max() or 1.0)
    Z -= Z[0]  # constant columns become zero, not rounding errors of their mean
    Z -= Z.mean(axis=0)
    spread = Z.std(axis=0)
    return Z / np.where(spread > 0, spread, 1)


def _errors(Z: np.ndarray, sets: np.ndarray) -> np.ndarray:
    """Balanced leave-one-out error of each column of sets, in which True is the first set."""
    targets = np.where(sets, 1 / sets.sum(axis=0), -1 / (~sets).sum(axis=0))
    fitted, leverage = _ridge(Z, targets)
    # Over 1 - leverage, which is positive; the mean that was taken off counts as a fitted value too.
    left_out = fitted - (leverage[:, None] + 1 / len(Z)) * targets
    if not Z.any():  # of rows that are all one, leaving one out tells which it was
        left_out = np.zeros_like(left_out)
    noise = 1e-12 * np.abs(targets).max()
    wrong = np.where(np.abs(left_out) <= noise, 0.5, (left_out > 0) != sets)  # what cannot be told is half wrong
    return sum(np.where(part, wrong, 0).sum(axis=0) / part.sum(axis=0) for part in (sets, ~sets)) / 2


def _ridge(Z: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fitted values of each column of targets, and the diagonal of the matrix that fits them."""
    n, dim = Z.shape
    gram = Z @ Z.T if n <= dim else Z.T @ Z
    penalty = _RIDGE * np.trace(gram) / min(n, dim) or 1.0
    gram[np.diag_indices(len(gram))] += penalty
    if n <= dim:
        hat = np.eye(n) - penalty * np.linalg.inv(gram)
        return hat @ targets, np.diag(hat)
    weights = np.linalg.solve(gram, Z.T)  # (dim, n)
    return Z @ (weights @ targets), np.einsum("nd,dn->n", Z, weights)
