"""What earlier versions stored, saved and shipped keeps its meaning: digests, fingerprints, rows and predictions.

A failure here means that every user's cache or model would change its numbers. If that is on purpose, run
``python -m tests.test_frozen`` and say so in the CHANGELOG.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import featx
from featx.encoders import resolve
from featx.images import DigestMemo, digest_many, load

FROZEN = Path(__file__).parent / "artifacts" / "frozen.json"
N_IMAGES = 100
# A projection says as much of a row as is worth keeping in a repository.
N_DIRECTIONS = 6

SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "published weights": {"encoder": "resnet50", "weights": "IMAGENET1K_V2"},
    "logits": {"encoder": "resnet18", "layers": "logits"},
    "a node": {"layers": "blocks.4", "pooling": "gem"},
    "a portable layer": {"layers": "middle"},
    "several layers": {"layers": ["early", "late"], "pooling": "max"},
    "squash": {"preprocess": "squash"},
    "pad": {"preprocess": featx.Preprocess(size=64, fit="pad", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))},
    "fast decoding": {"decode": "fast"},
    "bfloat16": {"precision": "bfloat16", "executor": "openvino:cpu"},
}


class Convolution(torch.nn.Module):
    """A user's own network."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 16, 5, stride=4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.convolution(x)).mean(dim=(2, 3))


def own_encoder() -> featx.Encoder:
    module, random = Convolution(), np.random.default_rng(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.from_numpy(random.normal(0, 0.1, parameter.shape).astype("float32")))
    return featx.Encoder.from_module(module, preprocess=featx.Preprocess(size=32), name="convolution")


def images() -> list[np.ndarray]:
    """A hundred handwritten digits as photos that no decoder has touched: uint8 (96, 80, 3), in color."""
    digits = load_digits().images[:N_IMAGES].astype("uint8") * 15
    shades = np.array([1.0, 0.8, 0.5])
    return [(np.kron(digit, np.ones((12, 10)))[..., None] * shades).astype("uint8") for digit in digits]


def encoders() -> dict[str, featx.ImageEncoder]:
    common = {"cache": False, "verbose": 0}
    return {
        "default": featx.ImageEncoder(**common),
        "lite1, middle, gem": featx.ImageEncoder("efficientnet_lite1", layers="middle", pooling="gem", **common),
        "a user's own": featx.ImageEncoder(own_encoder(), preprocess="squash", **common),
    }


def rows_of(encoder: featx.ImageEncoder) -> np.ndarray:
    """Embeddings seen from a few fixed directions, (100, 6)."""
    embeddings = encoder.transform(images())
    directions = np.cos(np.outer(np.arange(embeddings.shape[1]) + 1, np.arange(N_DIRECTIONS) + 1))
    return embeddings @ directions / np.linalg.norm(embeddings, axis=1, keepdims=True)


def fitted_model() -> Any:
    model = make_pipeline(featx.ImageEncoder(cache=False, verbose=0), StandardScaler(), LogisticRegression(C=0.01))
    return model.fit(images()[:60], load_digits().target[:60])


def predictions(model: Any) -> np.ndarray:
    """Probabilities of the images that the model was not trained on, (40, 10)."""
    return model.predict_proba(images()[60:])


def sources() -> dict[str, Any]:
    image = images()[0]
    return {"bytes": b"featx", "array": image, "grey": image[..., 0], "transparent": np.dstack([image, image[..., :1]])}


def digest_of(source: Any) -> str:
    with ThreadPoolExecutor(1) as pool:
        keys, reasons = digest_many([source], memo=DigestMemo(), pool=pool)
    assert not reasons
    return keys[0].tobytes().hex()


def fingerprints_of(settings: dict[str, Any]) -> list[str]:
    return [spec.fingerprint() for spec in resolve(**{"encoder": "efficientnet_lite0", **settings})]


def freeze() -> dict[str, Any]:
    return {
        "digests": {name: digest_of(source) for name, source in sources().items()},
        "fingerprints": {
            **{name: fingerprints_of(settings) for name, settings in SETTINGS.items()},
            "a user's own": fingerprints_of({"encoder": own_encoder()}),
        },
        "rows": {name: rows_of(encoder).round(5).tolist() for name, encoder in encoders().items()},
        "predictions": predictions(fitted_model()).round(5).tolist(),
    }


@pytest.fixture(scope="module")
def frozen() -> dict[str, Any]:
    return json.loads(FROZEN.read_text())


@pytest.fixture(scope="module")
def model() -> Any:
    return fitted_model()


@pytest.mark.parametrize("name", sources())
def test_an_image_keeps_its_digest(frozen, name):
    assert digest_of(sources()[name]) == frozen["digests"][name]


def test_pixels_are_digested_alike_however_they_come(frozen):
    digest, _ = load(images()[0])
    assert digest.hex() == frozen["digests"]["array"]


@pytest.mark.parametrize("name", SETTINGS)
def test_an_encoder_keeps_its_fingerprint(frozen, name):
    assert fingerprints_of(SETTINGS[name]) == frozen["fingerprints"][name]


def test_a_users_own_network_keeps_its_fingerprint(frozen):
    assert fingerprints_of({"encoder": own_encoder()}) == frozen["fingerprints"]["a user's own"]


@pytest.mark.parametrize("name", ["default", "lite1, middle, gem", "a user's own"])
def test_an_encoder_keeps_its_rows(frozen, name):
    np.testing.assert_allclose(rows_of(encoders()[name]), frozen["rows"][name], atol=1e-3)


def test_a_saved_model_keeps_its_predictions(frozen, model, tmp_path):
    featx.save(model, tmp_path / "model")
    np.testing.assert_allclose(predictions(featx.load(tmp_path / "model")), frozen["predictions"], atol=5e-3)


def test_a_bundle_keeps_its_predictions(frozen, model, tmp_path):
    featx.export_bundle(model, tmp_path / "bundle", sample=images()[:8])
    np.testing.assert_allclose(predictions(featx.Predictor(tmp_path / "bundle")), frozen["predictions"], atol=5e-3)


if __name__ == "__main__":
    from tests import test_frozen  # under its own name, which is part of a network's identity

    FROZEN.write_text(json.dumps(test_frozen.freeze()) + "\n")
