"""A user's own network as an encoder: copied, frozen, identified, and pickled as small as can be."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

import featx
from featx.encoders import resolve
from featx.encoders._registry import get_architecture
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
    with pytest.raises(ParameterError, match="TinyNet cannot take images of 4 x 4"):
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
    with pytest.raises(WeightsError, match="not those it was made with"):
        _ = encoder.module


# --- from_checkpoint


def test_checkpoint_of_a_registered_architecture(tmp_path, crops):
    network = resolve("resnet18", weights="random:5")[0].build()
    network.fc = nn.Linear(512, 4)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "birds.pth")
    encoder = featx.Encoder.from_checkpoint(tmp_path / "birds.pth", "resnet18", preprocess=SMALL)
    named = featx.ImageEncoder("resnet18", weights="random:5", preprocess=SMALL, cache=False, verbose=0)
    assert (encoder.name, encoder.dim) == ("birds", 512)
    np.testing.assert_allclose(rows(encoder, crops), named.transform(crops[:4]), rtol=1e-5, atol=1e-6)


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
    with pytest.raises(WeightsError, match=r"'mine' are not those it was made with: .*mine\.pth"):
        _ = pickle.loads(pickled).module


def test_checkpoint_that_is_gone_is_named_by_who_unpickles_it(checkpoint):
    pickled = pickle.dumps(featx.Encoder.from_checkpoint(checkpoint, TinyNet, preprocess=TINY))
    checkpoint.unlink()
    with pytest.raises(WeightsError, match=r"no weights file .*mine\.pth"):
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
    with pytest.raises(WeightsError, match="no weights file"):
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


def test_other_formats_are_not_saved(wide, tmp_path):
    with pytest.raises(ParameterError, match=r"ends in \.safetensors"):
        wide.save(tmp_path / "w.pth")


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
    script = tmp_path / "mine.py"
    code = (
        "import torch, featx\n"
        "class Net(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return {}\n"
        "if __name__ == '__main__':\n"
        "    encoder = featx.Encoder.from_module(Net(), preprocess=featx.Preprocess(size=8))\n"
        "    print(encoder.weights)\n"
    )

    def identity(body):
        script.write_text(code.format(body))
        return printed(["mine.py"], tmp_path, root)

    assert identity("x.mean((2, 3))") == identity("x.mean((2, 3))") != identity("x.amax((2, 3))")


def test_a_checkpoint_of_a_registered_network_may_lie_elsewhere_and_no_other(tmp_path):
    here, there = tmp_path / "here.safetensors", tmp_path / "there.safetensors"
    featx.Encoder.from_module(get_architecture("squeezenet1_1").build(224), preprocess=SMALL).save(here)
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
