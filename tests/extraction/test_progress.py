from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import termios
import threading

ENCODE = """
import numpy as np, featx
from tests.networks import tiny_encoder
images = list(np.random.default_rng(0).integers(0, 255, (20, 32, 32, 3), dtype=np.uint8))
encoder = featx.ImageEncoder(tiny_encoder(), verbose={verbose})
for _ in range({times}):
    encoder.transform(images)
"""


def run_on_a_terminal(code: str, root) -> str:
    """What a process writes to a terminal on its standard error."""
    parent, child = pty.openpty()
    termios.tcsetwinsize(child, (24, 120))
    shown = io.BytesIO()

    def read():
        try:
            while data := os.read(parent, 4096):
                shown.write(data)
        except OSError:  # the last writer has closed the terminal
            pass

    thread = threading.Thread(target=read)
    thread.start()
    subprocess.run([sys.executable, "-c", code], stderr=child, check=True, cwd=root)
    os.close(child)
    thread.join(600)
    os.close(parent)
    return shown.getvalue().decode()


def test_a_terminal_shows_a_bar_with_rate_hits_and_errors(root):
    shown = run_on_a_terminal(ENCODE.format(verbose=1, times=1), root)
    assert "tiny0" in shown
    assert "20/20" in shown
    assert "img" in shown
    assert "errors=0, hits=0" in shown


def test_verbose_0_shows_nothing(root):
    assert run_on_a_terminal(ENCODE.format(verbose=0, times=1), root) == ""


def test_a_second_run_over_known_rows_shows_no_second_bar(root):
    shown = run_on_a_terminal(ENCODE.format(verbose=1, times=3), root)
    assert shown.count("\n") == 1  # a bar may be drawn often, and ends its line once
    assert "20/20" in shown


def test_a_pipe_shows_nothing(root):
    code = ENCODE.format(verbose=1, times=1)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=root)
    assert done.stderr == b""
