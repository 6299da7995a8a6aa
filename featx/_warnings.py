"""Warnings: at the user's line, whatever lies between, and where that is wanted once a process."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Collection, Hashable
from types import FrameType

# A warning is of the line that called these.
_BETWEEN = frozenset({"featx", "joblib", "sklearn"})

_reported: set[Hashable] = set()


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line outside of featx, scikit-learn and joblib that led here.

    Parameters
    ----------
    message : str
        The text.
    category : type
        The warning's class.
    """
    warnings.warn(message, category, stacklevel=_level(sys._getframe(1)))


def warn_once(message: str, category: type[Warning], about: Collection[Hashable]) -> None:
    """Warn, unless this process was warned of everything that the message is about.

    A grid search transforms the same images hundreds of times, each time others of them, in processes whose filters
    scikit-learn and joblib set anew for each task, which wipes Python's own memory of warnings: it would show one each
    time. A filter "always" or "error" is obeyed, as Python does.

    Parameters
    ----------
    message, category
        As for `warn`.
    about : collection of hashable
        What the message is about, such as the bad images.
    """
    if _action(message, category) in ("default", "module", "once"):
        if _reported.issuperset(about):
            return
        _reported.update(about)
    warnings.warn(message, category, stacklevel=_level(sys._getframe(1)))


def _level(frame: FrameType | None) -> int:
    """Count the frames from the one that warns to the user's; the last one where there is none of the user's."""
    level = 2
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _BETWEEN:
        frame, level = frame.f_back, level + 1
    return level


def _action(message: str, category: type[Warning]) -> str:
    """Read the filters; those of single modules and lines are left to Python."""
    for action, pattern, kind, module, line in warnings.filters:
        if issubclass(category, kind) and not module and not line and (pattern is None or pattern.match(message)):
            return action
    return "default"
