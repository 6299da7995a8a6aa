"""Bundles of every format version load for ever."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import featx
from featx.deploy._bundle import FORMAT, digest_card

ARTIFACTS = Path(__file__).parent.parent / "artifacts"
DATA = ("bundle.json", "model.onnx")


def make_artifact(model, images: list[np.ndarray], folder: Path) -> None:
    """Write the data of a bundle (its code would be copies) and what it answers; called by hand, once a format."""
    bundle = featx.export_bundle(model, folder)
    for path in bundle.folder.iterdir():
        if path.name not in DATA:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    card = {**bundle.card, "files": {"model.onnx": bundle.card["files"]["model.onnx"]}}
    card["digest"] = digest_card(card)
    (folder / "bundle.json").write_text(json.dumps(card, indent=2) + "\n")
    answers = {"label": model.predict(images).tolist(), "probabilities": model.predict_proba(images).tolist()}
    (folder / "expected.json").write_text(json.dumps(answers) + "\n")


def pictures() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (24 + 4 * i, 40, 3), "uint8") for i in range(4)]


@pytest.mark.parametrize("version", range(1, FORMAT + 1))
def test_a_bundle_of_every_version_still_answers_the_same(version):
    folder = ARTIFACTS / f"bundle_v{version}"
    expected = json.loads((folder / "expected.json").read_text())
    predictor = featx.Predictor(folder)
    assert predictor.predict(pictures()).tolist() == expected["label"]
    np.testing.assert_allclose(predictor.predict_proba(pictures()), expected["probabilities"], atol=1e-4)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 100_000
