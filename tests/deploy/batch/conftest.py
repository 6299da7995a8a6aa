"""Jobs of a bundle's own predict.py, in processes of their own."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

ROWS, SOME = 2000, 200


def command(bundle, *arguments: object) -> list[str]:
    return [sys.executable, str(Path(bundle) / "predict.py"), *map(str, arguments)]


def run(bundle, *arguments: object, **options) -> subprocess.CompletedProcess:
    """Run predict.py; one thread answers 256 rows at once."""
    given = {"capture_output": True, "text": True, "check": False, "env": alone()} | options
    return subprocess.run(command(bundle, "--n-jobs", 1, *arguments), **given)


def alone() -> dict[str, str]:
    """Variables without a way to the checkout."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def read(file: Path) -> list[dict[str, str]]:
    with open(file, newline="", errors="surrogateescape") as opened:
        return list(csv.DictReader(opened))


@pytest.fixture
def folder(crops, tmp_path, monkeypatch) -> Path:
    """Twelve photos in nested folders of the working folder, as photos/."""
    monkeypatch.chdir(tmp_path)
    for i, crop in enumerate(crops[:12]):
        part = Path("photos", f"part{i % 3}")
        part.mkdir(parents=True, exist_ok=True)
        Image.fromarray(crop).save(part / f"{i:02}.png")
    return Path("photos")


@pytest.fixture
def many(folder) -> Path:
    """A table of so many rows, each of one of the photos, that a run takes a while."""
    return write_table(folder, "many.csv", ROWS)


@pytest.fixture
def some(folder) -> Path:
    """A table of 200 rows."""
    return write_table(folder, "some.csv", SOME)


def write_table(folder: Path, name: str, n: int) -> Path:
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    lines = [f"{i},{paths[i % len(paths)]}\n" for i in range(n)]
    Path(name).write_text("sku,image\n" + "".join(lines))
    return Path(name)


@pytest.fixture
def limited() -> Callable[[int], Callable[[], None]]:
    """Make what keeps a new process from writing files of more bytes than that."""
    resource = pytest.importorskip("resource", reason="needs limits of processes")

    def limit(size: int) -> Callable[[], None]:
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit
