"""Layers: which nodes are listed, what they cost, and which are early, middle, late and last."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import nn

import featx
from featx.encoders import list_layers, list_nodes, trace
from featx.encoders._registry import get_architecture
from featx.encoders._trace import find_stages, halvings, name_stages
from featx.encoders._weights import build_skeleton
from featx.exceptions import ParameterError, UnknownNameError
from tests.networks import Unconvertible, make_tiny

COLUMNS = ["node", "stage", "size", "dim", "gmacs", "name"]


def test_a_networks_layers_come_in_order_with_the_feature_and_the_logits_last(tiny):
    table = list_layers(tiny)
    assert list(table.columns) == COLUMNS
    assert table["node"].tolist() == ["conv1", "norm1", "conv2", "pool", "feature", "logits"]
    assert table["stage"].tolist() == [1, 1, 2, 5, 5, 5]
    assert table["size"].tolist() == ["15 x 15", "15 x 15", "7 x 7", "1 x 1", "", ""]
    assert table["dim"].tolist() == [6, 6, 8, 8, 8, 3]
    assert table["name"].tolist() == ["", "early, middle, late", "last", "", "", ""]
    assert table["gmacs"].is_monotonic_increasing


@pytest.mark.parametrize("name", ["efficientnet_lite0", "vit_b_16", "swin_t", "timm:convnext_atto"])
def test_every_encoder_has_all_four_names_in_order(name):
    table = list_layers(name)
    assert table.loc[table["name"] != "", "name"].tolist() == ["early", "middle", "late", "last"]
    assert table["gmacs"].is_monotonic_increasing


def test_every_row_can_be_named_and_has_the_length_that_is_told(tiny, crops):
    for row in list_layers(tiny).itertuples():
        assert featx.ImageEncoder(tiny, layers=row.node, cache=False).transform(crops[:2]).shape == (2, row.dim)


def test_an_image_encoder_brings_its_images_size_along(tiny):
    small = featx.ImageEncoder("resnet18", preprocess=featx.Preprocess(size=64), layers="late")
    table = list_layers(small).set_index("node")
    assert table.loc["layer4", "size"] == "2 x 2"
    assert list_layers("resnet18").set_index("node").loc["layer4", "size"] == "7 x 7"


def test_weights_decide_the_images_size():
    table = list_layers("vit_b_16", weights="IMAGENET1K_SWAG_E2E_V1").set_index("node")
    assert table.loc["encoder.ln", "size"] == "577"


def test_a_file_of_weights_has_its_own_classes(tmp_path):
    from torchvision.models import squeezenet1_1

    torch.save(squeezenet1_1(num_classes=7).state_dict(), tmp_path / "mine.pth")
    assert list_layers("squeezenet1_1", weights=tmp_path / "mine.pth").set_index("node").loc["logits", "dim"] == 7


def test_an_unknown_encoder_gets_its_close_matches():
    with pytest.raises(UnknownNameError, match="resnet50"):
        list_layers("resnet-50")


# --- stages


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


def test_in_a_small_network_neighbors_share_a_node():
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


# --- multiply-accumulates


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
