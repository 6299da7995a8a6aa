import numpy as np
import pytest

import featx
from featx.exceptions import ParameterError, UnknownNameError
from featx.transfer.ranking._candidates import cross, find_networks


def test_installed_are_those_whose_weights_are_here():
    names = [network.name for network in find_networks("installed")]
    assert "efficientnet_lite0" in names
    table = featx.list_encoders()
    assert sorted(names) == sorted(table["name"][table["local"]])
    assert not any(network.download for network in find_networks("installed"))


def test_a_network_says_its_weights_licence_and_top1():
    (network,) = find_networks(["efficientnet_lite0"])
    assert network.weights == featx.list_encoders().set_index("name").loc["efficientnet_lite0", "weights"]
    assert network.licence == "Apache-2.0"
    assert network.top1 == pytest.approx(75.1, abs=0.1)


def test_random_weights_have_no_top1(tiny):
    random, own = find_networks([featx.ImageEncoder("resnet18", weights="random:3"), tiny])
    assert (random.weights, own.weights) == ("random:3", "own")
    assert np.isnan([random.top1, own.top1]).all()


def test_weights_that_are_not_here_would_be_downloaded():
    (network,) = find_networks("vgg19_bn")
    assert network.download


def test_layers_are_crossed_with_poolings_and_the_feature_is_not():
    (network,) = find_networks("efficientnet_lite0")
    found = [(c.layer, c.pooling) for c in cross(network, ["feature", "blocks.2"], ["avg", "max"])]
    assert found == [("feature", None), ("blocks.2", "avg"), ("blocks.2", "max")]


def test_an_image_encoder_keeps_its_layers_if_none_are_asked_for():
    mine = featx.ImageEncoder(layers=["blocks.2", "blocks.4"], pooling="max", preprocess="squash")
    (candidate,) = cross(find_networks([mine])[0], None, ["avg"])
    assert (candidate.layer, candidate.pooling) == ("blocks.2+blocks.4", "max")
    again = candidate.encoder()
    assert [spec.fingerprint() for spec in again._specs()] == [spec.fingerprint() for spec in mine._specs()]
    assert mine.layers == ["blocks.2", "blocks.4"]


@pytest.mark.parametrize("encoders", [[], 7, None])
def test_no_encoders_are_refused(encoders):
    with pytest.raises(ParameterError, match="Expected"):
        find_networks(encoders)


def test_an_unknown_encoder_is_named():
    with pytest.raises(UnknownNameError, match="resnet18"):
        find_networks(["resnet81"])
