from __future__ import annotations

import re
import tomllib
from importlib.metadata import version

import featx


def test_the_version_is_that_of_the_installed_package():
    assert featx.__version__ == version("featx")


def test_pre_commit_runs_the_versions_of_the_extra_lint(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    pinned = dict(pin.split("==") for pin in project["optional-dependencies"]["lint"])
    text = (root / ".pre-commit-config.yaml").read_text()
    found = dict(re.findall(r"/(\w+?)(?:-pre-commit)?\n    rev: v([\d.]+)\n", text)) | dict(
        re.findall(r"\[(\w+)==([\d.]+)\]", text)
    )
    assert {name: found[name] for name in pinned} == pinned
