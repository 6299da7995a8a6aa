from __future__ import annotations

import pytest

from featx import list_encoders
from featx.bench.peers._names import timm_name


@pytest.mark.parametrize("encoder", ["efficientnet_lite0", "resnet18", "convnext_tiny", "densenet121", "vit_b_16"])
def test_timm_has_the_same_network_under_its_name(encoder):
    timm = pytest.importorskip("timm")
    network = timm.create_model(timm_name(encoder), pretrained=False)
    listed = list_encoders().set_index("name")["parameters"].loc[[encoder]].iloc[0]
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(listed, abs=0.01)


def test_a_network_of_timm_keeps_its_name_without_the_tag():
    assert timm_name("timm:vit_small_patch14_dinov2.lvd142m") == "vit_small_patch14_dinov2"


def test_a_network_that_timm_lacks_has_no_name():
    assert timm_name("googlenet") is None
