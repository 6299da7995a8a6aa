from __future__ import annotations

import csv
from importlib.resources import files
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torchvision import models

import featx
from featx.encoders import build_network, list_encoders, resolve
from featx.encoders._registry import get_architecture
from featx.encoders._torchvision import _load, architectures
from featx.exceptions import WeightsError
from featx.images._preprocess import IMAGENET_MEAN, IMAGENET_STD

MEANS = {"imagenet": (IMAGENET_MEAN, IMAGENET_STD), "half": ((0.5,) * 3, (0.5,) * 3)}
# Its file holds no classifier.
LEFT_OUT = {("vgg16", "IMAGENET1K_FEATURES")}


def in_the_table() -> dict[tuple[str, str], dict]:
    with files("featx.encoders").joinpath("_torchvision.csv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    return {
        (row["name"], row["weights"]): {
            "file": row["file"],
            "size": int(row["size"]),
            "resize": int(row["resize"]),
            "interpolation": row["interpolation"],
            "scale": MEANS[row["scale"]],
            "parameters": float(row["parameters"]),
            "gmacs": float(row["gmacs"]),
            "top1": float(row["top1"]),
        }
        for row in rows
    }


def as_torchvision_has_it() -> dict[tuple[str, str], dict]:
    return {
        (name, weights.name): describe(weights)
        for name in models.list_models(module=models)
        for weights in models.get_model_weights(name)
        if (name, weights.name) not in LEFT_OUT
    }


def describe(weights) -> dict:
    transforms, meta = weights.transforms(), weights.meta
    return {
        "file": weights.url.rpartition("/")[2],
        "size": transforms.crop_size[0],
        "resize": transforms.resize_size[0],
        "interpolation": transforms.interpolation.value,
        "scale": (tuple(transforms.mean), tuple(transforms.std)),
        "parameters": round(meta["num_params"] / 1e6, 3),
        "gmacs": pytest.approx(meta["_ops"], abs=1e-3),
        "top1": meta["_metrics"]["ImageNet-1K"]["acc@1"],
    }


def test_the_table_is_what_torchvision_publishes():
    assert in_the_table() == as_torchvision_has_it()


def test_the_default_weights_are_torchvisions_default():
    for architecture in architectures():
        name = architecture.name.removeprefix("torchvision:")
        assert architecture.weights[0].name == models.get_model_weights(name).DEFAULT.name, name


def test_weights_that_are_not_to_be_used_freely_say_so():
    table = list_encoders().set_index(["name", "weights"])["license"]
    assert table["resnet50", "IMAGENET1K_V2"] == "BSD-3-Clause"
    assert table["vit_b_16", "IMAGENET1K_SWAG_E2E_V1"] == "CC-BY-NC-4.0"


# --- fetching


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_arguments, **_keywords):
        raise URLError("no network in this test")

    monkeypatch.setattr(torch.hub, "urlopen", refuse)


@pytest.fixture
def squeezenet(tmp_path, monkeypatch, no_network) -> torch.nn.Module:
    """A random SqueezeNet, in torch.hub's folder under the name of the published file."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    network = resolve("squeezenet1_1", weights="random:3")[0].build().eval()
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(network.state_dict(), folder / "squeezenet1_1-b8a52dc0.pth")
    return network


def test_a_file_that_was_fetched_before_needs_no_network(squeezenet, photos):
    embeddings = featx.ImageEncoder("squeezenet1_1", cache=False).transform(photos)
    expected = featx.ImageEncoder("squeezenet1_1", weights="random:3", cache=False).transform(photos)
    assert embeddings.shape == (2, 512)
    assert (embeddings == expected).all()


def test_the_table_of_encoders_sees_fetched_files(squeezenet):
    local = list_encoders().query("local")["name"]
    assert "squeezenet1_1" in set(local)
    assert "squeezenet1_0" not in set(local)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("TORCH_HOME", "~/mine"), ("XDG_CACHE_HOME", "~/caches"), (None, None)],
)
def test_fetched_files_are_looked_for_where_torch_hub_keeps_them(variable, value, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, value)
    path = Path(torch.hub.get_dir(), "checkpoints", "alexnet-owt-7be5be79.pth")
    assert path.is_relative_to(tmp_path)
    path.parent.mkdir(parents=True)
    path.touch()
    assert get_architecture("alexnet").weights[0].is_local()


def test_a_download_that_fails_names_the_address_and_the_folder(tmp_path, monkeypatch, no_network):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (spec,) = resolve("squeezenet1_1")
    with pytest.raises(WeightsError) as caught:
        spec.build()
    message = str(caught.value)
    assert "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth" in message
    assert str(tmp_path / "hub" / "checkpoints") in message
    assert "no network in this test" in message


def test_a_fetched_file_that_is_damaged_is_refused(squeezenet, tmp_path):
    path = tmp_path / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="squeezenet1_1"):
        build_network(resolve("squeezenet1_1"))


def test_weights_that_torchvision_has_replaced_are_refused(no_network):
    with pytest.raises(WeightsError, match=r"publishes resnet50-11ad3fa6.pth as resnet50 IMAGENET1K_V2, featx knows"):
        _load("resnet50", "IMAGENET1K_V2", "resnet50-00000000.pth")


def test_densenets_published_names_are_understood():
    network = get_architecture("densenet121").build(224)
    published = {
        key.replace("norm1.", "norm.1.").replace("conv1.", "conv.1.") if "denselayer" in key else key: value
        for key, value in network.state_dict().items()
    }
    rename = get_architecture("densenet121").rename
    assert set(map(rename, published)) == set(network.state_dict())
    assert set(published) != set(network.state_dict())


def test_pinned_dims_match_known_networks():
    dims = list_encoders().query("default").set_index("name")["dim"]
    known = {"vgg16": 4096, "mobilenet_v3_large": 1280, "mobilenet_v3_small": 1024, "vit_b_16": 768, "resnet18": 512}
    assert {name: dims[name] for name in known} == known
