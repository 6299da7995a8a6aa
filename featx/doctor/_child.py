"""Code in a process of its own: a crash of it is an answer."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass

_SECONDS = 300
_ERROR = re.compile(r"[\w.]+(Error|Exception|Errors): ")
# What Windows returns for a process that it ended.
_WINDOWS_CRASHES = {0xC000001D: "SIGILL", 0xC0000005: "SIGSEGV", 0xC0000135: "a missing DLL"}


@dataclass(frozen=True)
class Outcome:
    """How a process ended.

    Attributes
    ----------
    reason : str
        Why it failed; "" if it did not.
    output, warnings : str
        What it wrote to stdout and to stderr.
    """

    reason: str
    output: str = ""
    warnings: str = ""


def run(code: str, *arguments: str, seconds: float = _SECONDS) -> Outcome:
    """Run Python code where it finds what this process finds.

    Parameters
    ----------
    code : str
    *arguments : str
        Its ``sys.argv[1:]``.
    seconds : float, default=300
        It is ended then.
    """
    # -P: a file beside the user's photos is no module.
    command = [sys.executable, "-P", "-c", code, *arguments]
    path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}
    try:
        done = subprocess.run(command, capture_output=True, env=environment, timeout=seconds, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return Outcome(f"no answer in {seconds:g} seconds")
    output, errors = (text.decode("utf-8", "replace").strip() for text in (done.stdout, done.stderr))
    if done.returncode == 0:
        return Outcome("", output, errors)
    return Outcome(_crash(done.returncode) or _last_error(errors) or f"exit status {done.returncode}", output, errors)


def _crash(status: int) -> str | None:
    """The signal that ended a process, None if it ended by itself."""
    if status < 0:
        return f"crashed with {signal.Signals(-status).name}"
    name = _WINDOWS_CRASHES.get(status & 0xFFFFFFFF)
    return f"crashed with {name}" if name else None


def _last_error(errors: str) -> str:
    """The first line of the last error that was printed."""
    lines = errors.splitlines()
    return next((line for line in reversed(lines) if _ERROR.match(line)), lines[-1] if lines else "")
