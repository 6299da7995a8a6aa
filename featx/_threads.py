"""How many processors, and so threads, work."""

from __future__ import annotations

from functools import lru_cache
from numbers import Integral

from featx.exceptions import ParameterError


def count_threads(n_jobs: int | None) -> int:
    """Read scikit-learn's ``n_jobs`` as a number of threads.

    Parameters
    ----------
    n_jobs : int or None
        None and -1 are all processors that this process may use, -2 all but one.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    ParameterError
        If it is 0, or no integer.

    Examples
    --------
    >>> from featx._threads import count_threads
    >>> count_threads(3)
    3
    """
    if n_jobs is not None and (not isinstance(n_jobs, Integral) or isinstance(n_jobs, bool) or n_jobs == 0):
        raise ParameterError(f"Got n_jobs={n_jobs!r}. Expected None, -1 or a positive number of threads.")
    if n_jobs is not None and n_jobs > 0:
        return int(n_jobs)
    available = _count_processors()
    return available if n_jobs is None else max(1, available + 1 + int(n_jobs))


@lru_cache(maxsize=1)
def _count_processors() -> int:
    import joblib

    return joblib.cpu_count()  # knows affinity, and a container's share
