"""Blocks are what lies between nodes."""

from __future__ import annotations

import pytest

from featx.encoders import resolve
from featx.finetune._order import order_of
from featx.finetune._small import small_encoder
from tests.finetune.test_suffix import small_vit
from tests.networks import tiny_encoder


def order(encoder, **parameters):
    return order_of(resolve(encoder, **parameters)[0])


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
