"""A user's own network as an encoder: copied, frozen, identified, and pickled as small as can be."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.base import clone
from torch import nn

import featx
from featx.encoders import GraphEncoder, resolve
from featx.exceptions import ParameterError, UnknownNameError, WeightsError
from tests.networks import TINY, TinyNet, make_tiny, tiny_encoder

SMALL = featx.Preprocess(size=64, fit="squash")


class Wide(nn.Module):
    """A megabyte of weights, two of whose tensors are one, and a buffer that no state dict holds."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Linear(3, 400)
        self.middle = nn.Linear(400, 400)
        self.last = nn.Linear(400, 2)
        for layer in (self.first, self.middle, self.last):
            nn.init.normal_(layer.weight, std=0.1, generator=generator)
            nn.init.zeros_(layer.bias)
        self.again = self.middle
        self.register_buffer("shift", torch.full((3,), 0.5), persistent=False)

    def forward(self, x):
        x = torch.relu(self.first(x.mean((2, 3)) - self.shift))
        return self.last(torch.relu(self.again(self.middle(x))))


@pytest.fixture
def wide():
    return featx.Encoder.from_module(Wide(), preprocess=TINY)


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "mine.pth"
    torch.save(make_tiny(3).state_dict(), path)
    return path


def rows(encoder, crops):
    return featx.ImageEncoder(encoder, cache=False, verbose=0).transform(crops[:4])


def fingerprint(encoder):
    return resolve(encoder)[0].fingerprint()


# --- from_module


def test_embedding_is_the_penultimate_layer(crops):
    encoder, module = tiny_encoder(), make_tiny().eval()
    taken = []
    module.classifier.register_forward_pre_hook(lambda _node, inputs: taken.append(inputs[0]))
    from PIL import Image

    pixels = np.stack([TINY(Image.fromarray(crop)) for crop in crops[:4]])
    with torch.no_grad():
        module((torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - 0.5) / 0.25)
    np.testing.assert_allclose(rows(encoder, crops), taken[0], rtol=1e-4, atol=1e-5)
    assert encoder.dim == 8


def test_training_the_original_further_changes_nothing(crops):
    module = make_tiny()
    encoder = featx.Encoder.from_module(module, preprocess=TINY)
    before, identity = rows(encoder, crops), fingerprint(encoder)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1)
    assert np.array_equal(rows(encoder, crops), before)
    assert fingerprint(encoder) == identity
    assert fingerprint(featx.Encoder.from_module(module, preprocess=TINY)) != identity


def test_the_original_stays_in_training():
    module = make_tiny().train()
    encoder = featx.Encoder.from_module(module, preprocess=TINY)
    assert module.training
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert not any(child.training for child in encoder.module.modules())
    assert not any(parameter.requires_grad for parameter in encoder.module.parameters())


def test_encoding_does_not_change_the_encoders_own_module(crops):
    encoder = tiny_encoder()
    before = copy.deepcopy(encoder.module.state_dict())
    rows(encoder, crops)
    assert isinstance(encoder.module.norm1, nn.BatchNorm2d)
    assert all(torch.equal(value, before[key]) for key, value in encoder.module.state_dict().items())


def test_name_is_the_class_unless_given():
    assert featx.Encoder.from_module(make_tiny(), preprocess=TINY).name == "TinyNet"
    assert repr(tiny_encoder()) == "Encoder('tiny0', dim=8)"


def test_network_without_a_classifier_gives_its_pooled_output(crops):
    encoder = featx.Encoder.from_module(nn.Conv2d(3, 5, 3), preprocess=TINY)
    assert encoder.dim == 5
    assert rows(encoder, crops).shape == (4, 5)


def test_length_of_an_output_that_depends_on_the_size_is_not_promised(crops):
    encoder = featx.Encoder.from_module(nn.Sequential(nn.AvgPool2d(8), nn.Flatten()), preprocess=TINY)
    assert resolve(encoder)[0].dim == 48
    larger = featx.ImageEncoder(encoder, preprocess=SMALL, cache=False, verbose=0)
    assert resolve(encoder, preprocess=SMALL)[0].dim is None
    assert larger.transform(crops[:1]).shape == (1, 192)
    assert len(larger.get_feature_names_out()) == 192


