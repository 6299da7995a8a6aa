"""A suffix gives what the whole network gives."""

from __future__ import annotations

import pytest
import torch
from torchvision.models import VisionTransformer

import featx
from featx.encoders import resolve
from featx.exceptions import ParameterError
from featx.finetune._head import replace_head
from featx.finetune._order import order_of
from featx.finetune._plan import make_plan
from featx.finetune._suffix import cut, whole
from tests.networks import TINY, make_tiny, tiny_encoder


def small_vit() -> featx.Encoder:
    network = VisionTransformer(32, 4, num_layers=3, num_heads=2, hidden_dim=32, mlp_dim=64)
    return featx.Encoder.from_module(network, preprocess=TINY)


@pytest.mark.parametrize(
    ("encoder", "weights", "node"),
    [
        ("efficientnet_lite0", "random", "blocks.14"),
        ("resnet18", "random", "layer4.0"),
        (small_vit(), "default", "encoder.layers.encoder_layer_1"),
    ],
    ids=str,
)
def test_a_suffix_gives_what_the_network_gives(encoder, weights, node):
    (spec,) = resolve(encoder, weights=weights)
    order = order_of(spec)
    plan = make_plan(order, "last_block")
    network, head = replace_head(order, 5)
    suffix, found = cut(network, head, plan.cuts)
    assert found == node
    crossing = []
    network.get_submodule(node).register_forward_hook(lambda _node, _inputs, output: crossing.append(output))
    with torch.inference_mode():
        output = network(torch.rand(2, 3, spec.preprocess.size, spec.preprocess.size))
        assert torch.equal(suffix(crossing[0]), output)
    assert crossing[0].shape[1:] == order.shapes[node]
    assert sum(p.numel() for p in suffix.parameters()) < sum(p.numel() for p in network.parameters()) / 1.5


def test_a_suffix_shares_its_weights_with_the_network():
    order = order_of(resolve(tiny_encoder())[0])
    network, head = replace_head(order, 5)
    suffix, _ = cut(network, head, ["norm1"])
    assert suffix.get_parameter("conv2.weight") is network.conv2.weight
    assert "conv1.weight" not in dict(suffix.named_parameters())


class Around(torch.nn.Module):
    """Something passes by every node."""

    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Conv2d(3, 3, 1), torch.nn.Conv2d(3, 3, 1)
        self.classifier = torch.nn.Linear(3, 2)

    def forward(self, x):
        return self.classifier((x + self.second(self.first(x))).mean((2, 3)))


class Untraceable(torch.nn.Module):
    """Its way depends on values."""

    def __init__(self):
        super().__init__()
        self.first, self.classifier = torch.nn.Conv2d(3, 3, 1), torch.nn.Linear(3, 2)

    def forward(self, x):
        x = self.first(x)
        return self.classifier((x if x.sum() > 0 else -x).mean((2, 3)))


@pytest.mark.parametrize("network", [Around(), Untraceable()])
def test_what_allows_no_cut_is_not_cut(network):
    assert cut(network, "classifier", ["first"]) is None


def test_a_cut_comes_earlier_where_the_latest_is_passed_by():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1), Around())
    assert cut(network, "1.classifier", ["1.first", "0"])[1] == "0"


def test_a_network_that_ends_in_its_head_is_whole():
    tiny = make_tiny()
    assert whole(tiny, "classifier", 32) is tiny


def test_what_comes_after_the_head_is_refused():
    with pytest.raises(ParameterError, match="after its last linear layer"):
        whole(torch.nn.Sequential(make_tiny(), torch.nn.Softmax(1)), "0.classifier", 32)
