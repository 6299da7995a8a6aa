"""What unfreeze= says is what is tuned."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featx.encoders import resolve
from featx.exceptions import ParameterError, UnknownNameError
from featx.finetune._order import order_of
from featx.finetune._plan import freeze, make_plan
from tests.networks import tiny_encoder

ORDER = order_of(resolve("resnet18", weights="random")[0])


def nodes(unfreeze, order=ORDER):
    return {name.rpartition(".")[0] for name in make_plan(order, unfreeze).depths}


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


def test_an_unknown_node_is_told_the_closest():
    with pytest.raises(UnknownNameError, match="layer4"):
        make_plan(ORDER, "layer5")


@pytest.mark.parametrize("unfreeze", ["avgpool", "fc"])
def test_unfreezing_nothing_is_refused(unfreeze):
    with pytest.raises(ParameterError, match="nothing would be tuned"):
        make_plan(ORDER, unfreeze)


def test_only_what_is_tuned_has_gradients():
    order = order_of(resolve(tiny_encoder())[0])
    freeze(order.network, make_plan(order, "conv2").depths, "classifier")
    assert {name for name, parameter in order.network.named_parameters() if parameter.requires_grad} == {
        "conv2.weight",
        "conv2.bias",
        "classifier.weight",
        "classifier.bias",
    }
