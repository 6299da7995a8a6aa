"""Processes that are killed, and that race: nothing is lost, nothing is wrong, nothing stays behind.

The long forms are ``python -m tests.store.kill --kills 1000`` and ``python -m tests.store.race --seconds 60``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")

OPERATIONS = [
    "the first write", "a write", "a merge", "a compaction", "a compaction that repairs", "a repair",
    "a repair of an index", "a pruning", "a clearing", "a record",
]  # fmt: skip


def run(module: str, *arguments: object) -> dict:
    """In a process of its own, which has no threads: it forks."""
    command = [sys.executable, "-m", f"tests.store.{module}", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_writers_that_are_killed_a_hundred_times_lose_and_spoil_nothing():
    told = run("kill", "--kills", 100, "--seed", 1)
    assert told["rows acknowledged"] > 0
    assert told["faults"] == {}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_kill_at_any_step_loses_and_leaves_nothing(operation):
    told = run("kill", "--steps-of", operation)
    assert told["steps"] > 2
    assert told["faults"] == {}


def test_processes_that_do_everything_at_once_get_the_rows_of_their_keys():
    told = run("race", "--seconds", 5, "--processes", 8)
    assert told["done"].keys() >= {"write", "read"}
    assert told["faults"] == {}
