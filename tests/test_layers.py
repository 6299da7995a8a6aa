"""Imports point down: the code is held to the architecture."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

# Copied byte for byte to machines that have neither featx nor torch; relative imports hold in both places.
from featx.deploy.export._package import COPIED

PACKAGE = Path(__file__).parent.parent / "featx"

# Higher rooms may import lower ones, and their own.
FLOORS = {
    "__main__": 14,
    "cli": 13,
    "__init__": 12,
    "transfer": 12,
    "bench": 11,
    "ranking": 11,
    "doctor": 11,
    "adapt": 11,
    "deploy": 11,
    "finetune": 11,
    "compare": 10,
    "_score_model": 10,
    "precision": 10,
    "auditing": 9,
    "table": 8,
    "testing": 3,
    "_pipeline": 7,
    "_precompute": 7,
    "persistence": 7,
    "_image_encoder": 6,
    "engine": 6,
    "text": 6,
    "extraction": 5,
    "runtimes": 4,
    "encoders": 3,
    "heads": 3,
    "scores": 3,
    "_column_encoder": 3,
    "images": 2,
    "store": 2,
    "evaluation": 2,
    "pages": 3,
    "_array_api": 1,
    "_blas": 2,
    "_cache_folder": 1,
    "_optional": 1,
    "_machine": 1,
    "_process": 1,
    "_atomic": 1,
    "_manifest": 1,
    "_rebuild": 1,
    "_validate": 1,
    "_warnings": 1,
    "_exit_status": 1,
    "_trusted_types": 0,
    "exceptions": 0,
    "_version": 0,
}
# Imported inside the functions that build networks.
NETWORKS = ("_efficientnet_lite_network.py", "_joined_network.py", "_several_heads.py")
# What a copied file imports beside that, when it is asked to.
OPTIONAL_THERE = {
    "exceptions.py": {"pandas"},
    "images/_columns.py": {"pyarrow"},
    "images/_jpeg.py": {"simplejpeg"},
    "images/_resize.py": {"cykooz_resizer"},
    "_trusted_types.py": {"skops"},
    "deploy/_bundle.py": {"onnxruntime", "pandas"},
    "deploy/batch/_output.py": {"pyarrow"},
    "deploy/service/_access.py": {"starlette"},
    "deploy/service/_app.py": {"fastapi", "starlette"},
    "deploy/service/_metrics.py": {"prometheus_client"},
    "deploy/service/_request.py": {"starlette"},
    "deploy/service/_schema.py": {"fastapi", "pydantic"},
    "deploy/service/_server.py": {"uvicorn"},
}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_by(path: Path) -> dict[str, set[str]]:
    """Module -> names taken from it, wherever the import stands: in functions and under TYPE_CHECKING too."""
    found: dict[str, set[str]] = {}
    relative = path.relative_to(PACKAGE)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.setdefault(alias.name, set())
        elif isinstance(node, ast.ImportFrom):
            assert (node.level > 0) <= (str(relative) in COPIED), f"{path}: imports are absolute"
            above = ["featx", *relative.parts][: -node.level] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            found.setdefault(module, set()).update(alias.name for alias in node.names)
    return found


def imports_of(path: Path) -> set[str]:
    found = imported_by(path)
    return found.keys() | {f"{module}.{name}" for module, names in found.items() for name in names}


def file_of(module: str) -> Path | None:
    """The file of a module of featx; None if it is none."""
    place = PACKAGE.joinpath(*module.split(".")[1:])
    if not module.startswith("featx"):
        return None
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists()), None)


def offers_of(package: Path) -> dict[str, Path]:
    """What a package's ``__init__`` offers: name -> the file that it comes from; a stub's names come lazily."""
    stub = package.with_suffix(".pyi")
    offers = {}
    for node in ast.walk(ast.parse((stub if stub.exists() else package).read_text())):
        if isinstance(node, ast.ImportFrom):
            above = package.parent.joinpath(*node.module.split(".")) if node.level else None
            file = file_of(".".join(["featx", *above.relative_to(PACKAGE).parts]) if above else node.module)
            offers |= {alias.name: file for alias in node.names if file}
    return offers


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


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_other_rooms_are_entered_by_their_door(path):
    """Across rooms only what a room's ``__init__`` offers; what is copied into bundles has no doors there."""
    if str(path.relative_to(PACKAGE)) in COPIED:
        return
    for module in imported_by(path):
        if module.startswith("featx.") and module.split(".")[1] != room_of(path):
            assert not any(part.startswith("_") for part in module.split(".")[2:]), module


def test_no_two_files_import_one_another():
    """Not by way of others either; a name of a package's is that of the file where it is defined."""
    needs: dict[Path, set[Path]] = {}
    for path in FILES:
        needs[path] = set()
        for module, names in imported_by(path).items():
            file = file_of(module)
            if file is None or path.with_suffix(".pyi").exists():  # lazily
                continue
            is_door = file.name == "__init__.py" and not path.is_relative_to(file.parent)
            offers = offers_of(file) if is_door else {}
            for name in names:
                inner = file_of(f"{module}.{name}")
                needs[path].add(offers.get(name) or inner or file)
            if not names:
                needs[path].add(file)
    TopologicalSorter(needs).prepare()  # a CycleError names the files


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
