from __future__ import annotations

from itertools import pairwise

import pytest
from torch import nn

from featx.encoders._stages import find_stages, halvings, list_nodes, name_stages
from featx.encoders._trace import trace
from tests.networks import make_tiny


def block(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Conv2d(inputs, outputs, 3, stride, padding=1)

        def forward(self, x):
            return self.inner(x).relu()

    return Block()


def head(features: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, 2)]


def nodes_of(network: nn.Module, classifier: str | None = None, size: int = 32):
    return list_nodes(trace(network.to, classifier, size))


def stages_of(network: nn.Module, classifier: str | None = None, size: int = 32):
    return find_stages(nodes_of(network, classifier, size), size)


def test_blocks_are_listed_and_not_what_is_inside():
    network = nn.Sequential(block(3, 4, 2), nn.Sequential(block(4, 4), block(4, 4)), *head(4))
    assert [node.name for node in nodes_of(network, "4")] == ["0", "1.0", "1", "2", "3"]


def test_convolution_norm_and_activation_are_one_node():
    stem = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
    network = nn.Sequential(stem, block(8, 8), *head(8))
    assert [node.name for node in nodes_of(network, "4")][:2] == ["0", "1"]


def test_a_wrapper_of_nearly_all_is_gone_through():
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = nn.Sequential(block(3, 8), block(8, 8))
            self.head = nn.Linear(8, 2)

        def forward(self, x):
            return self.head(self.backbone(x).mean((2, 3)))

    assert [node.name for node in nodes_of(Wrapped(), "head")] == ["backbone.0", "backbone.1"]


def test_what_does_nothing_outside_of_training_is_not_listed():
    network = nn.Sequential(block(3, 4), nn.Dropout(), block(4, 4), nn.Identity(), *head(4))
    assert [node.name for node in nodes_of(network, "6")] == ["0", "2", "4", "5"]


def test_the_last_four_stages_have_the_names_and_a_pooling_ends_the_stage_before():
    widths = [3, 4, 4, 4, 4, 4]
    blocks = [block(a, b, 2) for a, b in pairwise(widths)]
    network = nn.Sequential(*blocks, *head(4))
    assert stages_of(network, "7", 64) == ("1", "2", "3", "4")
    pooled = nn.Sequential(*blocks, nn.MaxPool2d(2), *head(4))
    assert stages_of(pooled, "8", 128) == ("1", "2", "3", "5")


def test_a_network_of_few_stages_is_cut_into_quarters_of_its_products():
    network = nn.Sequential(block(3, 4), *[block(4, 4) for _ in range(8)], *head(4))
    assert stages_of(network, "11") == ("1", "4", "6", "8")


def test_in_a_small_network_neighbours_share_a_node():
    assert stages_of(make_tiny(), "classifier") == ("norm1", "norm1", "norm1", "conv2")


def test_a_map_of_one_place_that_is_computed_belongs_to_the_trunk():
    network = nn.Sequential(*[block(3 if i == 0 else 4, 4, 2) for i in range(4)], *head(4))
    assert stages_of(network, "6", 16) == ("0", "1", "2", "3")


def test_a_network_of_vectors_has_its_layers():
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 2))
    assert stages_of(network, "3", 8) == ("2", "2", "2", "2")


def test_a_network_without_nodes_has_none():
    assert name_stages(trace(nn.Conv2d(3, 4, 3).to, None, 8), 8) == {}


def test_a_node_that_really_is_called_so_keeps_its_name():
    network = make_tiny()
    network.late = nn.Identity()
    assert name_stages(trace(network.to, "classifier", 32), 32)["late"] == "late"


@pytest.mark.parametrize(("side", "expected"), [(16, 1), (15, 1), (8, 2), (7, 2), (1, 5)])
def test_halvings_are_rounded(side, expected):
    class Square(nn.Module):
        def forward(self, x):
            return x[:, :, :side, :side] * 1

    nodes = nodes_of(nn.Sequential(Square(), nn.Flatten()), None)
    assert halvings(nodes[0], 32) == expected
