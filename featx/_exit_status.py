"""How a command ends: one line on stderr for what its user can act on, and an exit status.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

from .exceptions import FeatxError


def run_command(name: str, command: Callable[[], int | None], phrase: Callable[[str], str] = str) -> int:
    """Run a command, and print each warning, and the error that ends it, as a line on stderr.

    Parameters
    ----------
    name : str
        What the lines begin with.
    command : callable
        Returns the exit status, None for 0.
    phrase : callable, default=str
        Makes of a message what is printed.

    Returns
    -------
    int
        The exit status: that of the command; 2 for an error that featx raises on purpose, or of the system (a folder
        that may not be read, a disk that is gone); 130 for Ctrl-C; 141 for a pipe whose reader left. Every other error
        is raised again.

    Examples
    --------
    >>> from featx._exit_status import run_command
    >>> run_command("featx", lambda: 1)
    1
    """

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        print(f"{name}: warning: {phrase(str(message))}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        try:
            _print_any_name()
            status = command()
            sys.stdout.flush()
        except (Exception, KeyboardInterrupt) as error:
            if _is_interrupt(error):
                return 130
            if isinstance(error, BrokenPipeError):
                # Otherwise Python would write what is left when it ends, and complain.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return 141
            if not isinstance(error, FeatxError | OSError):
                raise
            print(f"{name}: error: {phrase(str(error))}", file=sys.stderr)
            return 2
    return status or 0


def _is_interrupt(error: BaseException | None) -> bool:
    """Return whether Ctrl-C caused it: importing a compiled module turns it into another error."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _print_any_name() -> None:
    """Print names that are not UTF-8 as they are, or escaped if stdout is not UTF-8 itself."""
    if hasattr(sys.stdout, "reconfigure"):
        is_utf8 = sys.stdout.encoding.lower().replace("-", "") == "utf8"
        sys.stdout.reconfigure(errors="surrogateescape" if is_utf8 else "backslashreplace")
