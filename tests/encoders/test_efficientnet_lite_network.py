from __future__ import annotations

import pickle

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from efficientnet_lite_pytorch.utils import round_filters

from featx.encoders._efficientnet_lite_network import EfficientNetLite, scale_channels


@pytest.mark.parametrize("sides", [(33, 33), (32, 45), (47, 30)])
def test_padding_is_same_for_odd_and_oblong_images(sides):
    network = EfficientNetLite(1.0, 1.0).eval()
    with torch.inference_mode():
        stem = network.stem(torch.zeros(1, 3, *sides))
    assert stem.shape[2:] == tuple(-(-side // 2) for side in sides)


def test_channels_are_rounded_as_the_reference_rounds_them():
    parameters = EfficientNet.from_name("efficientnet-lite2")._global_params
    for channels in (16, 24, 40, 80, 112, 192, 320):
        assert scale_channels(channels, 1.1) == round_filters(channels, parameters)


def test_it_can_be_pickled_and_retrained_by_its_user():
    network = EfficientNetLite(0.25, 0.5).train()
    again = pickle.loads(pickle.dumps(network))
    again(torch.zeros(2, 3, 32, 32)).sum().backward()
    assert again.stem.conv.weight.grad is not None