@pytest.mark.parametrize("preprocess", [None, "default", {"size": 32}])
def test_preprocess_must_be_said(preprocess, checkpoint):
    with pytest.raises(ParameterError, match=r"Expected .*featx\.Preprocess"):
        featx.Encoder.from_module(make_tiny(), preprocess=preprocess)
    with pytest.raises(ParameterError, match=r"preprocess"):
        featx.Encoder.from_checkpoint(checkpoint, make_tiny, preprocess=preprocess)


@pytest.mark.parametrize("module", ["resnet50", TinyNet, None, {"weight": torch.zeros(1)}])
def test_what_is_no_module_is_refused(module):
    with pytest.raises(ParameterError, match=r"Expected a torch\.nn\.Module"):
        featx.Encoder.from_module(module, preprocess=TINY)
    with pytest.raises(ParameterError, match=r"Expected a torch\.nn\.Module"):
        featx.Encoder.from_factory(lambda: module, preprocess=TINY)


def test_module_that_cannot_take_the_size_is_refused():
    with pytest.raises(ParameterError, match=r"TinyNet cannot take images of 4 x 4 x 3: .* Give the Preprocess"):
        featx.Encoder.from_module(make_tiny(), preprocess=featx.Preprocess(size=4))


def test_raw_module_is_refused_with_how_to_wrap_it(crops):
    with pytest.raises(ParameterError, match=r"Encoder\.from_module\(module, preprocess="):
        featx.ImageEncoder(make_tiny(), cache=False).transform(crops[:1])


# --- from_factory


def test_factory_gives_what_its_module_gives(crops):
    encoder = featx.Encoder.from_factory(make_tiny, preprocess=TINY)
    assert np.array_equal(rows(encoder, crops), rows(tiny_encoder(), crops))
    assert fingerprint(encoder) == fingerprint(tiny_encoder())


def test_factory_that_hands_out_a_module_in_training_leaves_it_there():
    module = make_tiny().train()
    encoder = featx.Encoder.from_factory(lambda: module, preprocess=TINY)
    assert module.training
    assert module.conv1.weight.requires_grad
    assert encoder.module is not module


def test_factory_at_module_level_pickles_as_its_name(crops):
    encoder = featx.Encoder.from_factory(Wide, preprocess=TINY)
    pickled = pickle.dumps(encoder)
    assert len(pickled) < 2000
    assert np.array_equal(rows(pickle.loads(pickled), crops), rows(encoder, crops))


def test_partial_of_a_factory_pickles_as_its_name():
    encoder = featx.Encoder.from_factory(partial(make_tiny, 4), preprocess=TINY)
    assert len(pickle.dumps(encoder)) < 2000
    assert fingerprint(pickle.loads(pickle.dumps(encoder))) == fingerprint(encoder)


def test_lambda_and_local_function_pickle_with_what_they_returned(crops):
    def local():
        return Wide()

    for factory in (local, lambda: Wide()):
        encoder = featx.Encoder.from_factory(factory, preprocess=TINY)
        pickled = pickle.dumps(encoder)
        assert len(pickled) > 600_000
        assert np.array_equal(rows(pickle.loads(pickled), crops), rows(encoder, crops))


def fickle():
    return TinyNet()


def test_factory_that_gives_other_weights_each_time_is_refused_when_it_is_needed():
    encoder = pickle.loads(pickle.dumps(featx.Encoder.from_factory(fickle, preprocess=TINY)))
    with pytest.raises(WeightsError, match="not those it was made with: made by fickle"):
        _ = encoder.module


# --- from_checkpoint


def test_checkpoint_of_a_registered_architecture(tmp_path, crops):
    network = resolve("resnet18", weights="random:5")[0].build()
    network.fc = nn.Linear(512, 4)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "birds.pth")
    encoder = featx.Encoder.from_checkpoint(tmp_path / "birds.pth", "resnet18", preprocess=SMALL)
    options = {"preprocess": SMALL, "runtime": "torch", "cache": False, "verbose": 0}  # no conversion of either
    named = featx.ImageEncoder("resnet18", weights="random:5", **options)
    assert (encoder.name, encoder.dim) == ("birds", 512)
    np.testing.assert_allclose(
        featx.ImageEncoder(encoder, **options).transform(crops[:4]), named.transform(crops[:4]), rtol=1e-5, atol=1e-6
    )


