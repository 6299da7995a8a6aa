from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
from torch import nn

import featx
from featx.encoders import resolve
from featx.encoders._portable import stages_of, to_node
from featx.encoders._spec import STAGES
from featx.exceptions import ParameterError, UnknownNameError
from tests.networks import TINY, make_tiny


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet50", "vit_b_16"])
def test_a_registered_networks_names_are_known_without_torch(name):
    code = f"""
import sys
from featx.encoders import resolve
assert len({{spec.fingerprint() for spec in resolve({name!r}, layers=["early", "middle", "late", "last"])}}) == 4
assert "torch" not in sys.modules and "torchvision" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_portable_name_and_its_node_are_one_layer():
    assert resolve("resnet50", layers="late") == resolve("resnet50", layers="layer3")
    assert resolve("resnet50", layers="late")[0].fingerprint() == resolve("resnet50", layers="layer3")[0].fingerprint()


def test_a_portable_name_finds_the_rows_of_its_node(tiny, crops, store, caplog):
    featx.ImageEncoder(tiny, layers=["norm1", "conv2"], cache=store).transform(crops)
    caplog.set_level("INFO", "featx")
    featx.ImageEncoder(tiny, layers=["early", "last"], cache=store).transform(crops)
    assert "hits=40 encoded=0" in caplog.text


def test_two_names_that_are_one_node_are_refused_together(tiny):
    with pytest.raises(ParameterError, match="names a node twice: norm1, norm1"):
        resolve(tiny, layers=["early", "middle"])
    with pytest.raises(ParameterError, match="names a node twice: layer3, layer3"):
        resolve("resnet18", layers=["late", "layer3"])


def test_a_models_of_timm_are_asked_themselves():
    assert [spec.layer for spec in resolve("timm:convnext_atto", layers=STAGES)] == [
        *("stages.0", "stages.1", "stages.2", "stages.3")
    ]


def test_an_encoder_of_ones_own_keeps_what_it_found(tiny):
    encoder = featx.Encoder.from_module(make_tiny(), preprocess=TINY)
    assert to_node("last", encoder) == "conv2"
    again = pickle.loads(pickle.dumps(encoder))
    assert again.__dict__["stages"] == stages_of(encoder)
    assert again._module is None  # nothing was loaded for it


def test_a_node_that_really_is_called_so_is_that_node():
    network = nn.Sequential()
    network.add_module("early", nn.Conv2d(3, 4, 3))
    network.add_module("other", nn.Conv2d(4, 4, 3, stride=2))
    encoder = featx.Encoder.from_module(network, preprocess=TINY)
    assert to_node("early", encoder) == "early"
    assert to_node("last", encoder) == "other"


def test_a_network_without_nodes_says_so():
    encoder = featx.Encoder.from_module(nn.Conv2d(3, 4, 3), preprocess=TINY, name="bare")
    with pytest.raises(ParameterError, match=r"'bare'.* has no node"):
        resolve(encoder, layers="late")


def test_a_name_that_is_nearly_portable_gets_it_as_a_close_match(tiny, crops):
    with pytest.raises(UnknownNameError, match="Did you mean 'middle'"):
        featx.ImageEncoder(tiny, layers="midle", cache=False).transform(crops[:1])
