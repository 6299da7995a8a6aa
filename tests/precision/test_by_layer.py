"""Each layer's share of what lower precision costs, emulated on any processor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import featx
from featx._image_encoder import extraction_of
from featx.exceptions import InputError, ParameterError, UnknownNameError
from featx.extraction import decode_some
from featx.runtimes import prepare
from tests.networks import TINY


class Attention(nn.Module):
    """Patches that attend to one another; an attention reads the weights of its parts itself."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.ones(1, 1, 8))
        self.patches = nn.Conv2d(3, 8, 8, stride=8)
        self.norm = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = self.norm(torch.cat([self.token.expand(len(x), -1, -1), x], dim=1))
        return self.head(self.attention(x, x, x, need_weights=False)[0].mean(1))


@pytest.fixture
def attention():
    torch.manual_seed(0)
    return featx.Encoder.from_module(Attention(), preprocess=TINY)


def test_a_layer_is_rounded_with_what_goes_in_and_comes_out(crops, tiny):
    table = featx.precision_by_layer(crops, tiny)
    specs = extraction_of(featx.ImageEncoder(tiny)).specs
    pixels = torch.from_numpy(np.stack(decode_some(specs[0], crops, 8)))

    def half(x):
        return x.bfloat16().float()

    with torch.inference_mode():
        network, _ = prepare(specs)
        (exact,) = network(pixels)
        conv = network.get_submodule("network.conv2")
        conv.weight.data, conv.bias.data = half(conv.weight.data), half(conv.bias.data)
        conv.forward = lambda x, of=conv.forward: half(of(half(x)))
        (rounded,) = network(pixels)
    wanted = np.median(((rounded - exact).norm(dim=1) / exact.norm(dim=1)).numpy())
    assert table.loc["conv2", "relative_l2"] == pytest.approx(wanted, rel=1e-3)
    assert 1e-4 < table.loc["conv2", "relative_l2"] < 0.05


def test_rows_are_sorted_and_the_last_has_nothing_left(crops, tiny):
    table = featx.precision_by_layer(crops, tiny)
    assert table["relative_l2"].is_monotonic_decreasing
    assert set(table.index) == {"conv1", "conv2"}  # the classifier's output is no embedding
    assert table["rest"].iloc[-1] == 0
    assert table["rest"].iloc[0] == table["relative_l2"].iloc[-1]  # of two layers, the other one
    assert table.attrs["all"] > table["relative_l2"].iloc[-1]
    # 32 x 32 pixels, 15 x 15 places of 3 x 3 x 3 x 6, then 7 x 7 of 3 x 3 x 6 x 8
    products = {"conv1": 15 * 15 * 27 * 6, "conv2": 7 * 7 * 54 * 8}
    assert table["multiply_adds"].to_dict() == pytest.approx(
        {name: n / sum(products.values()) for name, n in products.items()}
    )
    assert table.loc["conv2", "parameters"] == 54 * 8 + 8


def test_all_layers_together_are_about_as_far_as_the_precision_itself(crops):
    small = featx.Preprocess(size=64)
    encoder = featx.ImageEncoder("efficientnet_lite0", preprocess=small, runtime="torch", device="cpu", cache=False)
    few = crops[:4]
    table = featx.precision_by_layer(few, encoder)
    exact = encoder.transform(few)
    real = encoder.set_params(precision="bfloat16").transform(few)
    real = np.median(np.linalg.norm(real - exact, axis=1) / np.linalg.norm(exact, axis=1))
    assert real / 2.5 < table.attrs["all"] < 2 * real
    assert table["multiply_adds"].sum() == pytest.approx(1)
    assert len(table) == 49


def test_float16_is_nearer_than_bfloat16_and_int8_has_matrices_only(crops, attention):
    tables = {p: featx.precision_by_layer(crops, attention, p) for p in ("bfloat16", "float16", "int8")}
    assert tables["float16"].attrs["all"] < tables["bfloat16"].attrs["all"] / 3
    assert set(tables["bfloat16"].index) == {"patches", "norm", "attention"}
    assert set(tables["int8"].index) == {"patches", "attention"}
    assert 1e-4 < tables["int8"].attrs["all"] < 0.2
    # 17 tokens, whose three inputs and output are 8 x 8 products each, and 16 patches of 8 x 8 x 3
    shares = tables["int8"]["multiply_adds"]
    assert shares["attention"] / shares["patches"] == pytest.approx(17 * 4 * 64 / (16 * 192 * 8))


def test_the_encoder_itself_does_not_change(crops, tiny):
    encoder = featx.ImageEncoder(tiny, runtime="torch", device="cpu", cache=False)
    before = encoder.transform(crops[:5])
    featx.precision_by_layer(crops, encoder, "int8")
    np.testing.assert_array_equal(encoder.transform(crops[:5]), before)


def test_what_cannot_be_emulated_is_named(crops, tiny):
    with pytest.raises(UnknownNameError, match="Did you mean 'float16'"):
        featx.precision_by_layer(crops, tiny, "float15")
    with pytest.raises(InputError, match="no readable image"):
        featx.precision_by_layer([b"junk"], tiny)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_graph_has_no_layers(crops, tiny):
    pytest.importorskip("nncf", reason="needs pip install 'featx[quantize]'")
    with pytest.raises(ParameterError, match=r"an OpenVINO graph\. Expected an encoder with a torch module"):
        featx.precision_by_layer(crops, featx.quantize_encoder(tiny, crops))
