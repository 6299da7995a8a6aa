"""The command ``featx``: its parser, its exit status."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from featx._exit_status import run_command
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
        The exit status: 0; 1 if the command looks for something bad and finds it; else as `run_command` has it.
    """
    parsed = _parser().parse_args(arguments)
    return run_command("featx", lambda: parsed.run(parsed), in_options)


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
