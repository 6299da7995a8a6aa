"""How a user's network is made again: each recipe in the process that needs it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import featx
from featx.encoders._recipe import FromCheckpoint, FromFactory, FromModule, FromSaved, can_pickle, freeze_copy, save
from featx.encoders._registry import get_architecture
from featx.exceptions import ParameterError, WeightsError
from tests.networks import TINY, TinyNet, make_tiny


def same(a: nn.Module, b: nn.Module) -> bool:
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture
def checkpoint(tmp_path):
    torch.save(make_tiny(3).state_dict(), tmp_path / "w.pth")
    return tmp_path / "w.pth"


def test_a_copy_is_frozen_and_in_eval_mode_and_the_original_is_not():
    original = make_tiny().train()
    copied = freeze_copy(original)
    assert same(copied, original)
    assert not copied.training
    assert not any(parameter.requires_grad for parameter in copied.parameters())
    assert original.training
    assert all(parameter.requires_grad for parameter in original.parameters())


def test_every_recipe_makes_a_frozen_network(checkpoint, tmp_path):
    module = freeze_copy(make_tiny(3))
    recipes = [FromModule(module), FromFactory(lambda: make_tiny(3)), FromCheckpoint(checkpoint, TinyNet, 32)]
    recipes.append(save(module, recipes[0], tmp_path / "w.safetensors"))
    for recipe in recipes:
        network = recipe.build()
        assert same(network, module), recipe
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())


def test_every_recipe_says_where_its_weights_come_from(checkpoint, tmp_path):
    assert str(FromModule(make_tiny())) == "pickled with its weights"
    assert str(FromFactory(make_tiny)) == "made by make_tiny"
    assert str(FromCheckpoint(checkpoint, "resnet18", 32)) == f"read from {checkpoint}"
    assert str(FromSaved(make_tiny(), tmp_path)) == f"saved to {tmp_path}"


def test_what_can_be_found_by_name_can_be_pickled(checkpoint):
    assert can_pickle(FromFactory(make_tiny))
    assert can_pickle(FromCheckpoint(checkpoint, "resnet18", 224))
    assert not can_pickle(FromFactory(lambda: make_tiny()))
    assert not can_pickle(FromCheckpoint(checkpoint, lambda: make_tiny(), 32))


@pytest.mark.parametrize("factory", [None, 3, nn.Linear(2, 2)], ids=["None", "3", "a module"])
def test_what_is_no_function_is_refused(factory, checkpoint):
    for recipe in (FromFactory(factory), FromCheckpoint(checkpoint, factory, 32)):
        with pytest.raises(ParameterError, match=r"function that returns a torch\.nn\.Module"):
            recipe.build()


def test_a_function_that_returns_no_module_is_refused():
    with pytest.raises(ParameterError, match="module=dict"):
        FromFactory(dict).build()


# --- saving


def test_a_saved_registered_network_is_found_by_its_name_and_pickles_small(tmp_path):
    """EfficientNet-Lite's classes are made in a function, so that no pickle finds them."""
    torch.save(get_architecture("efficientnet_lite0").build(64).state_dict(), tmp_path / "w.pth")
    preprocess = featx.Preprocess(size=64)
    encoder = featx.Encoder.from_checkpoint(tmp_path / "w.pth", "efficientnet_lite0", preprocess=preprocess)
    pickled = pickle.dumps(encoder.save(tmp_path / "w.safetensors"))
    (tmp_path / "w.pth").unlink()
    assert len(pickled) < 2000
    assert same(pickle.loads(pickled).module, encoder.module)


def test_a_saved_file_with_the_weights_of_another_network_is_refused(tmp_path):
    recipe = save(make_tiny(), FromModule(make_tiny()), tmp_path / "w.safetensors")
    save_file({"other.weight": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"w\.safetensors now holds the weights of another network"):
        recipe.build()


@pytest.mark.parametrize("path", ["w.pth", "w", "nowhere/w.safetensors"])
def test_weights_are_saved_as_safetensors_in_a_folder_that_exists(path, tmp_path):
    with pytest.raises(ParameterError, match=r"ends in \.safetensors, in a folder that exists"):
        save(make_tiny(), FromModule(make_tiny()), tmp_path / path)
    assert not list(tmp_path.iterdir())


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
