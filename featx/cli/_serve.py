"""``featx serve``: a bundle -> an HTTP service, by the bundle's ``serve.py``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from featx.cli._command import add_command

_EXAMPLES = """
featx serve bundle/
featx serve bundle/ --port 9000 --n-jobs 2
FEATX_API_KEY=... featx serve bundle/ --protect metrics docs
featx serve bundle/ --help
"""


def add(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands,
        "serve",
        run,
        help="serve a bundle over HTTP, with a page to try it",
        description="Run the bundle's serve.py, which needs neither featx nor torch; its options come after the "
        "bundle. It has /predict, /embed, /metadata, /health, /ready, /metrics and /docs, and takes a bundle that "
        "replaces this one on SIGHUP, or by POST /reload if clients need an API key.",
        examples=_EXAMPLES,
    )
    command.add_argument("bundle", metavar="BUNDLE", help="the folder of a bundle, as featx export writes it")
    command.add_argument("options", nargs=argparse.REMAINDER, metavar="...", help="listed by featx serve BUNDLE --help")


def run(parsed: argparse.Namespace) -> int:
    from featx.deploy import read_bundle

    command = [sys.executable, str(read_bundle(parsed.bundle).folder / "serve.py"), *parsed.options]
    if os.name == "posix":  # so that the service itself gets the terminal's signals
        os.execv(sys.executable, command)
    return subprocess.call(command)
