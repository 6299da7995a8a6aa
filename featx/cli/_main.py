"""The command ``featx``: its parser, its exit status."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from featx._version import __version__
from featx.cli import (
    _audit,
    _bench,
    _cache,
    _check,
    _doctor,
    _embed,
    _encoders,
    _export,
    _predict,
    _rank,
    _report,
    _serve,
    _train,
)
from featx.cli._command import in_options
from featx.exceptions import FeatxError

# A file a command, each with `add(commands)`, in the order of --help.
_COMMANDS = (
    _embed,
    _check,
    _audit,
    _train,
    _predict,
    _export,
    _serve,
    _encoders,
    _rank,
    _report,
    _cache,
    _bench,
    _doctor,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, default=None
        If None, the arguments of the process.

    Returns
    -------
    int
        The exit status: 0; 1 if the command looks for something bad and finds it; 2 for an error that
        featx raises on purpose, or of the system (a folder that may not be read); 130 for Ctrl-C; 141 for a pipe
        whose reader left.
    """
    parsed = _parser().parse_args(arguments)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            _print_any_name()
            status = parsed.run(parsed)
            sys.stdout.flush()
        except (Exception, KeyboardInterrupt) as error:
            status = _status_of(error)
    return status or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="featx",
        description="Pretrained vision for scikit-learn.",
        epilog="featx COMMAND --help describes a command, with examples.",
    )
    parser.add_argument("--version", action="version", version=f"featx {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    for command in _COMMANDS:
        command.add(commands)
    return parser


def _status_of(error: BaseException) -> int:
    """Print what the user can act on and return the exit status; raise everything else again."""
    if _is_interrupt(error):
        return 130
    if isinstance(error, BrokenPipeError):
        # Otherwise Python would write what is left when it ends, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    if isinstance(error, FeatxError | OSError):  # the system's: a folder that may not be read, a disk that is gone
        print(f"featx: error: {in_options(str(error))}", file=sys.stderr)
        return 2
    raise error


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


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"featx: warning: {in_options(str(message))}", file=sys.stderr)
