"""Eigenvectors of a symmetric matrix, in the same time whoever else works on this machine."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

_SMALL = 2048


def eigen(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, ascending, and eigenvectors.

    Threads meet thousands of times in one decomposition: of 1,280 columns two threads take a third of one's time on a
    machine of their own, and thirty times of it where processors are shared. So small matrices get one thread.

    Parameters
    ----------
    matrix : ndarray of shape (n, n)
        Symmetric.

    Returns
    -------
    values : ndarray of shape (n,)
    vectors : ndarray of shape (n, n)
        In columns.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.scores._eigen import eigen
    >>> eigen(np.diag([3.0, 1.0]))[0].tolist()
    [1.0, 3.0]
    """
    with threadpool_limits(1 if len(matrix) <= _SMALL else None, user_api="blas"):
        return np.linalg.eigh(matrix)
