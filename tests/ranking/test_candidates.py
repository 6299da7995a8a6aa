"""Candidates are distinct, have short names, and cost what is measured."""

import numpy as np
import pytest

import featx
from featx._image_encoder import extraction_of
from featx.exceptions import ParameterError, UnknownNameError
from featx.images import Preprocess
from featx.ranking._candidates import Clock, cross, distinct, find_networks, has_logits, name_candidates, size_of
from tests.networks import TINY, make_tiny

NETWORK = "efficientnet_lite0"


def names_of(*encoders, layers=None):
    candidates = [c for network in find_networks(encoders) for c in cross(network, layers, ["avg"])]
    return name_candidates(distinct(candidates))


def test_installed_are_those_whose_weights_are_here():
    names = [network.name for network in find_networks("installed")]
    assert "efficientnet_lite0" in names
    table = featx.list_encoders()
    assert sorted(names) == sorted(table["name"][table["local"]])
    assert not any(network.download for network in find_networks("installed"))


def test_a_network_has_its_weights_license_and_top1():
    (network,) = find_networks(["efficientnet_lite0"])
    assert network.weights == featx.list_encoders().set_index("name").loc["efficientnet_lite0", "weights"]
    assert network.license == "Apache-2.0"
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
    assert list(extraction_of(again).fingerprints()) == list(extraction_of(mine).fingerprints())
    assert mine.layers == ["blocks.2", "blocks.4"]


@pytest.mark.parametrize("encoders", [[], 7, None])
def test_an_empty_list_and_other_types_are_refused(encoders):
    with pytest.raises(ParameterError, match="Expected"):
        find_networks(encoders)


def test_an_unknown_encoder_is_named():
    with pytest.raises(UnknownNameError, match="resnet18"):
        find_networks(["resnet81"])


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"preprocess": "squash"}, f"{NETWORK} preprocess=squash"),
        ({"preprocess": Preprocess(size=128, fit="pad")}, f"{NETWORK} preprocess=Preprocess(size=128, fit=pad)"),
        ({"precision": "bfloat16"}, f"{NETWORK} precision=bfloat16"),
        ({"decode": "fast"}, f"{NETWORK} decode=fast"),
        ({"weights": "random:1"}, f"{NETWORK} random:1"),
        ({"layers": ["blocks.2"], "pooling": "max"}, f"{NETWORK} blocks.2 max"),
        ({"runtime": "torch", "batch_size": 7}, f"{NETWORK} batch_size=7 runtime=torch"),
    ],
)
def test_candidates_that_differ_in_a_parameter_are_named_by_it(changed, name):
    first, second = names_of(NETWORK, featx.ImageEncoder(NETWORK, **changed))
    assert second == name
    assert first != second


def test_a_candidate_that_is_alone_has_its_networks_name():
    assert names_of(NETWORK, "resnet18") == [NETWORK, "resnet18"]


def test_a_candidate_that_is_given_twice_is_tried_once():
    default = featx.ImageEncoder(NETWORK).weights
    assert names_of(NETWORK, NETWORK, featx.ImageEncoder(NETWORK, weights=default)) == [NETWORK]


def test_layers_and_parameters_are_named_together():
    squash = featx.ImageEncoder(NETWORK, preprocess="squash")
    names = names_of(NETWORK, squash, "resnet18", layers=["feature", "early"])
    assert len(set(names)) == 6
    assert f"{NETWORK} early avg preprocess=squash" in names
    assert "resnet18 feature" in names


def test_two_networks_of_the_user_with_one_name_are_numbered():
    one, other = (featx.Encoder.from_module(make_tiny(seed), preprocess=TINY, name="mine") for seed in (0, 1))
    assert names_of(one, other) == ["mine #1", "mine #2"]


def candidate(encoder, layers=None):
    return cross(find_networks([encoder])[0], layers, ["avg"])[0]


def test_the_rate_is_of_decoding_and_encoding_together(crops, tiny, monkeypatch):
    monkeypatch.setattr("featx.ranking._candidates.decoding_rate", lambda *_: 100.0)
    monkeypatch.setattr("featx.ranking._candidates.network_rate", lambda *_: 25.0)
    assert Clock(crops).images_per_second(candidate(tiny)) == pytest.approx(20)


def test_a_real_rate_is_above_nothing(crops, tiny):
    assert Clock(crops).images_per_second(candidate(tiny)) > 0


def test_nothing_that_can_be_read_has_no_rate(tiny):
    rate = Clock([b"no image"]).images_per_second(candidate(tiny))
    assert rate != rate


def test_a_bundle_of_an_early_layer_is_small():
    early, own = (size_of(candidate("efficientnet_lite0", layers)) for layers in (["blocks.2"], None))
    assert own.bundle_mb == pytest.approx(4 * 3.371, abs=0.01)
    assert early.bundle_mb < own.bundle_mb / 20
    assert own.memory_mb > own.bundle_mb


def test_a_network_without_a_classifier_has_no_logits(tiny):
    assert has_logits(featx.ImageEncoder())
    assert has_logits(featx.ImageEncoder(tiny)) == (tiny.classifier is not None)
