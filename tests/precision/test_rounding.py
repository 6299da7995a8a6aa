"""Weights in int8 are rounded together: their errors cancel on the images that the encoder gets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import featx
from featx.precision import quantize_graph
from featx.precision._rounding import _fold, _Layer, _layers, round_together, round_weights
from featx.runtimes._graphs import convert
from tests.networks import TINY

nncf = pytest.importorskip("nncf", reason="needs pip install 'featx[quantize]'")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class EveryKind(nn.Module):
    """Layers with stride, padding, dilation, groups, without a bias and with one, and a matrix product."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=2, dilation=2, groups=16),
            nn.ReLU(),
            nn.Conv2d(16, 24, (1, 3), padding=(0, 1), groups=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(24 * 16, 12),
        )
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.2, 0.3, generator=generator)
        self.head = nn.Linear(12, 2)

    def forward(self, x):
        return self.head(self.layers(x))


@pytest.fixture(scope="module")
def graph():
    encoder = featx.Encoder.from_module(EveryKind(), preprocess=TINY)
    return convert([encoder.spec(TINY)])


@pytest.fixture(scope="module")
def smooth():
    """Forty images whose neighboring pixels are alike, as in photos."""
    coarse = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), dtype=np.uint8)
    return [image[None].repeat(8, axis=1).repeat(8, axis=2) for image in coarse]


def outputs(graph, feeds):
    import openvino

    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.concatenate([compiled(feed)[0] for feed in feeds])


def relative_l2(got, wanted):
    return np.median(np.linalg.norm(got - wanted, axis=1) / np.linalg.norm(wanted, axis=1))


def test_sums_over_inputs_that_are_alike_change_less_than_with_the_nearest_integers():
    rng = np.random.default_rng(0)
    rows = 1 + 0.2 * rng.standard_normal((500, 2, 150))
    weights = rng.standard_normal((2, 5, 150))
    scale = np.abs(weights).max(axis=2) / 7
    nearest = np.round(weights / scale[:, :, None])
    together = round_weights(weights, scale, rows, -7, 7)
    np.testing.assert_array_equal(together, np.round(together))
    assert np.abs(together).max() <= 7

    def error(integers):
        return np.linalg.norm(np.einsum("ngi,goi->ngo", rows, weights - integers * scale[:, :, None]))

    assert error(together) < 0.25 * error(nearest)


def test_weights_on_the_grid_stay():
    integers = np.random.default_rng(0).integers(-63, 64, (1, 4, 100))
    rows = np.random.default_rng(1).standard_normal((200, 1, 100))
    rounded = round_weights(integers * 0.5, np.full((1, 4), 0.5), rows, -64, 63)
    np.testing.assert_array_equal(rounded, integers)


def test_every_kind_of_layer_gets_the_inputs_that_it_multiplies(graph, smooth):
    import openvino
    from openvino import opset13

    exact = _fold(graph)
    quantized = quantize_graph(nncf, graph, smooth, correct_bias=False)
    wanted = {op.get_friendly_name(): op for op in _layers(exact)}
    rng = np.random.default_rng(0)
    kinds = []
    for op in _layers(quantized):
        original = wanted[op.get_friendly_name()]
        layer = _Layer.read(op, original)
        watched = openvino.Model(
            [opset13.result(layer.source), opset13.result(original.output(0))], exact.get_parameters(), "watched"
        )
        inputs, got = (
            openvino.Core().compile_model(watched, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(smooth[0]).values()
        )
        rows = layer.rows_of(inputs, rng)
        sums = np.einsum("ngi,goi->ngo", rows, layer.weights.reshape(rows.shape[1], -1, rows.shape[2]))
        sums = sums.reshape(len(rows), -1)
        places = np.moveaxis(got, 1, -1).reshape(-1, got.shape[1])
        nearest = np.abs(sums[:, None] - places[None]).max(axis=2).min(axis=1)
        assert nearest.max() < 1e-4 * np.abs(places).max()
        kinds.append(op.get_type_name())
    assert kinds == ["Convolution", "GroupConvolution", "GroupConvolution", "MatMul"]


@pytest.mark.parametrize("bias", [True, False])
def test_the_mean_of_what_a_layer_gives_stays(bias):
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Conv2d(3, 6, 5, stride=5, bias=bias), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    graph = convert([featx.Encoder.from_module(layer, preprocess=TINY).spec(TINY)])
    flat = [np.full((1, 32, 32, 3), 200 + i, np.uint8) for i in range(20)]
    quantized = quantize_graph(nncf, graph, flat, correct_bias=False)
    round_together(quantized, graph, flat)
    for op in quantized.get_ops():  # without what rounds the inputs, only the weights differ
        if op.get_type_name() == "FakeQuantize":
            for reader in op.output(0).get_target_inputs():
                reader.replace_source_output(op.input_value(0))
    error = outputs(quantized, flat) - outputs(graph, flat)
    assert np.abs(error.mean(axis=0)).max() < 1e-4
    assert np.abs(error).max() > 1e-5  # the weights do differ


def test_a_quantized_graph_comes_nearer_to_float32(graph, smooth):
    exact = outputs(graph, smooth)
    quantized = quantize_graph(nncf, graph, smooth, correct_bias=False)
    nearest = relative_l2(outputs(quantized, smooth), exact)
    round_together(quantized, graph, smooth)
    assert relative_l2(outputs(quantized, smooth), exact) < 0.7 * nearest
    np.testing.assert_array_equal(outputs(graph, smooth), exact)  # the graph itself has not changed
