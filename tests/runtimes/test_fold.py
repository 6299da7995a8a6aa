"""Batch normalization is folded into convolutions where that changes nothing, for good or in each training pass."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from featx.runtimes import folded_while_training
from featx.runtimes._fold import fold_batch_norms


class Single(nn.Module):
    """Returns a tuple, as a network with taps does."""

    def __init__(self, *children: nn.Module):
        super().__init__()
        self.body = nn.Sequential(*children)

    def forward(self, x):
        return (self.body(x),)


def conv(inputs: int, outputs: int, **options) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, **options)


def norm(channels: int, **options) -> nn.BatchNorm2d:
    """A normalization that has been trained: neither statistics nor scale are those of a fresh one."""
    layer = nn.BatchNorm2d(channels, **options)
    for tensor, low, high in ((layer.weight, 0.5, 2), (layer.bias, -1, 1)):
        if tensor is not None:
            nn.init.uniform_(tensor, low, high)
    if layer.running_var is not None:
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.5, 2)
    return layer


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 16, 16)


def prepared(network: nn.Module) -> nn.Module:
    return network.eval().requires_grad_(False)


def norms(network: nn.Module) -> list[str]:
    return [name for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)]


def assert_same(folded: nn.Module, network: nn.Module) -> None:
    other = torch.randn(3, 3, 20, 20)
    for a, b in zip(folded(other), network(other), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "children",
    [
        lambda: [conv(3, 4), norm(4)],
        lambda: [conv(3, 4, bias=False), norm(4), nn.ReLU(inplace=True), conv(4, 8, groups=4), norm(8)],
        lambda: [conv(3, 4), norm(4, affine=False)],
        lambda: [conv(3, 4), norm(4, eps=0.1), nn.ReLU(), conv(4, 6, stride=2, dilation=2), norm(6)],
    ],
    ids=["bias", "no bias, groups", "no scale", "epsilon, dilation"],
)
def test_every_pair_is_folded_and_gives_the_same(children, images):
    network = prepared(Single(*children()))
    folded = fold_batch_norms(network, images)
    assert norms(folded) == []
    assert_same(folded, network)


def test_the_given_network_is_left_as_it_was(images):
    network = prepared(Single(conv(3, 4), norm(4)))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert fold_batch_norms(network, images) is not network
    assert norms(network) == ["body.1"]
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("kept", ["body.0", "body.1"])
def test_a_pair_with_a_tapped_node_is_kept_and_the_others_are_folded(kept, images):
    network = prepared(Single(conv(3, 4), norm(4), nn.ReLU(), conv(4, 4), norm(4)))
    folded = fold_batch_norms(network, images, keep={kept})
    assert norms(folded) == ["body.1"]
    assert_same(folded, network)


def test_a_network_without_pairs_is_returned_itself(images):
    network = prepared(Single(conv(3, 4), nn.ReLU()))
    assert fold_batch_norms(network, images) is network


@pytest.mark.parametrize(
    "children",
    [
        lambda: [norm(3), conv(3, 4)],
        lambda: [conv(3, 4), nn.ReLU(), norm(4)],
        lambda: [conv(3, 4), nn.ReLU(inplace=True), norm(4)],
        lambda: [conv(3, 4), norm(4, track_running_stats=False)],
        lambda: [conv(3, 4), nn.GroupNorm(2, 4)],
    ],
    ids=["before", "activation between", "in-place activation between", "statistics of the batch", "another kind"],
)
def test_what_is_no_pair_is_left_alone(children, images):
    network = prepared(Single(*children()))
    assert fold_batch_norms(network, images) is network


class NormWithActivation(nn.BatchNorm2d):
    def forward(self, x):
        return torch.relu(super().forward(x))


def test_a_normalization_that_does_more_is_kept(images):
    network = prepared(Single(conv(3, 4), norm(4), conv(4, 4), NormWithActivation(4)))
    folded = fold_batch_norms(network, images)
    assert norms(folded) == ["body.3"]
    assert_same(folded, network)


def test_a_convolution_whose_weight_is_computed_is_kept(images):
    computed = nn.utils.parametrizations.weight_norm(conv(3, 4))
    network = prepared(Single(computed, norm(4), conv(4, 4), norm(4)))
    folded = fold_batch_norms(network, images)
    assert norms(folded) == ["body.1"]
    assert_same(folded, network)


def test_a_pair_with_an_in_place_activation_between_is_kept_and_the_others_are_folded(images):
    network = prepared(Single(conv(3, 4), nn.ReLU(inplace=True), norm(4), conv(4, 4), norm(4)))
    folded = fold_batch_norms(network, images)
    assert norms(folded) == ["body.2"]
    assert_same(folded, network)


def test_a_shared_convolution_is_kept_and_the_other_pairs_are_folded(images):
    shared = conv(3, 3)
    network = prepared(Single(shared, norm(3), shared, norm(3), conv(3, 4), norm(4)))
    folded = fold_batch_norms(network, images)
    assert norms(folded) == ["body.1", "body.3"]
    assert_same(folded, network)


def test_a_shared_normalization_is_kept_and_the_other_pairs_are_folded(images):
    shared = norm(3)
    network = prepared(Single(conv(3, 3), shared, conv(3, 3), shared, conv(3, 4), norm(4)))
    folded = fold_batch_norms(network, images)
    assert norms(folded) == ["body.1"]
    assert isinstance(folded.body[3], nn.BatchNorm2d)
    assert_same(folded, network)


class TwoReaders(nn.Module):
    """The convolution's output is also read beside the normalization."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = conv(3, 4), norm(4)

    def forward(self, x):
        y = self.conv(x)
        return (y + self.norm(y),)


