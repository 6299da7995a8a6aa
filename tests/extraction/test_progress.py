from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import termios
import threading

import pytest

END = "<end of a run>"
ENCODE = f"""
import os, sys
import numpy as np, featx
from tests.networks import tiny_encoder
images = list(np.random.default_rng(0).integers(0, 255, (20, 32, 32, 3), dtype=np.uint8))
network = tiny_encoder()
quiet, loud = (featx.ImageEncoder(network, cache=f"cache{{verbose}}", verbose=verbose) for verbose in (0, 1))
for encoder in (quiet, loud, loud, loud):
    encoder.transform(images)
    sys.stderr.write({END!r})
    sys.stderr.flush()
reading, writing = os.pipe()
with os.fdopen(writing, "w") as sys.stderr:
    featx.ImageEncoder(network, cache="piped", verbose=1).transform(images)
print(os.read(reading, 4096))
"""


@pytest.fixture(scope="module")
def shown(root, tmp_path_factory) -> list[str]:
    """What one process shows: on a terminal quietly, anew, with known rows and again; then in a pipe."""
    folder = tmp_path_factory.mktemp("process")
    parent, child = pty.openpty()
    termios.tcsetwinsize(child, (24, 120))
    terminal = io.BytesIO()

    def read():
        try:
            while data := os.read(parent, 4096):
                terminal.write(data)
        except OSError:  # the last writer has closed the terminal
            pass

    thread = threading.Thread(target=read)
    thread.start()
    environment = {**os.environ, "PYTHONPATH": str(root), "FEATX_CACHE": str(folder)}
    command = [sys.executable, "-c", ENCODE]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=child, check=True, cwd=folder, env=environment)
    os.close(child)
    thread.join(600)
    os.close(parent)
    *runs, rest = terminal.getvalue().decode().split(END)
    assert rest == ""
    return [*runs, done.stdout.decode().strip()]


def test_a_terminal_shows_a_bar_with_rate_hits_and_errors(shown):
    assert "tiny0" in shown[1]
    assert "20/20" in shown[1]
    assert "img" in shown[1]
    assert "errors=0, hits=0" in shown[1]


def test_verbose_0_shows_nothing(shown):
    assert shown[0] == ""


def test_a_second_run_over_known_rows_shows_no_second_bar(shown):
    assert shown[1].count("\n") == 1  # a bar may be drawn often, and ends its line once
    assert shown[2:4] == ["", ""]


def test_a_pipe_shows_nothing(shown):
    assert shown[4] == "b''"
