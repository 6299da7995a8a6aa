from __future__ import annotations

import stat

import pytest

from featx.doctor._gpu import NO_DRIVER, ask, check_gpu, read_driver


@pytest.fixture
def command(tmp_path):
    """Writes a program that stands where nvidia-smi would."""

    def write(script: str) -> str:
        path = tmp_path / "nvidia-smi"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    return write


def test_each_gpu_is_a_finding(command):
    line = "NVIDIA H200, 143771 MiB, 9.0, 570.86"
    findings = ask(command(f"echo '{line}'; echo '{line}'"), "570.86")
    assert [str(finding) for finding in findings] == [
        "ok    GPU: NVIDIA H200, 143771 MiB, compute capability 9.0, driver 570.86"
    ] * 2


def test_a_driver_that_fails_is_a_warning(command):
    (finding,) = ask(command("echo 'Failed to initialize NVML: version mismatch'; exit 18"), "570.86")
    assert (finding.status, finding.value) == ("warn", "nvidia-smi fails: Failed to initialize NVML: version mismatch")
    (finding,) = ask(command('echo "NVIDIA-SMI has failed because it couldn\'t communicate"; exit 9'), None)
    assert (finding.status, finding.value.startswith(NO_DRIVER)) == ("ok", True)


def test_a_program_that_cannot_run_is_a_warning(tmp_path):
    (finding,) = ask(str(tmp_path / "nowhere"), None)
    assert finding.status == "warn"


def test_the_drivers_version_is_read(tmp_path):
    file = tmp_path / "version"
    assert read_driver(file) is None
    file.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19\nGCC version: 12\n")
    assert read_driver(file) == "535.104.05"


def test_a_machine_without_one_is_fine(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = check_gpu()
    assert finding.status == "ok"
    assert "NVIDIA driver" in finding.value