def test_checkpoint_takes_the_preprocess_of_its_architecture(tmp_path):
    network = resolve("squeezenet1_1", weights="random")[0].build()
    torch.save(network.state_dict(), tmp_path / "mine.pth")
    encoder = featx.Encoder.from_checkpoint(tmp_path / "mine.pth", "squeezenet1_1")
    assert encoder.preprocess == resolve("squeezenet1_1")[0].preprocess
    assert (encoder.classifier, encoder.dim) == ("classifier.1", 512)  # a convolution


def test_checkpoint_of_a_factory(checkpoint, crops):
    encoder = featx.Encoder.from_checkpoint(checkpoint, TinyNet, preprocess=TINY)
    assert np.array_equal(rows(encoder, crops), rows(tiny_encoder(3), crops))


def test_checkpoint_of_a_factory_leaves_the_module_that_it_hands_out_alone(checkpoint):
    module = make_tiny(8)
    featx.Encoder.from_checkpoint(checkpoint, lambda: module, preprocess=TINY)
    assert torch.equal(module.conv1.weight, make_tiny(8).conv1.weight)


def test_checkpoint_pickles_as_its_path(tmp_path, crops):
    torch.save(Wide().state_dict(), tmp_path / "w.pth")
    encoder = featx.Encoder.from_checkpoint(tmp_path / "w.pth", Wide, preprocess=TINY)
    pickled = pickle.dumps(encoder)
    assert len(pickled) < 2000
    assert np.array_equal(rows(pickle.loads(pickled), crops), rows(encoder, crops))


def test_path_is_absolute_and_may_begin_at_home(checkpoint, tmp_path, monkeypatch):
    expected = fingerprint(featx.Encoder.from_checkpoint(checkpoint, TinyNet, preprocess=TINY))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert fingerprint(featx.Encoder.from_checkpoint("~/mine.pth", TinyNet, preprocess=TINY)) == expected
    monkeypatch.chdir(tmp_path)
    pickled = pickle.dumps(featx.Encoder.from_checkpoint("mine.pth", TinyNet, preprocess=TINY))
    monkeypatch.chdir("/")
    assert pickle.loads(pickled).module.conv1.weight.shape == (6, 3, 3, 3)


def test_checkpoint_that_changed_is_refused_by_who_unpickles_it(checkpoint):
    pickled = pickle.dumps(featx.Encoder.from_checkpoint(checkpoint, TinyNet, preprocess=TINY))
    torch.save(make_tiny(4).state_dict(), checkpoint)
    with pytest.raises(WeightsError, match=r"'mine' are not those it was made with: read from .*mine\.pth"):
        _ = pickle.loads(pickled).module


def test_checkpoint_that_is_gone_is_named_by_who_unpickles_it(checkpoint):
    pickled = pickle.dumps(featx.Encoder.from_checkpoint(checkpoint, TinyNet, preprocess=TINY))
    checkpoint.unlink()
    with pytest.raises(WeightsError, match=r"weights file .*mine\.pth does not exist"):
        _ = pickle.loads(pickled).module


def test_unpickled_encoder_needs_no_file_until_a_row_is_missing(checkpoint, crops, tmp_path):
    encoder = featx.Encoder.from_checkpoint(checkpoint, TinyNet, preprocess=TINY)
    transformer = featx.ImageEncoder(encoder, cache=tmp_path / "store", verbose=0)
    expected, pickled = transformer.transform(crops[:4]), pickle.dumps(transformer)
    checkpoint.unlink()
    warm = pickle.loads(pickled)
    assert np.array_equal(warm.transform(crops[:4]), expected)


def test_misfit_unknown_architecture_and_missing_file_are_told_apart(checkpoint, tmp_path):
    with pytest.raises(WeightsError, match=r"mine\.pth does not fit ResNet"):
        featx.Encoder.from_checkpoint(checkpoint, "resnet18")
    with pytest.raises(UnknownNameError, match="resnet18"):
        featx.Encoder.from_checkpoint(checkpoint, "resnet-18")
    with pytest.raises(WeightsError, match=r"weights file .* does not exist"):
        featx.Encoder.from_checkpoint(tmp_path / "none.pth", "resnet18")


# --- save and pickle


