"""``featx doctor``: find out what this machine can do, and what is broken on it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from featx.cli._command import add_command, add_json, print_json

if TYPE_CHECKING:
    from featx.doctor import Finding


def add(commands: argparse._SubParsersAction) -> None:
    """Declare the command."""
    command = add_command(
        commands,
        "doctor",
        run,
        help="find out what this machine can do, and what is broken",
        description="Examine the packages, processor, memory, GPUs, caches and weights, load each compiled package in "
        "another\nprocess, and encode an image. The exit status is 1 if something that featx needs is broken.",
        examples="featx doctor\nfeatx doctor --json > report.json",
    )
    add_json(command)


def run(parsed: argparse.Namespace) -> int:
    """Examine this machine and print what is found."""
    from featx.doctor import examine

    return report(examine(), as_json=parsed.json)


def report(findings: Iterable[Finding], *, as_json: bool) -> int:
    """Print findings as they come, or as one document; return the exit status."""
    seen = []
    for finding in findings:
        seen.append(finding)
        if not as_json:
            print(finding, flush=True)
    broken = any(finding.status == "bad" for finding in seen)
    if as_json:
        print_json({"ok": not broken, "findings": [asdict(finding) for finding in seen]})
    return int(broken)
