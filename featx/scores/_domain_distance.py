"""The proxy A-distance: how well a linear classifier distinguishes two sets of embeddings."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from featx._validate import check_integer
from featx.evaluation import check_embeddings
from featx.exceptions import InputError

_RIDGE = 0.1  # as a share of the mean eigenvalue


class ProxyADistance(NamedTuple):
    """Result of `proxy_a_distance`.

    Attributes
    ----------
    distance : float
        2 (1 - 2 error): 2 for sets that are separated without a mistake, about 0 for sets from one distribution.
    p_value : float
        How often sets from one distribution would be separated as well.
    error : float
        Share of rows assigned to the wrong set, averaged over the two sets.
    """

    distance: float
    p_value: float
    error: float


def proxy_a_distance(
    source_embeddings: Any, target_embeddings: Any, *, n_permutations: int = 200, random_state: Any = 0
) -> ProxyADistance:
    r"""Measure the distance of two sets of embeddings by how well a linear classifier separates them.

    .. math:: d_A = 2 (1 - 2 \epsilon)

    where :math:`\epsilon` is the leave-one-out error of the classifier, with equal weight for both sets whatever their
    sizes (Ben-David et al. 2007, "Analysis of representations for domain adaptation"). This is also a test for drift:
    whether new images come from the distribution of the old ones.

    Parameters
    ----------
    source_embeddings : array of shape (n, dim)
        The first set.
    target_embeddings : array of shape (m, dim)
        The second set; the order of the sets does not matter.
    n_permutations : int, default=200
        Number of random permutations for the p-value, which is at least 1 / (n_permutations + 1).
    random_state : int, Generator or None, default=0
        Controls the permutations. The default is an int so that the p-value is repeatable.

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
    The classifier is ridge regression on the standardized columns of both sets, with the targets 1/n and -1/m (Fisher's
    discriminant), no intercept, and a penalty of a tenth of the mean eigenvalue. Neither the rows nor the penalty
    depend on which row belongs to which set, so one matrix gives every row's prediction without that row,
    :math:`(\hat y_i - h_i y_i) / (1 - h_i)`, for the given sets and for all permutations of their rows. The p-value is
    the share of permutations, counting the identity, with an error as small: for sets from one distribution it is at
    most p with a probability of at most p. This assumes independent rows: copies of one image, or several photos of one
    object, make sets look more different than they are.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from featx.scores import proxy_a_distance
    >>> X = load_digits().data
    >>> found = proxy_a_distance(X[:300], 16 - X[300:600])
    >>> round(found.distance, 2), found.p_value < 0.01
    (2.0, True)
    """
    check_integer("n_permutations", n_permutations)
    Zs = check_embeddings(source_embeddings, "source_embeddings")
    Zt = check_embeddings(target_embeddings, "target_embeddings")
    if Zs.shape[1] != Zt.shape[1] or min(len(Zs), len(Zt)) < 2:
        raise InputError(
            f"Got source_embeddings of shape {Zs.shape} and target_embeddings of shape {Zt.shape}. Expected as many "
            "columns, and 2 rows or more in each."
        )
    first = np.arange(len(Zs) + len(Zt)) < len(Zs)
    rng = np.random.default_rng(random_state)
    sets = np.stack([first, *(rng.permutation(first) for _ in range(n_permutations))], axis=1)
    errors = _errors(_standardize(np.vstack([Zs, Zt])), sets)
    error = float(errors[0])
    p_value = float((errors <= errors[0] + 1e-12).mean())
    return ProxyADistance(2 * (1 - 2 * error), p_value, error)


def _standardize(Z: np.ndarray) -> np.ndarray:
    Z = Z / (np.abs(Z).max() or 1.0)
    Z -= Z[0]  # constant columns become zero, not rounding errors of their mean
    Z -= Z.mean(axis=0)
    spread = Z.std(axis=0)
    return Z / np.where(spread > 0, spread, 1)


def _errors(Z: np.ndarray, sets: np.ndarray) -> np.ndarray:
    """Compute the balanced leave-one-out error for each column of sets, in which True is the first set."""
    targets = np.where(sets, 1 / sets.sum(axis=0), -1 / (~sets).sum(axis=0))
    fitted, leverage = _ridge(Z, targets)
    # The division by 1 - leverage, which is positive, is omitted; the mean that was subtracted is a fitted value too.
    left_out = fitted - (leverage[:, None] + 1 / len(Z)) * targets
    if not Z.any():  # all rows are the same: leaving one out would reveal which it was
        left_out = np.zeros_like(left_out)
    noise = 1e-12 * np.abs(targets).max()
    wrong = np.where(np.abs(left_out) <= noise, 0.5, (left_out > 0) != sets)  # a tie is half wrong
    first, second = (np.where(part, wrong, 0).sum(axis=0) / part.sum(axis=0) for part in (sets, ~sets))
    return (first + second) / 2


def _ridge(Z: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the fitted values of each column of targets, and the diagonal of the matrix that fits them."""
    n, dim = Z.shape
    gram = Z @ Z.T if n <= dim else Z.T @ Z
    penalty = _RIDGE * np.trace(gram) / min(n, dim) or 1.0
    gram[np.diag_indices(len(gram))] += penalty
    if n <= dim:
        hat = np.eye(n) - penalty * np.linalg.inv(gram)
        return hat @ targets, np.diag(hat)
    weights = np.linalg.solve(gram, Z.T)  # (dim, n)
    return Z @ (weights @ targets), np.einsum("nd,dn->n", Z, weights)
