from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from featx.encoders._build import build_skeleton
from featx.encoders._registry import get_architecture
from featx.encoders._trace import trace
from featx.exceptions import ParameterError
from tests.networks import Unconvertible, make_tiny


def on(module, device):
    return module.to(device)


@pytest.mark.parametrize(
    "name",
    ["resnet18", "vgg11", "densenet121", "vit_b_16", "swin_t", "convnext_tiny", "mobilenet_v3_large", "maxvit_t"],
)
def test_multiply_accumulates_are_those_that_are_published(name):
    architecture = get_architecture(name)
    size = architecture.weights[0].preprocess.size
    passed = trace(lambda _device: build_skeleton(architecture.build, size), architecture.classifier, size)
    assert passed.visits["logits"].macs / 1e9 == pytest.approx(architecture.gmacs, rel=0.01)


def test_those_of_efficientnet_lite_are_published_with_what_is_no_product():
    architecture = get_architecture("efficientnet_lite0")
    passed = trace(lambda _device: build_skeleton(architecture.build, 224), architecture.classifier, 224)
    assert 0.93 < passed.visits["logits"].macs / 1e9 / architecture.gmacs < 0.96


class Tokens(nn.Module):
    """Attention over three tokens; on the CPU alone if it is told so."""

    def __init__(self, on_cpu: bool):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.on_cpu = on_cpu

    def forward(self, x):
        if self.on_cpu and x.device.type != "cpu":
            raise RuntimeError("the CPU alone")
        return self.layer(x.flatten(2)[..., :8])


@pytest.mark.parametrize("on_cpu", [True, False])
def test_attention_is_counted_on_the_cpu_as_on_the_meta_device(on_cpu):
    passed = trace(lambda device: Tokens(on_cpu).to(device), None, 8)
    linear, products = 3 * (3 * 8 * 8 + 8 * 8 + 2 * 8 * 16), 2 * 3 * 3 * 8
    assert passed.visits["logits"].macs == linear + products
    assert passed.visits["logits"].output.device.type == ("cpu" if on_cpu else "meta")


def test_nodes_come_in_the_order_in_which_they_end_and_the_feature_before_the_classifier():
    passed = trace(partial(on, make_tiny()), "classifier", 32)
    assert list(passed.visits) == ["conv1", "norm1", "conv2", "pool", "feature", "classifier", "logits"]
    conv1, conv2, feature = (passed.visits[name] for name in ("conv1", "conv2", "feature"))
    assert (conv1.places, conv1.dim, conv1.macs) == ((15, 15), 6, 15 * 15 * 6 * 27)
    assert conv2.macs - conv1.macs == passed.held["conv2"] == 7 * 7 * 8 * 54
    assert (feature.places, feature.dim) == ((), 8)


def test_a_network_that_needs_values_runs_on_the_cpu():
    passed = trace(partial(on, Unconvertible()), None, 8)
    assert passed.visits["feature"].dim == 3


def test_hooks_and_settings_are_left_as_they_were():
    module, before = make_tiny(), torch.backends.mha.get_fastpath_enabled()
    trace(lambda _device: module, "classifier", 32)
    assert not any(node._forward_hooks or node._forward_pre_hooks for node in module.modules())
    assert torch.backends.mha.get_fastpath_enabled() == before


def test_a_network_that_cannot_take_the_images_says_so():
    with pytest.raises(ParameterError, match="cannot take images of 2 x 2 x 3"):
        trace(lambda device: make_tiny().to(device), "classifier", 2)
