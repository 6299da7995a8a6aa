"""Weights files: what is read, what is refused, and how it is fitted into a network."""

from __future__ import annotations

import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from featx.encoders._weights import hash_file, is_weights_path, load_into, read_state_dict
from featx.exceptions import WeightsError
from tests.networks import TinyNet, make_tiny


@pytest.fixture
def state():
    return make_tiny(1).state_dict()


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_pth_is_read(state, tmp_path):
    torch.save(state, tmp_path / "w.pth")
    assert same(read_state_dict(tmp_path / "w.pth"), state)


def test_safetensors_is_read(state, tmp_path):
    save_file(state, tmp_path / "w.safetensors")
    assert same(read_state_dict(tmp_path / "w.safetensors"), state)


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state_dict"])
def test_wrapped_state_dict_is_unwrapped(wrapper, state, tmp_path):
    torch.save({wrapper: state, "epoch": 3}, tmp_path / "w.pth")
    assert same(read_state_dict(tmp_path / "w.pth"), state)


class Payload:
    def __reduce__(self):
        return os.mkdir, ("it-ran",)


@pytest.mark.parametrize("save", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing))])
def test_pickle_with_code_in_it_is_refused_and_not_run(save, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save({"conv1.weight": Payload()}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="not a readable weights file"):
        read_state_dict(tmp_path / "w.pth")
    assert not (tmp_path / "it-ran").exists()


def test_whole_pickled_module_is_refused_with_what_to_save(tmp_path):
    torch.save(make_tiny(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"torch\.save\(model\.state_dict\(\), path\)"):
        read_state_dict(tmp_path / "w.pth")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"no weights file .*w\.pth"):
        read_state_dict(tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w\.pth cannot be read: No such file"):
        hash_file(tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello, these are notes", b"\x80\x04rubbish"])
def test_file_that_holds_no_weights_is_refused(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match="not a readable weights file"):
        read_state_dict(tmp_path / name)


@pytest.mark.parametrize("thing", [torch.zeros(3), [torch.zeros(3)], {1: torch.zeros(3)}, {"epoch": 3}])
def test_file_with_other_things_than_named_tensors_is_refused(thing, tmp_path):
    torch.save(thing, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="no state dict"):
        read_state_dict(tmp_path / "w.pth")


def test_digest_follows_the_content_of_the_file(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(b"one")
    assert hash_file(path) == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    path.write_bytes(b"three")
    assert hash_file(path).startswith("8b5b9db0c13db24256c829aa364aa90c6d2eba318b9232a4ab9313b954d3555f"[:16])


@pytest.mark.parametrize("weights", ["w.pth", "w.pt", "w.safetensors", "folder/w", "folder\\w"])
def test_paths_are_told_from_names(weights):
    assert is_weights_path(weights)
    assert not is_weights_path("IMAGENET1K_V1")


def test_weights_arrive_in_the_network(state):
    network = load_into(TinyNet(), state, classifier=None)
    assert same(network.state_dict(), state)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_prefixes_of_wrapping_modules_are_dropped(prefix, state):
    network = load_into(TinyNet(), {prefix + key: value for key, value in state.items()}, classifier=None)
    assert same(network.state_dict(), state)


def test_network_with_a_node_named_module_keeps_its_prefix():
    class Wrapper(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.module = torch.nn.Linear(2, 2)

    state = Wrapper().state_dict()
    assert same(load_into(Wrapper(), state, classifier=None).state_dict(), state)
    parallel = {f"module.{key}": value for key, value in state.items()}
    assert list(parallel) == ["module.module.weight", "module.module.bias"]
    assert same(load_into(Wrapper(), parallel, classifier=None).state_dict(), state)


def test_classifier_may_have_another_number_of_classes():
    state = TinyNet(classes=7).state_dict()
    network = load_into(TinyNet(classes=3), state, classifier="classifier")
    assert network.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 7)
    assert same(network.state_dict(), state)


def test_convolution_as_classifier_may_have_another_number_of_classes():
    from torchvision.models import squeezenet1_1

    network = load_into(squeezenet1_1(), squeezenet1_1(num_classes=5).state_dict(), classifier="classifier.1")
    assert network.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 5)


def test_resizing_the_classifier_leaves_the_random_state_alone():
    state, network = TinyNet(classes=7).state_dict(), TinyNet()
    before = torch.get_rng_state()
    load_into(network, state, classifier="classifier")
    assert torch.equal(torch.get_rng_state(), before)


def test_counters_of_batch_normalisation_may_be_missing(state):
    del state["norm1.num_batches_tracked"]
    load_into(TinyNet(), state, classifier=None)


def test_plain_dict_of_a_network_whose_nodes_have_versions_is_loaded():
    from torchvision.models import mnasnet0_5

    state = dict(mnasnet0_5().state_dict())  # as .safetensors gives it: without the versions that MNASNet asks for
    assert same(load_into(mnasnet0_5(), state, classifier="classifier.1").state_dict(), state)


def test_misfit_names_the_tensors(state):
    del state["conv2.bias"]
    state["extra.weight"] = torch.zeros(2)
    state["conv1.weight"] = torch.zeros(6, 3, 5, 5)
    with pytest.raises(WeightsError) as caught:
        load_into(TinyNet(), state, classifier="classifier", origin="w.pth")
    message = str(caught.value)
    assert "w.pth does not fit TinyNet" in message
    assert "1 missing (conv2.bias)" in message
    assert "1 left over (extra.weight)" in message
    assert "1 of another shape (conv1.weight)" in message


def test_misfit_leaves_the_network_as_it_was(state):
    network = make_tiny(5)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    del state["conv2.bias"]
    with pytest.raises(WeightsError):
        load_into(network, state, classifier=None)
    assert same(network.state_dict(), before)


def test_classifier_that_takes_another_feature_does_not_fit(state):
    state["classifier.weight"] = torch.zeros(3, 9)
    with pytest.raises(WeightsError, match=r"another shape \(classifier.weight\)"):
        load_into(TinyNet(), state, classifier="classifier")


def test_half_precision_weights_are_widened(state):
    half = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    network = load_into(TinyNet(), half, classifier=None)
    assert network.conv1.weight.dtype == torch.float32
    assert torch.equal(network.conv1.weight, state["conv1.weight"].half().float())
