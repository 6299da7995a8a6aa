"""GPUs, as their driver tells; torch is not asked."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from featx.doctor._finding import Finding

_QUERY = ("--query-gpu=name,memory.total,compute_cap,driver_version", "--format=csv,noheader")
_SECONDS = 30
NO_DRIVER = "no NVIDIA driver"


def check_gpu() -> list[Finding]:
    """Say which there are; none is fine."""
    command = shutil.which("nvidia-smi")
    driver = read_driver(Path("/proc/driver/nvidia/version"))
    if command is None:
        if driver:
            return [Finding("ok", "GPU", f"NVIDIA driver {driver}; there is no nvidia-smi to ask for more")]
        return [Finding("ok", "GPU", NO_DRIVER)]
    return ask(command, driver)


def ask(command: str, driver: str | None) -> list[Finding]:
    """Findings from nvidia-smi."""
    advice = "the driver and the kernel may not match: restart, or reinstall the driver"
    try:
        done = subprocess.run([command, *_QUERY], capture_output=True, text=True, timeout=_SECONDS, errors="replace")
    except (OSError, subprocess.TimeoutExpired) as error:
        return [Finding("warn", "GPU", f"nvidia-smi does not answer: {error}", advice)]
    if done.returncode or not done.stdout.strip():
        said = (done.stdout + done.stderr).strip().splitlines() or [f"status {done.returncode}"]
        if driver is None and "couldn't communicate" in said[0]:
            return [Finding("ok", "GPU", f"{NO_DRIVER} is loaded")]
        return [Finding("warn", "GPU", f"nvidia-smi fails: {said[0]}", advice)]
    return [Finding("ok", "GPU", _describe(line)) for line in done.stdout.strip().splitlines()]


def read_driver(file: Path) -> str | None:
    """Version in the text of /proc/driver/nvidia/version; None where there is no such driver."""
    try:
        found = re.search(r"Kernel Module\D*([\d.]+)", file.read_text())
    except OSError:
        return None
    return found[1] if found else "of unknown version"


def _describe(line: str) -> str:
    name, memory, capability, driver = ([part.strip() for part in line.split(",")] + ["?"] * 4)[:4]
    return f"{name}, {memory}, compute capability {capability}, driver {driver}"
