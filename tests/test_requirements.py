"""What is imported is declared: it would be there by chance else, by way of another package."""

from __future__ import annotations

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from featx.deploy.export._package import (
    _REQUIREMENTS,
    _REQUIREMENTS_SERVE,
    COPIED,
    head_requirements,
    pixel_requirements,
)
from tests.test_layers import FILES, PACKAGE, imported_by

PROJECT = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
OF_DEVELOPERS = ("benchmarks", "docs", "lint", "test")
OF_USERS = {
    "polars",  # only where they hand over one of its frames
    "pytest",  # runs featx.testing
}
DISTRIBUTIONS = packages_distributions()


def declared_in(lines: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in lines}


def is_of(module: str, declared: set[str]) -> bool:
    root = module.partition(".")[0]
    return bool(declared & {canonicalize_name(name) for name in DISTRIBUTIONS.get(root, [root])})


def foreign(modules: set[str]) -> set[str]:
    return {module for module in modules if module.partition(".")[0] not in {"featx", *sys.stdlib_module_names}}


def asked_for() -> set[tuple[str, str]]:
    """Each module that is imported at the point of use, and the extra that the error tells to install."""
    calls = [node for file in FILES for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    calls = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "import_optional"]
    found = {(call.args[0], {keyword.arg: keyword.value for keyword in call.keywords}["extra"]) for call in calls}
    return {(module.value, extra.value) for module, extra in found if isinstance(module, ast.Constant) and extra.value}


def test_whatever_is_imported_is_declared():
    extras = [line for name, lines in EXTRAS.items() if name not in OF_DEVELOPERS for line in lines]
    declared = declared_in([*PROJECT["dependencies"], *extras]) | OF_USERS
    for file in FILES:
        for module in foreign(set(imported_by(file))):
            assert is_of(module, declared), f"{file} imports {module}"


def test_an_extra_that_an_error_names_installs_what_is_missing():
    assert len(asked_for()) > 10
    for module, extra in asked_for():
        assert is_of(module, declared_in(EXTRAS[extra])), f"featx[{extra}] does not install {module}"


def test_whatever_a_bundle_imports_is_among_its_requirements():
    fast = pixel_requirements({"inputs": [{"decode": "fast"}]})
    lines = [*_REQUIREMENTS, *_REQUIREMENTS_SERVE[1:], *head_requirements(has_values=True), *fast]
    declared = declared_in(lines) | {"pyarrow"}  # for Parquet, as README.md says
    for name in COPIED:
        for module in foreign(set(imported_by(PACKAGE / name))):
            assert is_of(module, declared), f"{name} imports {module}"


def test_the_extra_serve_is_what_a_bundle_needs_to_serve():
    runtime = [line for line in EXTRAS["serve"] if line.startswith("onnxruntime")]
    assert sorted([*runtime, *_REQUIREMENTS_SERVE[1:]]) == sorted(EXTRAS["serve"])
