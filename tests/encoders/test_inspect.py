"""What a user's module is: its identity changes with what it computes, and with nothing else."""

from __future__ import annotations

import copy
import sys
import types

import pytest
import torch
from torch import nn

from featx.encoders._identity import identify
from featx.encoders._inspect import probe
from featx.exceptions import ParameterError
from tests.networks import TinyNet, make_tiny


def test_equal_modules_have_one_identity():
    assert identify(make_tiny()) == identify(make_tiny()) == identify(copy.deepcopy(make_tiny()))


def test_identity_changes_with_one_bit_of_one_weight():
    network = make_tiny()
    before = identify(network)
    with torch.no_grad():
        network.classifier.bias[0] = torch.nextafter(network.classifier.bias[0], torch.tensor(9.0))
    assert identify(network) != before


def test_identity_changes_with_the_structure():
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()]
    other = [copy.deepcopy(layers[0]), nn.GELU()]
    assert identify(nn.Sequential(*layers)) != identify(nn.Sequential(*other))


class Scaled(nn.Module):
    def __init__(self, factor=2.0, offset=None, persistent=True):
        super().__init__()
        self.factor = factor
        self.register_buffer("offset", torch.zeros(1) if offset is None else offset, persistent=persistent)

    def forward(self, x):
        return (x * self.factor + self.offset).mean((2, 3))


def test_identity_changes_with_a_plain_attribute():
    assert identify(Scaled(2.0)) != identify(Scaled(3.0))


@pytest.mark.parametrize("persistent", [False, True])
def test_identity_changes_with_a_buffer(persistent):
    assert identify(Scaled(persistent=persistent)) != identify(Scaled(offset=torch.ones(1), persistent=persistent))


def test_identity_does_not_change_with_the_mode_or_the_gradient():
    network = make_tiny().train().requires_grad_(True)
    before = identify(network)
    assert identify(network.eval().requires_grad_(False)) == before


class Activated(nn.Module):
    """Its repr shows the address of a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def extra_repr(self):
        return f"function={self.function}"


def test_identity_does_not_change_with_an_address():
    functions = [types.FunctionType((lambda x: x).__code__, {}) for _ in range(2)]
    assert repr(Activated(functions[0])) != repr(Activated(functions[1]))
    assert identify(Activated(functions[0])) == identify(Activated(functions[1]))


def write_module(folder, monkeypatch, base):
    (folder / "mine.py").write_text(
        "import torch\n"
        f"class Base(torch.nn.Module):\n    def forward(self, x):\n        return {base}\n"
        "class Net(Base):\n    pass\n"
    )
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    import mine

    return mine.Net()


def test_identity_changes_with_the_source_of_a_base_class(tmp_path, monkeypatch):
    identities = set()
    for number, base in enumerate(("x * 2", "x * 3", "x * 2")):
        folder = tmp_path / str(number)
        folder.mkdir()
        identities.add(identify(write_module(folder, monkeypatch, base)))
    sys.modules.pop("mine", None)
    assert len(identities) == 2


def at_a_prompt(body):
    names = {"__name__": "prompt"}
    exec(f"import torch\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        {body}", names)
    return names["Net"]()


def test_identity_of_a_class_from_a_prompt_changes_with_its_code():
    bodies = [
        "return x * 2",
        "return x * 3",
        "return x.mean()",
        "return [y * 2 for y in x]",
        "return [y * 3 for y in x]",
    ]
    assert len({identify(at_a_prompt(body)) for body in bodies}) == len(bodies)
    assert len({identify(at_a_prompt(body)) for body in 2 * bodies}) == len(bodies)


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.bool, torch.complex64]
)
def test_tensors_of_every_type_and_shape_count(dtype):
    def module(tensor):
        holder = nn.Module()
        holder.register_buffer("tensor", tensor.to(dtype))
        return holder

    tensors = [torch.tensor(1), torch.tensor(0), torch.zeros(0), torch.zeros(2, 3), torch.zeros(3, 2)]
    assert len({identify(module(tensor)) for tensor in tensors}) == len(tensors)


def test_layout_in_memory_does_not_count():
    network = make_tiny()
    assert identify(network) == identify(make_tiny().to(memory_format=torch.channels_last))


# --- probe


def test_classifier_is_the_last_linear_layer():
    assert probe(make_tiny().eval(), 32) == ("classifier", 8)


def test_activation_after_the_classifier_is_passed_over():
    network = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 5), nn.Softmax(1))
    assert probe(network, 8) == ("2", 12)


def test_network_that_does_not_end_in_a_linear_layer_has_no_classifier():
    assert probe(nn.Sequential(nn.Conv2d(3, 7, 3), nn.ReLU()), 8) == (None, 7)
    assert probe(nn.Sequential(nn.Flatten(), nn.Linear(192, 5), nn.LayerNorm(5)), 8) == (None, 5)


def test_network_that_is_a_linear_layer_alone_has_no_classifier():
    assert probe(nn.Linear(8, 5), 8) == (None, 3)


def test_order_of_running_counts_and_not_that_of_registration():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first = nn.Linear(6, 2), nn.Linear(192, 6)

        def forward(self, x):
            return self.last(self.first(x.flatten(1)))

    assert probe(Backwards(), 8) == ("last", 6)


def test_module_that_cannot_take_the_size_says_what_to_give():
    with pytest.raises(ParameterError, match=r"TinyNet cannot take images of 4 x 4 x 3: .* Give the Preprocess"):
        probe(TinyNet().eval(), 4)


def test_module_whose_output_is_no_tensor_is_refused():
    class Talks(nn.Module):
        def forward(self, x):
            return "a cat"

    with pytest.raises(ParameterError, match="gives str"):
        probe(Talks(), 8)


def test_probe_leaves_no_hooks_behind_even_after_an_error():
    network = TinyNet().eval()
    probe(network, 32)
    with pytest.raises(ParameterError):
        probe(network, 4)
    assert not any(module._forward_hooks for module in network.modules())
