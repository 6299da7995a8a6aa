"""``featx doctor``: what this machine can do, and what is broken on it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from featx.cli._command import add_command, add_json, print_json

if TYPE_CHECKING:
    from featx.doctor import Finding

_EXAMPLES = """
featx doctor
featx doctor model/
featx doctor --json > report.json
"""


def add(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        *(commands, "doctor", run),
        help="say what this machine can do, and what is broken",
        description="Look at the processor, memory, packages, GPU, caches and weights, load each compiled package in "
        "a process of\nits own, and encode an image. The exit status is 1 if something that featx needs is broken.",
        examples=_EXAMPLES,
    )
    command.add_argument("path", nargs="?", metavar="PATH", help="a model, a bundle, a store or images: look at it too")
    add_json(command)


def run(parsed: argparse.Namespace) -> int:
    from featx.doctor import examine

    return report(examine(parsed.path), as_json=parsed.json)


def report(findings: Iterable[Finding], *, as_json: bool) -> int:
    """Print findings as they come, or as one document; returns the exit status."""
    seen = []
    for finding in findings:
        seen.append(finding)
        if not as_json:
            print(finding, flush=True)
    broken = any(finding.status == "bad" for finding in seen)
    if as_json:
        print_json({"ok": not broken, "findings": [asdict(finding) for finding in seen]})
    return int(broken)