def test_unsaved_encoder_pickles_with_its_weights(wide, crops):
    pickled = pickle.dumps(wide)
    assert len(pickled) > 600_000
    assert np.array_equal(rows(pickle.loads(pickled), crops), rows(wide, crops))


def test_saved_encoder_pickles_as_its_path(wide, crops, tmp_path):
    before = rows(wide, crops)
    assert wide.save(tmp_path / "w.safetensors") is wide
    pickled = pickle.dumps(wide)
    again = pickle.loads(pickled)
    assert len(pickled) < 6000
    assert np.array_equal(rows(again, crops), before)
    assert fingerprint(again) == fingerprint(wide)


def test_saved_file_that_changed_is_refused(wide, tmp_path):
    pickled = pickle.dumps(wide.save(tmp_path / "w.safetensors"))
    other = Wide()
    nn.init.ones_(other.last.bias)
    featx.Encoder.from_module(other, preprocess=TINY).save(tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"not those it was made with: saved to .*w\.safetensors"):
        _ = pickle.loads(pickled).module


def test_saved_file_is_a_plain_checkpoint(crops, tmp_path):
    tiny_encoder(2).save(tmp_path / "t.safetensors")
    encoder = featx.Encoder.from_checkpoint(tmp_path / "t.safetensors", TinyNet, preprocess=TINY)
    assert np.array_equal(rows(encoder, crops), rows(tiny_encoder(2), crops))


def test_clones_and_copies_share_the_encoder():
    encoder = tiny_encoder()
    assert clone(encoder) is encoder
    transformer = featx.ImageEncoder(encoder)
    assert clone(transformer).encoder is encoder
    assert fingerprint(copy.deepcopy(encoder)) == fingerprint(encoder)


# --- identity


def test_identity_changes_with_weights_and_version_and_not_with_the_name():
    def encoder(seed=0, **options):
        return featx.Encoder.from_module(make_tiny(seed), preprocess=TINY, **options)

    assert fingerprint(encoder()) == fingerprint(encoder(name="another"))
    assert len({fingerprint(e) for e in (encoder(), encoder(1), encoder(version="2"), encoder(version="3"))}) == 4


def test_identity_changes_with_the_preprocess():
    assert resolve(tiny_encoder(), preprocess="pad")[0].fingerprint() != fingerprint(tiny_encoder())


def test_identity_changes_with_the_source(tmp_path, root):
    code = (
        "import torch, featx\n"
        "class Net(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return {}\n"
        "if __name__ == '__main__':\n"
        "    encoder = featx.Encoder.from_module(Net(), preprocess=featx.Preprocess(size=8))\n"
        "    print(encoder.weights)\n"
    )

    for folder, body in {"one": "x.mean((2, 3))", "same": "x.mean((2, 3))", "other": "x.amax((2, 3))"}.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(code.format(body))
    run_all = (
        "import runpy\nfor folder in ('one', 'same', 'other'): runpy.run_path(folder + '/mine.py', run_name='__main__')"
    )
    one, same, other = printed(["-c", run_all], tmp_path, root).split()
    assert one == same != other


def test_a_checkpoint_of_a_registered_network_may_lie_elsewhere_and_no_other(tmp_path):
    here, there = tmp_path / "here.safetensors", tmp_path / "there.safetensors"
    (spec,) = resolve("squeezenet1_1", weights="random")
    featx.Encoder.from_module(spec.build(), preprocess=SMALL).save(here)
    encoder = featx.Encoder.from_checkpoint(here, "squeezenet1_1")
    here.rename(there)
    moved = encoder.with_file(there)
    assert (encoder.file, moved.file) == (here, there)
    assert fingerprint(moved) == fingerprint(encoder)
    assert torch.equal(moved.module.features[0].weight, encoder.module.features[0].weight)
    assert tiny_encoder().file is None


def test_identity_does_not_change_with_the_process(root):
    code = (
        "from tests.networks import tiny_encoder\nfrom featx.encoders import resolve\n"
        "print(resolve(tiny_encoder())[0].fingerprint())"
    )
    found = {printed(["-c", code], root, root, PYTHONHASHSEED=seed) for seed in ("1", "2")}
    assert found == {fingerprint(tiny_encoder())}


def printed(arguments, folder, root, **environment):
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    process = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    return process.stdout.strip()


# --- its classifier and the length of its embedding


