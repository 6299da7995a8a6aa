"""Warnings that a process shows once: Python's own memory of them is wiped with each change of its filters."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Hashable

_told: set[Hashable] = set()


def warn_once(message: str, category: type[Warning], about: Collection[Hashable], *, stacklevel: int) -> None:
    """Warn, unless this process was warned of all that it is about.

    A grid search transforms the same images hundreds of times, each time others of them, in processes whose filters
    scikit-learn and joblib set anew for each task: Python would show a warning each time. A filter "always" or
    "error" is obeyed, as it is by Python.

    Parameters
    ----------
    message : str
    category : type
    about : collection of hashable
        What it tells of, such as the bad images.
    stacklevel : int
        As of `warnings.warn`, for the caller.
    """
    action = _action(message, category)
    if action in ("default", "module", "once"):
        if _told.issuperset(about):
            return
        _told.update(about)
    warnings.warn(message, category, stacklevel=stacklevel + 1)


def _action(message: str, category: type[Warning]) -> str:
    """What the filters say; those of single modules and lines are left to Python."""
    for action, pattern, kind, module, line in warnings.filters:
        if issubclass(category, kind) and not module and not line and (pattern is None or pattern.match(message)):
            return action
    return "default"
