"""Effects on the whole process: what changes, that it is put back, and what forked children get."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from featx._process import float32_mode, no_telemetry

ROOT = str(Path(__file__).parent.parent)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def run(code: str, **environment: str) -> str:
    """Run a script in a new process, and return what it prints."""
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        timeout=600,
        env={**{key: value for key, value in os.environ.items() if key != "CI"}, "PYTHONPATH": ROOT, **environment},
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


# --- telemetry


def test_the_environment_is_as_before(monkeypatch):
    for before in (None, "0", "true"):
        monkeypatch.delenv("CI", raising=False)
        if before is not None:
            monkeypatch.setenv("CI", before)
        with no_telemetry():
            assert os.environ["CI"] == "true"
        assert os.environ.get("CI") == before


def test_threads_leave_no_trace(monkeypatch):
    monkeypatch.delenv("CI", raising=False)

    def work(_):
        with no_telemetry():
            time.sleep(0.001)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(40)))
    assert "CI" not in os.environ


CONVERT = """
from featx.encoders import resolve
from featx.runtimes import get_runtime
from tests.networks import tiny_encoder
get_runtime(resolve(tiny_encoder()), "openvino")
import openvino_telemetry
print("consent", openvino_telemetry.Telemetry().consent)
"""


def test_importing_and_converting_are_reported_to_nobody(root, tmp_path):
    """Also on a machine whose user was never asked; OpenVINO notes in the home folder who reports."""
    pytest.importorskip("openvino_telemetry")
    home, cache = tmp_path / "home", tmp_path / "cache"
    home.mkdir()
    answer = run(CONVERT, HOME=str(home), XDG_CACHE_HOME=str(cache), PYTHONPATH=str(root))
    assert answer == "consent False"
    assert list(home.iterdir()) == []


# --- products in float32


def test_modes_take_turns_and_the_last_puts_the_settings_back():
    before, order, inside = settings(), [], threading.Event()

    def other():
        with float32_mode("tf32", "cuda:0"):
            order.append(settings())

    with float32_mode("ieee", "cuda:0"):
        thread = threading.Thread(target=other)
        thread.start()
        inside.wait(0.2)
        order.append(settings())
    thread.join(600)
    assert order in (["ieee", "tf32"], [False, True])
    assert settings() == before


def test_settings_that_followed_a_wider_one_still_do_and_the_others_stay():
    """In a process of its own: what a process has set once it cannot unset."""
    if not hasattr(torch.backends.mkldnn, "fp32_precision"):
        pytest.skip("torch 2.9 has these settings")
    answer = subprocess.run([sys.executable, "-c", FOLLOWING], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["ieee", "True", "bf16", "ieee", "bf16"]


FOLLOWING = """
import torch
from featx._process import float32_mode
matmul, conv = torch.backends.mkldnn.matmul, torch.backends.mkldnn.conv
with float32_mode("ieee", "cpu"):
    print(matmul.fp32_precision, torch.backends.cudnn.allow_tf32)  # the older flag still works
torch.backends.mkldnn.fp32_precision = "bf16"
print(matmul.fp32_precision)
conv.fp32_precision = "bf16"
with float32_mode("ieee", "cpu"):
    print(conv.fp32_precision)
print(conv.fp32_precision)
"""


def settings():
    """How CUDA multiplies float32: by torch's newer name of it, or its older."""
    matmul = torch.backends.cuda.matmul
    return matmul.fp32_precision if hasattr(matmul, "fp32_precision") else matmul.allow_tf32


# --- forked children

LOADED = """
import os, signal, sys, threading, time
import numpy as np, torch, featx
from featx._process import float32_mode, no_telemetry
from featx.encoders import resolve
from featx.runtimes import get_runtime
from tests.networks import tiny_encoder
torch.set_num_threads(2)
batch = np.zeros((64, 32, 32, 3), np.uint8)  # enough for both threads

def load(seed, runtime="openvino"):
    return get_runtime(resolve(tiny_encoder(seed)), runtime, "cpu")

def in_a_child(function):
    child = os.fork()
    if child == 0:
        signal.alarm(100)  # a child that hangs must not hang the tests
        function()
        sys.stdout.flush()
        sys.exit(0)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@needs_fork
@pytest.mark.parametrize("runtime", ["openvino", "torch"])
def test_a_network_that_is_new_runs_where_the_threads_of_the_parent_are_lost_and_a_child_without_one_ends(runtime):
    parent = f"load(0, {runtime!r}).run(batch)"
    run(f"{LOADED}\n{parent}\nin_a_child(lambda: load(1, {runtime!r}).run(batch))\nin_a_child(lambda: None)")


COUNT = """
def count():
    print(torch.get_num_threads())
    load(0, "torch").run(batch)
    print(torch.get_num_threads())

in_a_child(count)
"""


@needs_fork
def test_a_child_keeps_its_threads_until_a_network_of_featx_runs_there():
    assert run(LOADED + COUNT).split() == ["2", "1"]


BUSY = """
matmul = torch.backends.cuda.matmul
name = "fp32_precision" if hasattr(matmul, "fp32_precision") else "allow_tf32"
before = getattr(matmul, name)

def hold():
    with no_telemetry(), float32_mode("tf32", "cuda:0"):
        time.sleep(200)

threading.Thread(target=hold, daemon=True).start()
while getattr(matmul, name) == before:
    time.sleep(0.01)

def use():
    print(getattr(matmul, name) == before)
    with no_telemetry(), float32_mode("ieee", "cpu"):
        print("used")

in_a_child(use)
"""


@needs_fork
def test_a_child_has_the_settings_from_before_other_threads_of_its_parent_changed_them():
    assert run(LOADED + BUSY).split() == ["True", "used"]
