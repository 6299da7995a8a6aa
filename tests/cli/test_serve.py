from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

import featx
from featx.cli import main


@pytest.fixture
def bundle(tiny, crops, tmp_path) -> Path:
    model = featx.image_pipeline(encoder=tiny, cache=False, verbose=0).fit(crops, [0, 1] * 20)
    return featx.export_bundle(model, tmp_path / "bundle").folder


def test_the_bundles_own_service_runs_and_ends_by_a_signal(bundle, tmp_path, root):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "featx", "serve", str(bundle), "--port", str(port)]
    service = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(root)}, stderr=subprocess.PIPE, text=True
    )
    try:
        assert ask(f"http://127.0.0.1:{port}/ready")["status"] == "ready"
    finally:
        service.send_signal(signal.SIGTERM)
        _, told = service.communicate(timeout=600)
    assert service.returncode == 0, told
    assert "GET /ready" in told


def ask(address: str) -> dict:
    for _ in range(6000):
        try:
            with urllib.request.urlopen(address, timeout=60) as answer:
                return json.load(answer)
        except OSError:
            time.sleep(0.1)
    raise AssertionError("no answer")


def test_options_are_the_services_own(bundle, root):
    command = [sys.executable, "-m", "featx", "serve", str(bundle), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    assert "serve.py" in done.stdout
    assert "--n-jobs" in done.stdout


def test_a_damaged_bundle_is_not_run(bundle, capsys):
    with open(bundle / "serve.py", "a") as file:
        file.write("print('more')\n")
    assert main(["serve", str(bundle)]) == 2
    assert "serve.py is damaged" in capsys.readouterr().err


def test_a_folder_that_is_no_bundle_is_told(tmp_path, capsys):
    assert main(["serve", str(tmp_path)]) == 2
    assert "is not a bundle" in capsys.readouterr().err
