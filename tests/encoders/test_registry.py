from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from featx.encoders import build_network, list_encoders, list_nodes, published_weights, resolve, trace
from featx.encoders._registry import get_architecture, registry
from featx.encoders._spec import LOGITS
from featx.encoders._trace import find_stages
from featx.exceptions import UnknownNameError


@pytest.fixture(scope="module", params=registry())
def built(request) -> tuple[str, nn.Module]:
    """An encoder's name and its network, with weights as they are allocated: quick, and without a touch of memory."""
    name = request.param
    with pytest.MonkeyPatch.context() as patch:
        for function in vars(nn.init):
            if function.endswith("_") and not function.startswith("_"):
                patch.setattr(nn.init, function, lambda tensor, *_arguments, **_keywords: tensor)
        return name, build_without_memory(name, get_architecture(name).weights[0].preprocess.size)


def build_without_memory(name: str, size: int) -> nn.Module:
    architecture = get_architecture(name)
    if name.startswith("regnet"):  # computes its widths with tensors, which hold nothing on the meta device
        return architecture.build(size).to("meta")
    with torch.device("meta"):
        return architecture.build(size)


def test_every_encoder_builds_and_its_feature_is_what_its_classifier_takes(built):
    name, module = built
    (spec,) = resolve(name, weights="random")
    specs = [replace(spec, build=lambda: module, layer=layer) for layer in (spec.layer, LOGITS)]
    taken = []
    classifier = module.get_submodule(spec.classifier)
    hook = classifier.register_forward_pre_hook(lambda _node, inputs: taken.append(inputs[0]))
    with hook, torch.device("meta"):
        feature, logits = build_network(specs)(torch.empty(2, *2 * [spec.preprocess.size], 3, dtype=torch.uint8))
    assert feature.shape == (2, spec.dim)
    assert logits.shape == (2, 1000)
    assert [entry.shape[:2] for entry in taken] == [(2, spec.dim)]
    assert len(classifier.weight) == 1000


@pytest.mark.parametrize("name", registry())
def test_every_encoder_has_distinct_weights_and_a_positive_cost(name):
    architecture = get_architecture(name)
    assert len({weights.name for weights in architecture.weights}) == len(architecture.weights)
    assert len({weights.identity for weights in architecture.weights}) == len(architecture.weights)
    assert architecture.parameters > 0
    assert architecture.gmacs > 0
    assert all(50 < weights.top1 < 100 for weights in architecture.weights)


def test_every_encoders_stages_are_what_a_look_at_the_network_finds(built):
    name, module = built
    architecture = get_architecture(name)
    size = architecture.weights[0].preprocess.size
    passed = trace(lambda _device: module, architecture.classifier, size)
    assert find_stages(list_nodes(passed), size) == architecture.stages


def test_an_unknown_name_gets_its_close_matches_and_where_to_look():
    with pytest.raises(UnknownNameError, match=r"Did you mean 'resnet50'.*list_encoders.*timm:NAME"):
        get_architecture("resnet-50")


def test_the_list_has_a_row_for_each_set_of_weights_and_one_default_for_each_name():
    table = list_encoders()
    assert list(table.columns) == [
        *("name", "weights", "dim", "parameters", "gmacs", "size", "top1", "source", "license", "local", "default")
    ]
    assert not table.duplicated(["name", "weights"]).any()
    assert table["name"].nunique() == len(registry())
    assert (table.groupby("name")["default"].sum() == 1).all()
    assert table.notna().all(axis=None)
    assert (table["source"].str.startswith("https://")).all()


def test_the_default_encoder_is_on_this_machine_and_others_are_not_yet():
    local = list_encoders().set_index(["name", "weights"])["local"]
    assert local["efficientnet_lite0", "IMAGENET1K"]
    assert not local["resnet50", "IMAGENET1K_V2"]


def test_every_row_of_the_list_can_be_named():
    table = list_encoders()
    fingerprints = {resolve(row.name, weights=row.weights)[0].fingerprint() for row in table.itertuples(index=False)}
    assert len(fingerprints) == len(table)


def test_the_list_imports_no_torch():
    code = "import sys, featx; featx.list_encoders(); assert not {'torch', 'torchvision', 'timm'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_weights_that_are_named_are_found_and_files_and_random_ones_are_none():
    assert published_weights("resnet50", "default").name == "IMAGENET1K_V2"
    assert published_weights("resnet50", "IMAGENET1K_V1").top1 < 77
    assert published_weights("resnet50", "random:7") is None
    assert published_weights("resnet50", "mine.pth") is None
