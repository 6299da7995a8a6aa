"""Published weights travel with the model and land where their loader looks."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

import featx
from featx._image_encoder import extraction_of
from featx.encoders import Weights, _efficientnet_lite, _registry, hash_file, published_weights
from featx.encoders._weights import read_state_dict
from featx.exceptions import MissingDependencyError, WeightsError
from featx.persistence._published import keep_published, place_published
from tests.networks import make_tiny


def hub() -> Path:
    return Path(os.environ["TORCH_HOME"], "hub", "checkpoints")


def publish(state: dict, folder: Path) -> Weights:
    """Weights as torchvision has them: a file in torch's hub, named by its digest."""
    torch.save(state, folder / "state.pth")
    name = f"tiny-{hash_file(folder / 'state.pth')[:8]}.pth"
    hub().mkdir(parents=True)
    (folder / "state.pth").rename(hub() / name)
    return replace(
        published_weights("squeezenet1_1", "default"),
        identity=f"test:{name}",
        is_local=lambda: (hub() / name).is_file(),
        load=lambda: read_state_dict(hub() / name),
        file=lambda: hub() / name,
    )


@pytest.fixture
def weights(tmp_path, monkeypatch) -> Weights:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "here"))
    return publish(make_tiny().state_dict(), tmp_path)


def test_the_file_arrives_byte_for_byte_on_a_machine_that_lacks_it(weights, tmp_path, monkeypatch):
    content = weights.file().read_bytes()
    assert keep_published(weights, tmp_path) == f"weights/{weights.file().name}"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "there"))
    place_published(weights, tmp_path)
    assert weights.file().read_bytes() == content
    assert os.listdir(hub()) == [weights.file().name]


def test_what_the_machine_has_is_left_alone(weights, tmp_path):
    keep_published(weights, tmp_path)
    weights.file().write_bytes(b"mine")
    place_published(weights, tmp_path)
    assert weights.file().read_bytes() == b"mine"


def test_a_file_that_was_not_published_is_neither_kept_nor_placed(weights, tmp_path, monkeypatch):
    kept = tmp_path / keep_published(weights, tmp_path)
    kept.write_bytes(b"other weights")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "there"))
    with pytest.raises(WeightsError, match="not the file that was published"):
        place_published(weights, tmp_path)
    assert not weights.is_local()
    weights.file().parent.mkdir(parents=True)
    weights.file().write_bytes(b"cut short")
    with pytest.raises(WeightsError, match="not the file that was published"):
        keep_published(weights, tmp_path)


def test_weights_of_a_package_that_is_not_installed_name_it(weights, tmp_path):
    load = partial(_efficientnet_lite._load, "efficientnet_lite9_pytorch_model", "a.pth", "ab")
    carried = replace(weights, file=None, is_local=lambda: False, load=load)
    with pytest.raises(MissingDependencyError, match="efficientnet_lite9"):
        place_published(carried, tmp_path)


def test_a_model_brings_them_along(tmp_path, monkeypatch, crops, store):
    """SqueezeNet under weights of our own: a download is what this machine may not do."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "here"))
    architecture = _registry.get_architecture("squeezenet1_1")
    entry = publish(architecture.build(224).state_dict(), tmp_path)
    monkeypatch.setitem(_registry.registry(), "squeezenet1_1", replace(architecture, weights=(entry,)))
    encoder = featx.ImageEncoder("squeezenet1_1", cache=store, runtime="torch", device="cpu")
    rows = encoder.transform(crops[:2])
    featx.save(encoder, tmp_path / "model")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "there"))
    again = featx.load(tmp_path / "model")
    assert entry.is_local()
    assert extraction_of(again).spec.fingerprint() == extraction_of(encoder).spec.fingerprint()
    torch.testing.assert_close(*map(torch.from_numpy, (again.transform(crops[:2]), rows)), rtol=1e-5, atol=1e-5)