def classifier_and_dim(module, size):
    encoder = featx.Encoder.from_module(module, preprocess=featx.Preprocess(size=size))
    return encoder.classifier, encoder.dim


def test_classifier_is_the_last_linear_layer():
    assert classifier_and_dim(make_tiny(), 32) == ("classifier", 8)


def test_activation_after_the_classifier_is_passed_over():
    network = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 5), nn.Softmax(1))
    assert classifier_and_dim(network, 8) == ("2", 12)


def test_network_that_does_not_end_in_a_linear_layer_has_no_classifier():
    assert classifier_and_dim(nn.Sequential(nn.Conv2d(3, 7, 3), nn.ReLU()), 8) == (None, 7)
    assert classifier_and_dim(nn.Sequential(nn.Flatten(), nn.Linear(192, 5), nn.LayerNorm(5)), 8) == (None, 5)


def test_network_that_is_a_linear_layer_alone_has_no_classifier():
    assert classifier_and_dim(nn.Linear(8, 5), 8) == (None, 3)


def test_order_of_running_counts_and_not_that_of_registration():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first = nn.Linear(6, 2), nn.Linear(192, 6)

        def forward(self, x):
            return self.last(self.first(x.flatten(1)))

    assert classifier_and_dim(Backwards(), 8) == ("last", 6)


def test_module_whose_output_is_no_tensor_is_refused():
    class Talks(nn.Module):
        def forward(self, x):
            return "a cat"

    with pytest.raises(ParameterError, match="gives str"):
        classifier_and_dim(Talks(), 8)


def test_looking_for_the_classifier_leaves_no_hooks_behind():
    assert not any(module._forward_hooks for module in tiny_encoder().module.modules())


# --- how other processes make it again


def same(a: nn.Module, b: nn.Module) -> bool:
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_every_encoder_has_a_frozen_network_here_and_where_it_is_unpickled(checkpoint, tmp_path):
    original = make_tiny(3).train()
    encoders = [
        featx.Encoder.from_module(original, preprocess=TINY),
        featx.Encoder.from_factory(partial(make_tiny, 3), preprocess=TINY),
        featx.Encoder.from_checkpoint(checkpoint, TinyNet, preprocess=TINY),
        featx.Encoder.from_module(original, preprocess=TINY).save(tmp_path / "w.safetensors"),
    ]
    for encoder in encoders:
        for network in (encoder.module, pickle.loads(pickle.dumps(encoder)).module):
            assert same(network, original), encoder
            assert not network.training
            assert not any(parameter.requires_grad for parameter in network.parameters())
    assert original.training
    assert all(parameter.requires_grad for parameter in original.parameters())


def test_checkpoint_of_a_lambda_pickles_with_its_weights(tmp_path):
    torch.save(Wide().state_dict(), tmp_path / "w.pth")
    encoder = featx.Encoder.from_checkpoint(tmp_path / "w.pth", lambda: Wide(), preprocess=TINY)
    pickled = pickle.dumps(encoder)
    (tmp_path / "w.pth").unlink()
    assert len(pickled) > 600_000
    assert same(pickle.loads(pickled).module, encoder.module)


@pytest.mark.parametrize("factory", [None, 3, nn.Linear(2, 2)], ids=["None", "3", "a module"])
def test_what_is_no_function_is_refused(factory, checkpoint):
    with pytest.raises(ParameterError, match=r"function that returns a torch\.nn\.Module"):
        featx.Encoder.from_factory(factory, preprocess=TINY)
    with pytest.raises(ParameterError, match=r"function that returns a torch\.nn\.Module"):
        featx.Encoder.from_checkpoint(checkpoint, factory, preprocess=TINY)


# --- saving


def test_a_saved_registered_network_is_found_by_its_name_and_pickles_small(tmp_path):
    preprocess = featx.Preprocess(size=64)
    (spec,) = resolve("efficientnet_lite0", weights="random", preprocess=preprocess)
    torch.save(spec.build().state_dict(), tmp_path / "w.pth")
    encoder = featx.Encoder.from_checkpoint(tmp_path / "w.pth", "efficientnet_lite0", preprocess=preprocess)
    pickled = pickle.dumps(encoder.save(tmp_path / "w.safetensors"))
    (tmp_path / "w.pth").unlink()
    assert len(pickled) < 2000
    assert same(pickle.loads(pickled).module, encoder.module)


