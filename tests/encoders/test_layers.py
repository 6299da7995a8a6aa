from __future__ import annotations

import pytest
import torch

import featx
from featx.encoders import list_layers
from featx.exceptions import UnknownNameError

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
