from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from featx.runtimes._telemetry import no_telemetry

CONVERT = """
import warnings
from featx.encoders import resolve
from featx.runtimes._convert import convert
from tests.networks import tiny_encoder
convert(resolve(tiny_encoder()))
import openvino_telemetry
print("consent", openvino_telemetry.Telemetry().consent)
"""


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


def test_a_conversion_is_reported_to_nobody(root, tmp_path):
    """Also on a machine whose user was never asked."""
    pytest.importorskip("openvino_telemetry")
    environment = {key: value for key, value in os.environ.items() if key != "CI"}
    answer = subprocess.run(
        [sys.executable, "-c", CONVERT],
        capture_output=True,
        text=True,
        cwd=root,
        env={**environment, "HOME": str(tmp_path)},
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == "consent False"