def test_a_saved_file_with_the_weights_of_another_network_is_refused(tmp_path):
    pickled = pickle.dumps(tiny_encoder().save(tmp_path / "w.safetensors"))
    save_file({"other.weight": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"w\.safetensors now holds the weights of another network"):
        _ = pickle.loads(pickled).module


@pytest.mark.parametrize("path", ["w.pth", "w", "nowhere/w.safetensors"])
def test_weights_are_saved_as_safetensors_in_a_folder_that_exists(path, tmp_path):
    with pytest.raises(ParameterError, match=r"ends in \.safetensors, in a folder that exists"):
        tiny_encoder().save(tmp_path / path)
    assert not list(tmp_path.iterdir())


def test_a_saved_file_replaces_an_older_one_whole_and_nothing_is_left_beside_it(tmp_path):
    for seed in (0, 1):
        tiny_encoder(seed).save(tmp_path / "w.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == ["w.safetensors"]
    again = featx.Encoder.from_checkpoint(tmp_path / "w.safetensors", TinyNet, preprocess=TINY)
    assert same(again.module, make_tiny(1))


# --- other processes

SCRIPT = """
import pickle, torch, featx
from joblib import wrap_non_picklable_objects

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3)))

def make():
    torch.manual_seed(0)
    return Net()

preprocess = featx.Preprocess(size=8)
encoders = [
    featx.Encoder.from_module(make(), preprocess=preprocess),
    featx.Encoder.from_factory(make, preprocess=preprocess),
    featx.Encoder.from_factory(lambda: make(), preprocess=preprocess),
]
with open("encoders.pickle", "wb") as file:
    pickle.dump(wrap_non_picklable_objects(encoders, keep_wrapper=False), file)
"""


def test_networks_defined_in_a_script_arrive_in_joblibs_processes(tmp_path, root):
    """Their class travels by value, to where no source of it is found."""
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "script.py"], cwd=tmp_path, env=environment, check=True)
    with torch.random.fork_rng(devices=[]):
        first, *others = [encoder.module for encoder in pickle.loads((tmp_path / "encoders.pickle").read_bytes())]
    assert type(first).__module__ == "__main__"
    assert all(same(first, other) for other in others)


def test_a_module_is_pickled_with_its_tensors_and_says_when_they_changed():
    encoder = pickle.loads(pickle.dumps(featx.Encoder.from_module(make_tiny(), preprocess=TINY)))
    encoder._recipe.module.conv1.weight += 1
    with pytest.raises(WeightsError, match="not those it was made with: pickled with its weights"):
        _ = encoder.module


# --- graphs in files; making one is tested with `quantize_encoder` and `featx.save`


@pytest.fixture
def int8(tiny):
    return graph_of(resolve(tiny)[0], "tiny.graph", "ab" * 32)


def graph_of(spec, file: str, digest: str) -> GraphEncoder:
    return GraphEncoder(Path(file), digest, replace(spec, name=f"{spec.name}-int8", weights=f"int8:{digest}"), 8)


def test_its_identity_is_its_digest_and_not_where_it_lies(int8, tiny):
    (spec,) = resolve(int8)
    moved = int8.with_file(Path("elsewhere.graph"))
    other = graph_of(resolve(tiny)[0], "tiny.graph", "cd" * 32)
    assert spec.graph == Path("tiny.graph")
    assert spec.fingerprint() == resolve(moved)[0].fingerprint()
    assert len({spec.fingerprint(), resolve(other)[0].fingerprint(), resolve(tiny)[0].fingerprint()}) == 3


def test_mean_and_std_are_in_the_graph(int8):
    with pytest.raises(ParameterError, match="they are part of its graph"):
        resolve(int8, preprocess=featx.Preprocess(size=32, mean=(0.1, 0.1, 0.1)))


def test_its_name_says_what_it_is(int8):
    assert repr(int8) == "Encoder('tiny0-int8', dim=8)"


def test_a_graph_of_the_same_numbers_has_the_same_fingerprint(tiny):
    (spec,) = resolve(tiny)
    graph = GraphEncoder(Path("tiny.graph"), "ab" * 32, spec, 8)
    assert resolve(graph)[0].fingerprint() == spec.fingerprint()
    assert resolve(graph)[0].graph_digest == "ab" * 32
