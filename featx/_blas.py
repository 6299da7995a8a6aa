"""One BLAS thread for fits whose matrices are too small for more."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

from featx._process import after_fork

_lock = threading.Lock()
_n_users = 0
_before: list[int] = []


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread in this block.

    A BLAS with a pool of threads for the whole process stays limited as long as any thread is in such a block: the last
    one to leave restores what there was before the first. One that runs on OpenMP has a number for each thread.

    Examples
    --------
    >>> from featx._blas import one_blas_thread
    >>> with one_blas_thread():
    ...     pass
    """
    global _n_users, _before
    shared, own = _libraries()
    before = [library.num_threads for library in own]
    _set(own, [1] * len(own))
    with _lock:
        if not _n_users:
            _before = [library.num_threads for library in shared]
            _set(shared, [1] * len(shared))
        _n_users += 1
    try:
        yield
    finally:
        _set(own, before)
        with _lock:
            if _n_users:  # none in a child that was forked in the block
                _n_users -= 1
                if not _n_users:
                    _set(shared, _before)


@cache
def _libraries() -> tuple[list[Any], list[Any]]:
    """Find numpy's and scipy's BLAS, once, for it takes milliseconds: those with one pool, those with one a thread."""
    import scipy.linalg  # noqa: F401

    found = [library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"]
    own = [library for library in found if getattr(library, "threading_layer", None) == "openmp"]
    return [library for library in found if library not in own], own


def _set(libraries: Sequence[Any], numbers: Sequence[int]) -> None:
    for library, number in zip(libraries, numbers, strict=True):
        # threadpoolctl 3.8 ignores all threads but the first that sets a number, until that one is told to let go.
        let_go = getattr(library, "clear_controlling_thread", lambda force: None)
        let_go(force=True)
        library.set_num_threads(number)
        let_go(force=True)


def _reset_after_fork() -> None:
    """Give a child that was forked during a fit what its parent will have after it."""
    global _lock, _n_users
    _lock = threading.Lock()
    if _n_users:
        _n_users = 0
        _set(_libraries()[0], _before)


after_fork(_reset_after_fork)
