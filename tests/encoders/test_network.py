"""Taps: the right node, pooled to the right vector, whatever the network does next."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import nn

import featx
from featx.encoders import EncoderSpec, build_network, list_encoders, network_size, resolve
from featx.encoders._network import find_node, first_tensor, pool
from featx.exceptions import ParameterError, UnknownNameError
from tests.networks import TINY, Detour, make_tiny

MAP = torch.randn(2, 5, 4, 4, generator=torch.Generator().manual_seed(0))


def spec_of(module, layer="feature", pooling=None, classifier=None, preprocess=TINY):
    return EncoderSpec(
        name="mine",
        architecture="module:mine",
        weights="state:0",
        preprocess=preprocess,
        layer=layer,
        pooling=pooling,
        classifier=classifier,
        build=partial(copy.deepcopy, module),
    )


def noise(n=2, size=32):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (n, size, size, 3), dtype=torch.uint8, generator=generator)


def normalized(pixels, preprocess=TINY):
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (preprocess.mean, preprocess.std))
    return (pixels.permute(0, 3, 1, 2) / 255 - mean) / std


def run(*specs, pixels=None):
    with torch.no_grad():
        return build_network(specs)(noise() if pixels is None else pixels)


# --- taps


def test_feature_is_the_input_of_the_classifier_and_logits_its_output():
    module = make_tiny().eval()
    feature, logits = run(*(spec_of(module, layer, classifier="classifier") for layer in ("feature", "logits")))
    assert feature.shape == (2, 8)
    torch.testing.assert_close(logits, module.classifier(feature))
    torch.testing.assert_close(logits, module(normalized(noise())))


def test_feature_without_a_classifier_is_the_pooled_output():
    (feature,) = run(spec_of(nn.Conv2d(3, 7, 3)))
    assert feature.shape == (2, 7)


def test_node_is_tapped_by_its_name():
    module = make_tiny().eval()
    (tapped,) = run(spec_of(module, "conv1", "avg"))
    torch.testing.assert_close(tapped, module.conv1(normalized(noise())).mean((2, 3)))


@pytest.mark.parametrize("pooling", ["avg", "max", "gem", "flatten"])
def test_activation_in_place_after_the_node_does_not_change_the_tap(pooling):
    convolution, activation = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True)
    (tapped,) = run(spec_of(nn.Sequential(convolution, activation), "0", pooling))
    torch.testing.assert_close(tapped, pool(convolution(normalized(noise())), pooling))


@pytest.mark.parametrize("layer", ["1", "feature"])
def test_activation_in_place_after_a_vector_does_not_change_the_tap(layer):
    module = nn.Sequential(nn.Flatten(), nn.Linear(3072, 5), nn.ReLU(inplace=True), nn.Linear(5, 2))
    (tapped,) = run(spec_of(module, layer, "avg" if layer == "1" else None, classifier="2"))
    torch.testing.assert_close(tapped, module[1](normalized(noise()).flatten(1)))
    assert (tapped < 0).any()


def test_one_pass_serves_several_layers():
    module, calls = make_tiny().eval(), []
    module.conv1.register_forward_hook(lambda *_: calls.append(1))
    layers = ("conv1", "conv2", "feature", "logits")
    together = run(*(spec_of(module, layer, "max", classifier="classifier") for layer in layers))
    assert len(calls) <= 1
    for layer, rows in zip(layers, together, strict=True):
        (alone,) = run(spec_of(module, layer, "max", classifier="classifier"))
        torch.testing.assert_close(rows, alone)


def test_one_node_may_be_pooled_in_two_ways():
    average, largest = run(*(spec_of(make_tiny(), "conv2", pooling) for pooling in ("avg", "max")))
    assert (largest > average).all()


def test_copied_network_has_taps_of_its_own():
    network = build_network([spec_of(make_tiny(), "conv2", "avg")])
    with torch.inference_mode():
        (expected,) = network(noise())
        clone = copy.deepcopy(network)
        nn.init.zeros_(clone.network.conv2.weight)
        (changed,) = clone(noise())
        (again,) = network(noise())
    assert not torch.allclose(changed, expected)
    assert torch.equal(again, expected)


def test_unknown_node_raises_with_its_close_matches():
    with pytest.raises(UnknownNameError, match=r"Unknown layer 'conv_2'. Did you mean 'conv2'.*named_modules"):
        build_network([spec_of(make_tiny(), "conv_2")])
    with pytest.raises(UnknownNameError):
        find_node(make_tiny(), "")


def test_node_that_never_runs_is_named():
    with pytest.raises(ParameterError, match="never reaches layer 'unused'"):
        run(spec_of(Detour(), "unused", "avg"))


def test_output_of_the_last_batch_is_not_kept():
    network = build_network([spec_of(make_tiny(), "conv1", "avg")])
    network(noise())
    assert [tap.output for tap in network.taps] == [None]


def test_mean_and_std_are_the_preprocess_own():
    module = nn.Conv2d(3, 3, 1, bias=False)
    nn.init.dirac_(module.weight)
    preprocess = featx.Preprocess(size=4, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.125))
    white = torch.full((1, 4, 4, 3), 255, dtype=torch.uint8)
    (row,) = run(spec_of(module, preprocess=preprocess), pixels=white)
    torch.testing.assert_close(row, torch.tensor([[0.9 / 0.5, 0.8 / 0.25, 0.7 / 0.125]]))


def test_network_is_frozen_and_in_eval_mode():
    network = build_network([spec_of(make_tiny().train())])
    assert not any(module.training for module in network.network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


# --- real networks


def test_swins_maps_have_their_channels_last():
    specs = resolve("swin_t", weights="random", layers=["features.1", "features.7", "feature"])
    with torch.inference_mode():
        first, last, feature = build_network(specs)(noise(1, 224))
        module = specs[0].build().eval()
        x = module.features[:2](normalized(noise(1, 224), specs[0].preprocess))
    assert x.shape == (1, 56, 56, 96)
    torch.testing.assert_close(first, x.mean((1, 2)), rtol=1e-4, atol=1e-5)
    assert (last.shape, feature.shape) == ((1, 768), (1, 768))


def test_tokens_of_a_vit_are_averaged_and_its_feature_is_the_class_token():
    specs = resolve(
        "vit_b_32", weights="random", layers=["encoder", "feature"], preprocess=featx.Preprocess(size=64, fit="squash")
    )
    with torch.inference_mode():
        average, feature = build_network(specs)(noise(1, 64))
        module = specs[0].build().eval()
        x = normalized(noise(1, 64), specs[0].preprocess)
        tokens = module.encoder(torch.cat([module.class_token, module._process_input(x)], dim=1))
    assert tokens.shape == (1, 5, 768)
    torch.testing.assert_close(average, tokens.mean(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(feature, tokens[:, 0], rtol=1e-4, atol=1e-5)


def test_feature_of_squeezenet_is_its_pooled_map():
    (spec,) = resolve("squeezenet1_1", weights="random", preprocess=featx.Preprocess(size=64))
    (feature,) = run(spec, pixels=noise(1, 64))
    expected = spec.build().eval().features(normalized(noise(1, 64), spec.preprocess)).mean((2, 3))
    torch.testing.assert_close(feature, expected, rtol=1e-4, atol=1e-5)


# --- pooling


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        (None, MAP.mean((2, 3))),
        ("avg", MAP.mean((2, 3))),
        ("max", MAP.amax((2, 3))),
        ("gem", MAP.clamp(min=1e-6).pow(3).mean((2, 3)).pow(1 / 3)),
        ("flatten", MAP.reshape(2, -1)),
    ],
)
def test_map_is_pooled_over_its_places(pooling, expected):
    torch.testing.assert_close(pool(MAP, pooling), expected)
    torch.testing.assert_close(pool(MAP.to(memory_format=torch.channels_last), pooling), expected)


@pytest.mark.parametrize("pooling", ["avg", "max", "gem"])
def test_tokens_and_maps_with_channels_last_are_pooled_like_maps(pooling):
    torch.testing.assert_close(pool(MAP.flatten(2).transpose(1, 2), pooling), pool(MAP, pooling))
    torch.testing.assert_close(pool(MAP.permute(0, 2, 3, 1).contiguous(), pooling), pool(MAP, pooling))


def test_gem_lies_between_the_average_and_the_largest():
    positive = MAP.abs() + 0.1
    average, gem, largest = (pool(positive, pooling) for pooling in ("avg", "gem", "max"))
    assert (average < gem).all()
    assert (gem < largest).all()


@pytest.mark.parametrize("pooling", [None, "avg", "max", "gem", "flatten"])
def test_vector_stays_as_it_is(pooling):
    vector = torch.tensor([[-1.0, 2.0]])
    assert torch.equal(pool(vector, pooling), vector)


@pytest.mark.parametrize("shape", [(2, 3), (2, 4, 3), (2, 3, 4, 4)])
def test_half_precision_is_widened_before_it_is_pooled(shape):
    pooled = pool(torch.full(shape, 300.0, dtype=torch.float16), "gem")
    assert pooled.dtype == torch.float32
    assert torch.isfinite(pooled).all()


@pytest.mark.parametrize(
    "wrap", [lambda t: (t,), lambda t: [t, None], lambda t: {"a": t, "b": None}, lambda t: ((t,),)]
)
def test_first_tensor_of_what_a_node_returns_is_taken(wrap):
    assert first_tensor(wrap(MAP), "node") is MAP


@pytest.mark.parametrize("output", [None, (), {}, "text", torch.zeros(3), torch.zeros(1, 2, 3, 4, 5)])
def test_what_cannot_be_pooled_is_refused_with_the_layer(output):
    with pytest.raises(ParameterError, match="Layer 'node' gives"):
        first_tensor(output, "node")


# --- its size


@pytest.mark.parametrize("name", ["resnet18", "vit_b_16", "swin_t", "mobilenet_v3_small"])
def test_all_parameters_but_the_classifiers_are_counted(name):
    table = list_encoders().drop_duplicates("name").set_index("name")
    (spec,) = resolve(name, weights="random")
    classifier = spec.build().get_submodule(spec.classifier)
    expected = 1e6 * table.loc[name, "parameters"] - sum(value.numel() for value in classifier.parameters())
    assert network_size([spec]).parameters == pytest.approx(expected, rel=1e-3)


def test_an_early_layer_needs_few_of_them():
    early, late = (network_size(resolve("resnet18", weights="random", layers=name)) for name in ("layer1", "layer4"))
    assert early.parameters < late.parameters / 50
    assert early.activations == late.activations  # the largest maps come first


def test_numbers_are_those_of_a_network_that_can_be_counted_by_hand():
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 2)
    )
    encoder = featx.Encoder.from_module(module, preprocess=featx.Preprocess(size=8))
    size = network_size(resolve(encoder))
    assert size.parameters == 3 * 4 * 9 + 4
    assert size.activations == 3 * 8 * 8 + 4 * 8 * 8
