import pytest

import featx
from featx.ranking._candidates import cross, find_networks
from featx.ranking._cost import Clock, has_logits, size_of


def candidate(encoder, layers=None):
    return cross(find_networks([encoder])[0], layers, ["avg"])[0]


def test_the_rate_is_of_decoding_and_encoding_together(crops, tiny, monkeypatch):
    monkeypatch.setattr("featx.ranking._cost.decoding_rate", lambda *_: 100.0)
    monkeypatch.setattr("featx.ranking._cost.network_rate", lambda *_: 25.0)
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
