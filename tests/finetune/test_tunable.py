"""What is frozen is computed once, where the network can be cut."""

from __future__ import annotations

import logging

import torch

import featx
from featx.encoders import resolve
from featx.finetune._small import small_encoder
from featx.finetune._tunable import make_tunable
from tests.finetune.test_suffix import Untraceable
from tests.networks import TINY, tiny_encoder


def test_a_tunable_begins_where_the_frozen_layers_end():
    tunable = make_tunable(resolve(tiny_encoder())[0], 4, "conv2")
    assert (tunable.node, tunable.shape) == ("norm1", (6, 15, 15))
    assert tunable.depths == {"conv2.weight": 1, "conv2.bias": 1, "classifier.weight": 0, "classifier.bias": 0}


def test_it_is_the_whole_network_where_images_change():
    tunable = make_tunable(resolve(tiny_encoder())[0], 4, "conv2", room=0)
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


def test_a_network_that_cannot_be_cut_is_said_to_compute_all(caplog):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1), Untraceable())
    (spec,) = resolve(featx.Encoder.from_module(network, preprocess=TINY))
    with caplog.at_level(logging.INFO, "featx"):
        assert make_tunable(spec, 4, "1.first", room=0).node is None
        assert not caplog.messages
        assert make_tunable(spec, 4, "1.first").node is None
    assert "cannot be cut" in caplog.text


def test_activations_that_find_no_room_are_not_held(caplog):
    (spec,) = resolve(tiny_encoder())
    of_one = 4 * 6 * 15 * 15
    assert make_tunable(spec, 4, "conv2", room=of_one).node == "norm1"
    with caplog.at_level(logging.INFO, "featx"):
        assert make_tunable(spec, 4, "conv2", room=of_one - 1).node is None
    assert "5,399 bytes an image" in caplog.text
    assert make_tunable(spec, 4, "head", room=32).node == "feature"