class ReadsTheNorm(nn.Module):
    """Asks the normalization for an attribute that its replacement lacks."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = conv(3, 4), norm(4)

    def forward(self, x):
        return (self.norm(self.conv(x)) * self.norm.running_var.view(1, -1, 1, 1),)


@pytest.mark.parametrize("kind", [TwoReaders, ReadsTheNorm])
def test_a_network_that_a_fold_would_change_is_left_alone(kind, images):
    network = prepared(kind())
    assert fold_batch_norms(network, images) is network


def test_the_hooks_that_found_the_pairs_are_gone(images):
    network = prepared(Single(conv(3, 4), norm(4)))
    folded = fold_batch_norms(network, images)
    for module in (*network.modules(), *folded.modules()):
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


# --- in each pass of a training


def gradients(network: nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """What autograd gives for a loss in which no two outputs count alike."""
    network.zero_grad()
    (output,) = network(images)
    (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
    return {name: parameter.grad.clone() for name, parameter in network.named_parameters()}


def block() -> Single:
    return Single(conv(3, 4), norm(4), nn.ReLU(inplace=True), conv(4, 8, bias=False), norm(8), conv(8, 8), nn.ReLU())


def test_folded_layers_are_trained_as_if_they_were_not(images):
    network = block().eval()
    (expected,), wanted = network(images), gradients(network, images)
    ran = []
    with folded_while_training(network, images):
        for layer in network.body:
            layer.register_forward_hook(lambda layer, inputs, output: ran.append(output is inputs[0]))
        torch.testing.assert_close(network(images)[0], expected, rtol=1e-4, atol=1e-5)
        assert [ran[1], ran[4]] == [True, True], "both normalizations pass on what they are given"
        found = gradients(network, images)
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        torch.testing.assert_close(found[name], values, rtol=1e-3, atol=1e-4, msg=name)


def test_a_normalization_that_follows_its_batches_is_not_folded(images):
    network = block().eval()
    batchwise = copy.deepcopy(network).train()
    with folded_while_training(network, images):
        network.train()
        torch.testing.assert_close(network(images)[0], batchwise(images)[0])
    for name, values in batchwise.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], values, msg=name)


def test_after_a_training_the_network_is_as_it_was_but_for_its_weights(images):
    network = block().eval()
    before = {name: set(vars(module)) for name, module in network.named_modules()}
    with pytest.raises(RuntimeError, match="to have 3 channels"), folded_while_training(network, images):
        network(torch.zeros(2, 5, 16, 16))
    for name, module in network.named_modules():
        assert set(vars(module)) == before[name], name
        assert not module._forward_pre_hooks, name
    assert isinstance(network.body[0].weight, nn.Parameter)


def test_a_network_that_a_fold_would_change_is_trained_as_it_is(images):
    network = TwoReaders().eval()
    expected = network(images)[0]
    with folded_while_training(network, images):
        assert torch.equal(network(images)[0], expected)
