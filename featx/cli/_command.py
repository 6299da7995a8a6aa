"""What all commands share: how they are declared, and what they print."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any


def add_command(
    commands: argparse._SubParsersAction,
    name: str,
    run: Callable[[argparse.Namespace], int | None],
    *,
    help: str,
    description: str,
    examples: str,
) -> argparse.ArgumentParser:
    """Declare a command.

    Parameters
    ----------
    commands : action of argparse
    name : str
    run : callable
        Takes the parsed arguments; returns the exit status, None for 0.
    help : str
        One line in the list of commands.
    description : str
    examples : str
        Lines to type.
    """
    command = commands.add_parser(
        name,
        help=help,
        description=description,
        epilog="examples:\n" + "\n".join(f"  {line}" for line in examples.strip().splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


def add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print one JSON document")


def print_json(document: Any) -> None:
    """Print a document; NaN and infinity, which JSON lacks, must not be in it."""
    print(json.dumps(document, indent=2, allow_nan=False))


def note(text: str) -> None:
    """Say something that is not the answer."""
    print(text, file=sys.stderr)
