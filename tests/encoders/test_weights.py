"""Weights: which files are read and which refused, and how they arrive in a network."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import datetime
import enum
import fractions
import os
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import featx
from featx.encoders import hash_file, published_weights, resolve
from featx.encoders._registry import get_architecture
from featx.encoders._weights import build_skeleton, is_weights_path, load_into, read_state_dict
from featx.exceptions import WeightsError
from tests.networks import TINY, TinyNet, make_tiny


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


class Level(enum.Enum):
    HIGH = 1


@dataclasses.dataclass
class Config:
    learning_rate: float = 0.1
    layers: list = dataclasses.field(default_factory=lambda: [1, 2])


def by_level():
    return collections.defaultdict(list, {Level.HIGH: [np.float64(1.0)]})


BESIDE = {
    "a number of numpy": lambda: np.float64(0.93),
    "a float32 of numpy": lambda: np.float32(0.93),
    "an array": lambda: np.arange(3.0),
    "arguments": lambda: argparse.Namespace(lr=0.1, data=Path("photos"), resume=None),
    "a path": lambda: Path("photos"),
    "a dict with defaults": by_level,
    "a counter": lambda: collections.Counter("abc"),
    "a queue": lambda: collections.deque([1, 2], maxlen=5),
    "a date": lambda: datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC),
    "a set": lambda: {1, 2},
    "an enum": lambda: Level.HIGH,
    "a dataclass": Config,
    "a namespace": lambda: types.SimpleNamespace(config=Config()),
    "a fraction": lambda: fractions.Fraction(1, 3),
    "a random state": lambda: np.random.RandomState(0).get_state(),
    "a class": lambda: nn.Linear,
    "functions": lambda: (np.mean, sorted),
    "a module": lambda: nn.CrossEntropyLoss(),
}


@pytest.mark.parametrize(
    ("kind", "is_zip"),
    # Of classes of networks, the format before torch 1.6 holds the source, which torch refuses.
    [(kind, is_zip) for kind in BESIDE for is_zip in (True, False) if is_zip or kind not in ("a class", "a module")],
)
def test_what_training_scripts_keep_beside_the_weights_is_passed_over(kind, is_zip, state, tmp_path):
    network = make_tiny(1)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.zeros(2, 3, 32, 32)).sum().backward()
    optimizer.step()
    saved = {"epoch": 3, "optimizer": optimizer.state_dict(), "rng": torch.get_rng_state(), "it": BESIDE[kind]()}
    torch.save({**saved, "model": state}, tmp_path / "w.pth", _use_new_zipfile_serialization=is_zip)
    assert same(read_state_dict(tmp_path / "w.pth"), state)


def test_no_class_of_the_file_is_imported_and_none_is_run(state, tmp_path, monkeypatch):
    (tmp_path / "settings_of_a_test.py").write_text(
        "class Settings:\n    def __init__(self): self.lr = 1\n    def __setstate__(self, state): raise SystemExit\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import settings_of_a_test

    torch.save({"cfg": settings_of_a_test.Settings(), "model": state}, tmp_path / "w.pth")
    monkeypatch.delitem(sys.modules, "settings_of_a_test")
    assert same(read_state_dict(tmp_path / "w.pth"), state)
    assert "settings_of_a_test" not in sys.modules


class Calls:
    def __reduce__(self):
        return print, ("it ran",)


def test_no_function_of_the_file_is_called(state, tmp_path, capsys):
    torch.save({"note": Calls(), "model": state}, tmp_path / "w.pth")
    assert same(read_state_dict(tmp_path / "w.pth"), state)
    torch.save({**state, "note": Calls()}, tmp_path / "w.pth")
    with pytest.raises(
        WeightsError, match=r"a dict with tensors and, as 'note', a builtins\.print that is not a state"
    ):
        read_state_dict(tmp_path / "w.pth")
    assert not capsys.readouterr().out


def test_torch_forgets_what_featx_took_for_inert(state, tmp_path):
    before = set(torch.serialization.get_safe_globals())
    torch.save({"args": argparse.Namespace(), "model": state}, tmp_path / "w.pth")
    read_state_dict(tmp_path / "w.pth")
    left = set(torch.serialization.get_safe_globals())
    assert before <= left
    assert all(
        added.__module__.startswith("torch.") for added in left - before
    )  # torch adds its own when it imports more


def test_errors_have_no_escape_codes_and_name_the_function(tmp_path, state):
    torch.save({"model": state, "note": Payload()}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"it holds \w+\.mkdir, which is not safe to load") as caught:
        read_state_dict(tmp_path / "w.pth")
    assert "\x1b" not in str(caught.value)


def test_of_several_state_dicts_one_has_to_be_named(state, tmp_path):
    averaged = make_tiny(2).state_dict()
    torch.save({"model": state, "ema": {"decay": 0.99, "shadow": averaged}}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"2 state dicts: 'model', 'ema\.shadow'\. Say which .*state_dict='model'"):
        read_state_dict(tmp_path / "w.pth")
    with pytest.raises(
        WeightsError, match=r"state_dict='best', which .* does not hold\. Expected one of 'model', 'ema"
    ):
        read_state_dict(tmp_path / "w.pth", "best")
    assert same(read_state_dict(tmp_path / "w.pth", "model"), state)
    encoder = featx.Encoder.from_checkpoint(tmp_path / "w.pth", TinyNet, preprocess=TINY, state_dict="ema.shadow")
    assert same(encoder.module.state_dict(), averaged)
    assert same(pickle.loads(pickle.dumps(encoder)).module.state_dict(), averaged)


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
    with pytest.raises(WeightsError, match=r"weights file .*w\.pth does not exist"):
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
    with pytest.raises(WeightsError, match="not a state dict"):
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


@pytest.mark.parametrize("prefix", ["model.", "net.", "model._orig_mod.", "student.backbone.", "module.model."])
def test_a_network_that_was_a_node_of_a_lightning_module_is_found(prefix, state, tmp_path):
    lightning = {prefix + key: value for key, value in state.items()} | {"criterion.weight": torch.ones(3)}
    saved = {"state_dict": lightning, "hyper_parameters": argparse.Namespace(lr=np.float64(0.1)), "epoch": 1}
    torch.save({**saved, "optimizer_states": [{"state": {0: {"step": torch.ones(1)}}}]}, tmp_path / "w.ckpt")
    assert same(load_into(TinyNet(), read_state_dict(tmp_path / "w.ckpt"), classifier=None).state_dict(), state)


def test_averaged_weights_of_torch_are_loaded(state):
    averaged = torch.optim.swa_utils.AveragedModel(make_tiny(1)).state_dict()
    assert same(load_into(TinyNet(), averaged, classifier=None).state_dict(), state)


def test_of_a_network_that_is_there_twice_one_has_to_be_named(state, tmp_path):
    other = make_tiny(2).state_dict()
    both = {
        f"{who}.{key}": value for who, part in (("student", state), ("teacher", other)) for key, value in part.items()
    }
    torch.save(both, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"2 times: 'student\.', 'teacher\.'.*state_dict='student\.'"):
        load_into(TinyNet(), read_state_dict(tmp_path / "w.pth"), classifier=None)
    assert same(
        load_into(TinyNet(), read_state_dict(tmp_path / "w.pth", "teacher"), classifier=None).state_dict(), other
    )


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


def test_counters_of_batch_normalization_may_be_missing(state):
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


# --- networks with random, published and local weights


def network(weights, name="squeezenet1_1"):
    (spec,) = resolve(name, weights=weights)
    return spec.build()


def test_random_weights_are_the_same_each_time_and_differ_between_seeds():
    assert same(network("random:7").state_dict(), network("random:7").state_dict())
    assert not same(network("random:0").state_dict(), network("random:7").state_dict())


def test_random_weights_are_drawn_whatever_the_state_of_the_caller():
    torch.manual_seed(1)
    first = network("random:7")
    torch.manual_seed(2)
    assert same(first.state_dict(), network("random:7").state_dict())


def test_random_weights_leave_the_random_state_of_the_caller_alone():
    before = torch.get_rng_state()
    network("random:7")
    assert torch.equal(torch.get_rng_state(), before)


def test_random_weights_never_seed_the_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("the GPUs were seeded"))
    network("random:7")


def test_network_is_built_on_the_cpu_whatever_the_default_device():
    with torch.device("meta"):
        built = network("random:7")
    assert {p.device.type for p in built.parameters()} == {"cpu"}


@pytest.mark.parametrize("name", ["squeezenet1_1", "regnet_y_400mf"])
def test_a_skeleton_has_no_memory_even_of_a_network_that_computes_while_it_is_built(name):
    architecture, before = get_architecture(name), torch.get_rng_state()
    skeleton = build_skeleton(architecture.build, 224)
    assert {p.device.type for p in skeleton.parameters()} == {"meta"}
    assert sum(p.numel() for p in skeleton.parameters()) / 1e6 == pytest.approx(architecture.parameters, abs=1e-3)
    assert torch.equal(torch.get_rng_state(), before)


def test_published_weights_are_loaded():
    built = network("default", "efficientnet_lite0")
    state = published_weights("efficientnet_lite0", "default").load()
    assert torch.equal(built.stem.conv.weight, state["_conv_stem.weight"])
    assert torch.equal(built.classifier.bias, state["_fc.bias"])


def test_local_file_is_loaded_and_the_random_state_of_the_caller_stays(tmp_path):
    expected = network("random:3")
    torch.save(expected.state_dict(), tmp_path / "w.pth")
    before = torch.get_rng_state()
    assert same(network(tmp_path / "w.pth").state_dict(), expected.state_dict())
    assert torch.equal(torch.get_rng_state(), before)


def test_misfit_names_the_file(tmp_path):
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w\.pth does not fit SqueezeNet"):
        network(tmp_path / "w.pth")
