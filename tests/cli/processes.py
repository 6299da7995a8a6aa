"""The command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-m", "featx"]


def environment(**variables: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **variables}


def featx_command(*arguments: str | Path, **options) -> subprocess.CompletedProcess:
    options = {"text": True, "env": environment()} | options
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, check=False, **options)
