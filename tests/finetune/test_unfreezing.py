"""What unfreeze= means is what is tuned; what is frozen is computed once, where the network can be cut."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models import VisionTransformer

import featx
from featx.encoders import resolve
from featx.exceptions import ParameterError, UnknownNameError
from featx.finetune import small_encoder
from featx.finetune._layers import execution_order, freeze, make_plan
from featx.finetune._tunable import (
    cut,
    draw_weights,
    keep_outputs,
    make_tunable,
    replace_head,
    set_weights,
    unwrap,
    whole,
)
from tests.networks import TINY, make_tiny, tiny_encoder


def order(encoder, **parameters):
    return execution_order(resolve(encoder, **parameters)[0])


def small_vit() -> featx.Encoder:
    network = VisionTransformer(32, 4, num_layers=3, num_heads=2, hidden_dim=32, mlp_dim=64)
    return featx.Encoder.from_module(network, preprocess=TINY)


ORDER = order("resnet18", weights="random")


# Which nodes are blocks


@pytest.mark.parametrize(
    ("name", "n_blocks", "last"),
    [("efficientnet_lite0", 16, "blocks.15"), ("resnet18", 8, "layer4"), ("mobilenet_v3_small", 11, "features.11")],
)
def test_a_network_has_the_blocks_that_its_paper_has(name, n_blocks, last):
    blocks = order(name, weights="random").blocks
    assert (len(blocks), list(blocks)[-1]) == (n_blocks, last)


def test_nodes_with_weights_are_the_blocks_where_nothing_is_larger():
    assert list(order(tiny_encoder()).blocks) == ["conv1", "conv2"]


def test_nodes_begin_in_the_order_of_the_forward_pass():
    found = order(tiny_encoder())
    assert found.begin("conv1") < found.begin("norm1") < found.begin("conv2") < found.begin("classifier")
    assert found.ends["conv1"] < found.begin("norm1")


def test_a_node_that_is_never_called_begins_with_the_one_around_it():
    found = order(small_vit())
    inside = "encoder.layers.encoder_layer_1.self_attention"
    assert f"{inside}.out_proj" not in found.begins
    assert found.begin(f"{inside}.out_proj") == found.begin(inside)


def test_shapes_are_those_of_one_image():
    assert order(tiny_encoder()).shapes == {
        "conv1": (6, 15, 15),
        "norm1": (6, 15, 15),
        "conv2": (8, 7, 7),
        "pool": (8, 1, 1),
        "feature": (8,),
    }
    assert order(small_encoder(16, 4)).shapes["feature"] == (16,)


# What is tuned


def nodes(unfreeze):
    return {name.rpartition(".")[0] for name in make_plan(ORDER, unfreeze).depths}


def test_the_last_block_is_the_one_before_the_head():
    plan = make_plan(ORDER, "last_block")
    assert {name.split(".")[0] + "." + name.split(".")[1] for name in plan.depths} == {"layer4.1"}
    assert plan == make_plan(ORDER, 1) == make_plan(ORDER, np.int64(1))
    assert plan.cuts[0] == "layer4.0"


def test_a_node_is_tuned_with_all_that_comes_after_it():
    plan = make_plan(ORDER, "layer4")
    assert {name.split(".")[0] for name in plan.depths} == {"layer4"}
    assert plan.cuts[0] == "layer3"
    assert "layer4.0.conv2" in nodes("layer4.0.conv2")
    assert "layer4.0.conv1" not in nodes("layer4.0.conv2")


def test_inside_a_block_the_frozen_part_ends_before_the_block():
    assert make_plan(ORDER, "layer4.0.conv2").cuts[0] == "layer3"


def test_the_head_alone_needs_the_feature_alone():
    plan = make_plan(ORDER, "head")
    assert (plan.depths, plan.cuts) == ({}, ("feature",))


def test_all_leaves_nothing_to_cut():
    plan = make_plan(ORDER, "all")
    assert plan.cuts == ()
    assert "conv1.weight" in plan.depths
    assert not any(name.startswith("fc.") for name in plan.depths)


@settings(deadline=None)
@given(st.integers(1, 7))
def test_more_blocks_contain_fewer(n):
    fewer, more = make_plan(ORDER, n).depths, make_plan(ORDER, n + 1).depths
    assert set(fewer) < set(more)
    assert max(more.values()) == n + 1
    assert all(more[name] == depth for name, depth in fewer.items())


def test_depths_rise_towards_the_image():
    depths = make_plan(ORDER, "all").depths
    assert depths["layer4.1.conv1.weight"] == 1 < depths["layer3.0.conv1.weight"] < depths["conv1.weight"]


@pytest.mark.parametrize("unfreeze", [0, -1, 9, True, None, "", 1.5])
def test_what_is_neither_a_node_nor_a_number_of_blocks_is_refused(unfreeze):
    with pytest.raises(ParameterError, match="unfreeze"):
        make_plan(ORDER, unfreeze)


def test_the_closest_nodes_to_an_unknown_one_are_named():
    with pytest.raises(UnknownNameError, match="layer4"):
        make_plan(ORDER, "layer5")


@pytest.mark.parametrize("unfreeze", ["avgpool", "fc"])
def test_unfreezing_nothing_is_refused(unfreeze):
    with pytest.raises(ParameterError, match="nothing would be tuned"):
        make_plan(ORDER, unfreeze)


def test_only_what_is_tuned_has_gradients():
    found = order(tiny_encoder())
    freeze(found.network, make_plan(found, "conv2").depths, "classifier")
    assert {name for name, parameter in found.network.named_parameters() if parameter.requires_grad} == {
        "conv2.weight",
        "conv2.bias",
        "classifier.weight",
        "classifier.bias",
    }


# The head


def test_the_head_takes_the_place_of_the_classifier():
    network, head = replace_head(order(tiny_encoder()), 5)
    assert head == "classifier"
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 5)


def test_a_network_without_a_classifier_gets_one():
    network, head = replace_head(order(small_encoder(16, 4)), 5)
    assert network.get_submodule(head).weight.shape == (5, 16)
    assert network(torch.zeros(2, 3, 16, 16)).shape == (2, 5)


def test_without_its_wrapper_a_networks_weights_have_their_names_again():
    plain, wrapped = small_encoder(16, 4).module, replace_head(order(small_encoder(16, 4)), 5)[0]
    assert unwrap(wrapped).state_dict().keys() == plain.state_dict().keys()
    with_classifier = replace_head(order(tiny_encoder()), 5)[0]
    assert unwrap(with_classifier) is with_classifier


def test_a_map_is_pooled_before_the_head():
    maps = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    encoder = featx.Encoder.from_module(maps, preprocess=featx.Preprocess(size=8))
    network, _ = replace_head(order(encoder), 2)
    assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 2)


def test_a_classifier_that_takes_a_map_is_refused():
    with pytest.raises(ParameterError, match=r"\(512, 13, 13\)"):
        replace_head(order("squeezenet1_1", weights="random"), 2)


def test_a_new_head_leaves_the_random_state_alone():
    state = torch.random.get_rng_state()
    replace_head(order(tiny_encoder()), 5)
    assert torch.equal(state, torch.random.get_rng_state())


def test_weights_become_the_head_and_outputs_can_be_dropped():
    linear = torch.nn.Linear(2, 3)
    set_weights(linear, np.arange(6.0).reshape(3, 2), np.arange(3.0))
    keep_outputs(linear, 2)
    assert linear(torch.ones(1, 2)).tolist() == [[1.0, 6.0]]
    assert linear.out_features == 2


def test_weights_are_drawn_by_the_seed_alone_as_torch_draws_them():
    state, linear, found = torch.random.get_rng_state(), torch.nn.Linear(16, 300), []
    torch.random.set_rng_state(state)
    for seed in (0, 0, 1):
        draw_weights(linear, seed)
        found.append(torch.cat([linear.weight.flatten(), linear.bias]).detach().clone())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert 0.24 < found[0].abs().max() <= 0.25
    assert torch.equal(state, torch.random.get_rng_state())


# Where a network is cut


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
    found = execution_order(spec)
    plan = make_plan(found, "last_block")
    network, head = replace_head(found, 5)
    suffix, after = cut(network, head, plan.cuts)
    assert after == node
    crossing = []
    network.get_submodule(node).register_forward_hook(lambda _node, _inputs, output: crossing.append(output))
    with torch.inference_mode():
        output = network(torch.rand(2, 3, spec.preprocess.size, spec.preprocess.size))
        assert torch.equal(suffix(crossing[0]), output)
    assert crossing[0].shape[1:] == found.shapes[node]
    assert sum(p.numel() for p in suffix.parameters()) < sum(p.numel() for p in network.parameters()) / 1.5


def test_a_suffix_shares_its_weights_with_the_network():
    found = order(tiny_encoder())
    network, head = replace_head(found, 5)
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
    """What it computes depends on values."""

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


def test_a_tunable_begins_where_the_frozen_layers_end():
    tunable = make_tunable(resolve(tiny_encoder())[0], 4, "conv2")
    assert (tunable.node, tunable.shape) == ("norm1", (6, 15, 15))
    assert tunable.depths == {"conv2.weight": 1, "conv2.bias": 1, "classifier.weight": 0, "classifier.bias": 0}


def test_it_is_the_whole_network_where_images_change():
    tunable = make_tunable(resolve(tiny_encoder())[0], 4, "conv2", max_bytes=0)
    assert tunable.node is None
    assert tunable.module is tunable.network


def test_a_wrapped_network_keeps_the_names_of_the_encoders_nodes():
    tunable = make_tunable(resolve(small_encoder(16, 4))[0], 4, "last_block")
    assert tunable.node == "2.2"
    assert tunable.depths["network.2.3.weight"] == 1
    assert tunable.depths["head.weight"] == 0


def test_the_head_alone_is_a_linear_layer():
    tunable = make_tunable(resolve(tiny_encoder())[0], 4, "head")
    assert tunable.module is tunable.head
    assert tunable.depths == {"weight": 0, "bias": 0}


def test_a_network_that_cannot_be_cut_is_logged_to_compute_all(caplog):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1), Untraceable())
    (spec,) = resolve(featx.Encoder.from_module(network, preprocess=TINY))
    with caplog.at_level(logging.INFO, "featx"):
        assert make_tunable(spec, 4, "1.first", max_bytes=0).node is None
        assert not caplog.messages
        assert make_tunable(spec, 4, "1.first").node is None
    assert "cannot be cut" in caplog.text


def test_activations_that_do_not_fit_are_not_held(caplog):
    (spec,) = resolve(tiny_encoder())
    of_one = 4 * 6 * 15 * 15
    assert make_tunable(spec, 4, "conv2", max_bytes=of_one).node == "norm1"
    with caplog.at_level(logging.INFO, "featx"):
        assert make_tunable(spec, 4, "conv2", max_bytes=of_one - 1).node is None
    assert "5,399 bytes an image" in caplog.text
    assert make_tunable(spec, 4, "head", max_bytes=32).node == "feature"
