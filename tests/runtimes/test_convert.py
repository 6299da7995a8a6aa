"""A converted network gives torch's numbers, or is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import featx
from featx.encoders import resolve
from featx.exceptions import ConversionError
from featx.runtimes import _convert as module
from featx.runtimes._convert import convert
from featx.runtimes._openvino import OpenVinoRuntime
from featx.runtimes._torch import TorchRuntime
from tests.networks import TINY, Unconvertible


class Attention(nn.Module):
    """A small transformer with a class token."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.token = nn.Parameter(torch.zeros(1, 1, 16))
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
        return self.head(self.layer(x)[:, 0])


def noise(spec, n):
    size = spec.preprocess.size
    return np.random.default_rng(1).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def test_a_graph_takes_any_number_of_images(tiny):
    model = convert(resolve(tiny))
    assert [str(port.get_partial_shape()) for port in model.inputs] == ["[?,32,32,3]"]
    assert [str(port.get_partial_shape()) for port in model.outputs] == ["[?,8]"]


def test_several_layers_are_several_outputs_in_their_order(tiny):
    model = convert(resolve(tiny, layers=["conv1", "logits", "feature"]))
    assert [port.get_partial_shape()[1].get_length() for port in model.outputs] == [6, 3, 8]


@pytest.mark.parametrize("way", ["_trace", "_export"])
def test_a_transformer_converts_either_way(way, monkeypatch):
    def refuse(*_):
        raise RuntimeError("not this way")

    monkeypatch.setattr(module, "_export" if way == "_trace" else "_trace", refuse)
    specs = resolve(featx.Encoder.from_module(Attention(), preprocess=TINY))
    batch = noise(specs[0], 5)
    rows, expected = OpenVinoRuntime(specs, 2).run(batch), TorchRuntime(specs, "cpu").run(batch)
    assert rows.shape == (5, 16)
    assert np.linalg.norm(rows - expected) < 1e-5 * np.linalg.norm(expected)


def test_what_the_process_has_set_for_its_own_work_changes_nothing():
    specs = resolve("efficientnet_lite0", preprocess=featx.Preprocess(size=64))
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.device("meta"):
        assert convert(specs).outputs


def test_a_network_that_neither_way_holds_is_refused_with_both_reasons():
    specs = resolve(featx.Encoder.from_module(Unconvertible(), preprocess=TINY, name="odd"))
    with pytest.raises(ConversionError, match=r"'odd' cannot be converted for OpenVINO \(.+; .+\)"):
        convert(specs)


def test_a_graph_with_other_numbers_is_refused(tiny, monkeypatch):
    honest = module._trace

    def wrong(network, example):
        network.mean += 1
        return honest(network, example)

    monkeypatch.setattr(module, "_trace", wrong)
    monkeypatch.setattr(module, "_export", wrong)
    with pytest.raises(ConversionError, match="its numbers differ by"):
        convert(resolve(tiny))
