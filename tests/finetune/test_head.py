"""A head takes the classifier's place, and scikit-learn's weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from featx.encoders import resolve
from featx.exceptions import ParameterError
from featx.finetune._head import draw_weights, keep_outputs, own_network, replace_head, set_weights
from featx.finetune._order import order_of
from featx.finetune._small import small_encoder
from tests.networks import tiny_encoder


def order(encoder, **parameters):
    return order_of(resolve(encoder, **parameters)[0])


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
    assert own_network(wrapped).state_dict().keys() == plain.state_dict().keys()
    of_its_own = replace_head(order(tiny_encoder()), 5)[0]
    assert own_network(of_its_own) is of_its_own


def test_a_map_is_pooled_before_the_head():
    import featx

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
