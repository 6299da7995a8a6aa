"""Python and the packages: there, and new enough; none is imported."""

from __future__ import annotations

import importlib.metadata
import platform
import re
from collections.abc import Iterable

from featx._version import __version__
from featx.doctor._finding import Finding

_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[^]]*\])?\s*>=\s*([\d.]+)\s*(?:;.*extra == ['\"](\w+)['\"])?")


def check_packages() -> list[Finding]:
    """Compare what is installed with what featx requires, as its own metadata says."""
    findings = [
        Finding("ok", "featx", __version__),
        Finding("ok", "Python", f"{platform.python_version()}, {platform.machine()}, {platform.platform(terse=True)}"),
    ]
    try:
        requirements = importlib.metadata.requires("featx") or []
    except importlib.metadata.PackageNotFoundError:
        return [
            *findings,
            Finding("warn", "packages", "featx is not installed", "install it to have them checked"),
        ]
    return findings + compare(requirements)


def compare(requirements: Iterable[str]) -> list[Finding]:
    """Findings on requirements such as ``"numpy>=1.26"`` or ``"timm>=1.0; extra == 'timm'"``."""
    findings, n = [], 0
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        if match is None:
            continue
        name, least, extra = match.groups()
        version = _installed(name)
        if version is None and extra:
            continue
        n += 1
        if version is None:
            findings.append(Finding("bad", name, "not installed", f"pip install '{name}>={least}'"))
        elif _numbers(version) < _numbers(least):
            advice = f"pip install --upgrade '{name}>={least}'"
            findings.append(Finding("warn" if extra else "bad", name, f"{version} is too old", advice))
    if not findings:
        findings.append(Finding("ok", "packages", f"{n} installed, all new enough"))
    return findings


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """``"2.6.0+cpu"`` -> (2, 6): trailing zeros mean nothing."""
    numbers = [int(number) for number in re.match(r"[\d.]*", version)[0].split(".") if number]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
