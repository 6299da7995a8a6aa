"""What every runtime begins with: a network that was tried, and is folded."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import featx
from featx.encoders import resolve
from featx.exceptions import ParameterError
from featx.runtimes._prepare import example_batch, prepare


def test_a_prepared_network_has_its_dims_and_no_batch_normalization(tiny):
    network, dims = prepare(resolve(tiny, layers=["conv2", "feature", "logits"]))
    assert dims == (8, 8, 3)
    assert not [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def test_a_node_that_is_tapped_keeps_its_batch_normalization(tiny):
    network, _ = prepare(resolve(tiny, layers="conv1"))
    assert [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def test_the_example_is_the_same_each_time_and_leaves_the_random_state_alone(tiny):
    specs, before = resolve(tiny), torch.get_rng_state()
    first, second = example_batch(specs, 3), example_batch(specs, 3)
    assert torch.equal(first, second)
    assert first.shape == (3, 32, 32, 3)
    assert first.dtype == torch.uint8
    assert torch.equal(torch.get_rng_state(), before)


def test_a_size_that_the_network_cannot_take_is_said(tiny):
    with pytest.raises(ParameterError, match="'tiny0' cannot take images of 2 x 2"):
        prepare(resolve(tiny, preprocess=featx.Preprocess(size=2)))
