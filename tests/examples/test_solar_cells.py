from __future__ import annotations

import re

import pytest

import featx
from tests.examples.test_retrieval import example

pytest.importorskip("elpv_dataset", reason="needs the package elpv-dataset")


def test_cells_are_scored_saved_and_exported(root, tmp_path):
    fewer = ["--limit", "120", "--size", "128", "--draws", "1", "--reduce", "5"]
    sooner = ["--cv", "2", "--epochs", "1", "--unfreeze", "head"]
    (tmp_path / "cache").mkdir()
    shown = example(root, tmp_path, "solar_cells.py", *fewer, *sooner, in_torch=True)
    assert "120 cells, 32% defective, a quarter of them to test on" in shown
    found = {name: float(score) for name, score in re.findall(r"^ *([a-z -]+?) +([\d.]+) ", shown, re.M)}
    assert list(found) == ["kind alone", "frozen", "target-aware", "tuned", "tuned to likelihood"]
    assert all(0.5 < score < 1 for score in found.values())
    gain = re.search(r"^target-aware against frozen: ([+-][\d.]+) points in one draw", shown, re.M)
    assert float(gain[1]) / 100 == pytest.approx(found["target-aware"] - found["frozen"], abs=0.002)
    assert re.findall(r"^(saved|exported): 100% of 20 predictions equal$", shown, re.M) == ["saved", "exported"]
    assert "efficientnet_lite0-aware" in featx.EmbeddingStore(tmp_path / "cache").info()["encoder"].tolist()
