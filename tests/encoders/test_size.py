import pytest
import torch

import featx
from featx.encoders import list_encoders, network_size, resolve


@pytest.mark.parametrize("name", ["resnet18", "vit_b_16", "swin_t", "mobilenet_v3_small"])
def test_all_parameters_but_the_classifiers_are_counted(name):
    table = list_encoders().drop_duplicates("name").set_index("name")
    (spec,) = resolve(name, weights="random")
    classifier = spec.build().get_submodule(spec.classifier)
    expected = 1e6 * table.loc[name, "parameters"] - sum(value.numel() for value in classifier.parameters())
    assert network_size([spec]).parameters == pytest.approx(expected, rel=1e-3)


def test_an_early_layer_needs_few_of_them():
    early, late = (network_size(resolve("resnet18", weights="random", layers=name)) for name in ("layer1", "layer4"))
    assert early.parameters < late.parameters / 50
    assert early.activations == late.activations  # the largest maps come first


def test_numbers_are_those_of_a_network_that_can_be_counted_by_hand():
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 2)
    )
    encoder = featx.Encoder.from_module(module, preprocess=featx.Preprocess(size=8))
    size = network_size(resolve(encoder))
    assert size.parameters == 3 * 4 * 9 + 4
    assert size.activations == 3 * 8 * 8 + 4 * 8 * 8
