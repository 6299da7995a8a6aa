"""Random, published and local weights arrive in the network."""

from __future__ import annotations

import pytest
import torch

from featx.encoders._build import build_from_file, build_published, build_random, build_skeleton
from featx.encoders._registry import get_architecture
from featx.exceptions import WeightsError


@pytest.fixture(scope="module")
def squeezenet():
    return get_architecture("squeezenet1_1")


def equal(a, b):
    a, b = a.state_dict(), b.state_dict()
    return all(torch.equal(a[key], b[key]) for key in a)


def test_random_weights_are_the_same_each_time(squeezenet):
    assert equal(build_random(squeezenet, 7, 224), build_random(squeezenet, 7, 224))


def test_random_weights_differ_between_seeds(squeezenet):
    assert not equal(build_random(squeezenet, 0, 224), build_random(squeezenet, 7, 224))


def test_random_weights_are_drawn_whatever_the_state_of_the_caller(squeezenet):
    torch.manual_seed(1)
    first = build_random(squeezenet, 7, 224)
    torch.manual_seed(2)
    assert equal(first, build_random(squeezenet, 7, 224))


def test_random_weights_leave_the_random_state_of_the_caller_alone(squeezenet):
    before = torch.get_rng_state()
    build_random(squeezenet, 7, 224)
    assert torch.equal(torch.get_rng_state(), before)


def test_random_weights_never_seed_the_gpus(squeezenet, monkeypatch):
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("the GPUs were seeded"))
    build_random(squeezenet, 7, 224)


def test_network_is_built_on_the_cpu_whatever_the_default_device(squeezenet):
    with torch.device("meta"):
        network = build_random(squeezenet, 7, 224)
    assert {p.device.type for p in network.parameters()} == {"cpu"}


@pytest.mark.parametrize("name", ["squeezenet1_1", "regnet_y_400mf"])
def test_a_skeleton_has_no_memory_even_of_a_network_that_computes_while_it_is_built(name):
    architecture, before = get_architecture(name), torch.get_rng_state()
    skeleton = build_skeleton(architecture.build, 224)
    assert {p.device.type for p in skeleton.parameters()} == {"meta"}
    assert sum(p.numel() for p in skeleton.parameters()) / 1e6 == pytest.approx(architecture.parameters, abs=1e-3)
    assert torch.equal(torch.get_rng_state(), before)


def test_published_weights_are_loaded():
    architecture = get_architecture("efficientnet_lite0")
    network = build_published(architecture, "IMAGENET1K", 224)
    state = architecture.weights[0].load()
    assert torch.equal(network.stem.conv.weight, state["_conv_stem.weight"])
    assert torch.equal(network.classifier.bias, state["_fc.bias"])


def test_local_file_is_loaded(squeezenet, tmp_path):
    network = build_random(squeezenet, 3, 224)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    assert equal(build_from_file(squeezenet, tmp_path / "w.pth", 224), network)


def test_loading_leaves_the_random_state_of_the_caller_alone(squeezenet, tmp_path):
    torch.save(squeezenet.build(224).state_dict(), tmp_path / "w.pth")
    before = torch.get_rng_state()
    build_from_file(squeezenet, tmp_path / "w.pth", 224)
    assert torch.equal(torch.get_rng_state(), before)


def test_file_that_changed_since_it_was_named_is_refused(squeezenet, tmp_path):
    torch.save(squeezenet.build(224).state_dict(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w\.pth has changed"):
        build_from_file(squeezenet, tmp_path / "w.pth", 224, sha256="0" * 64)


def test_misfit_names_the_file(squeezenet, tmp_path):
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w\.pth does not fit SqueezeNet"):
        build_from_file(squeezenet, tmp_path / "w.pth", 224)
