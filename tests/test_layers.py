"""Imports point down: the code is held to the architecture."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

# Copied byte for byte to machines that have neither featx nor torch; relative imports hold in both places.
from featx.deploy.export._folder import COPIED

PACKAGE = Path(__file__).parent.parent / "featx"

# Higher rooms may import lower ones, and their own.
FLOORS = {
    "__main__": 13,
    "cli": 12,
    "__init__": 11,
    "bench": 8,
    "doctor": 8,
    "transfer": 8,
    "precision": 9,
    "adapt": 10,
    "deploy": 10,
    "finetune": 10,
    "_pipeline": 7,
    "_image_folder": 7,
    "_image_files": 6,
    "persistence": 7,
    "_image_encoder": 6,
    "text": 6,
    "extraction": 5,
    "runtimes": 4,
    "encoders": 3,
    "heads": 3,
    "_column_encoder": 3,
    "images": 2,
    "store": 2,
    "_array_api": 1,
    "_cache_folder": 1,
    "_optional": 1,
    "_threads": 1,
    "_new_folder": 1,
    "_warn_once": 1,
    "_trusted": 0,
    "exceptions": 0,
    "_version": 0,
}
# Imported inside the functions that build networks.
NETWORKS = ("_efficientnet_lite_network.py", "_several_heads.py")
# What a copied file imports beside that, when it is asked to.
OPTIONAL_THERE = {
    "exceptions.py": {"pandas"},
    "images/_jpeg.py": {"simplejpeg"},
    "deploy/_engine.py": {"onnxruntime", "pandas", "skops"},
    "deploy/service/_form.py": {"python_multipart"},
    "deploy/service/_request.py": {"starlette"},
    "deploy/service/_schema.py": {"pydantic"},
    "deploy/service/_service.py": {"fastapi", "starlette"},
}


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            relative = path.relative_to(PACKAGE)
            assert (node.level > 0) <= (str(relative) in COPIED), f"{path}: imports are absolute"
            above = ["featx", *relative.parts][: -node.level] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    room = room_of(path)
    if room == "__init__":
        return
    for name in imports_of(path):
        if not name.startswith("featx."):
            continue
        other = name.split(".")[1]
        if other in FLOORS and other != room:
            assert FLOORS[other] < FLOORS[room], f"{path.name} ({room}) imports {name}"


def test_every_room_has_a_floor():
    assert {room_of(path) for path in FILES} == set(FLOORS)


@pytest.mark.parametrize("name", COPIED)
def test_what_is_copied_needs_only_numpy_pillow_simplejpeg_and_what_is_copied(name):
    import sys

    found = imports_of(PACKAGE / name)
    roots = {name.split(".")[0] for name in found} - {"featx"}
    assert roots - set(sys.stdlib_module_names) <= {"numpy", "PIL", *OPTIONAL_THERE.get(name, ())}
    modules = {file.removesuffix(".py").replace("/", ".") for file in COPIED}
    for name in found:
        assert not name.startswith("featx.") or any(f"{name}.".startswith(f"featx.{m}.") for m in modules), name


def test_only_runtimes_and_a_network_import_torch_at_the_top():
    for path in FILES:
        tree = ast.parse(path.read_text())
        top = {
            alias.name.split(".")[0] for node in tree.body if isinstance(node, ast.Import) for alias in node.names
        } | {node.module.split(".")[0] for node in tree.body if isinstance(node, ast.ImportFrom)}
        if room_of(path) != "runtimes" and path.name not in NETWORKS:
            assert not top & {"torch", "torchvision", "timm"}, path
