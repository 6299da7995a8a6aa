from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

import featx
from featx._precompute import embed_layers
from featx.exceptions import ImageReadError, ImageWarning, ParameterError, UnknownNameError
from featx.extraction import _batches
from tests.networks import TINY, TinyNet, make_tiny


class CountingNet(TinyNet):
    """TinyNet that counts the images that go through it."""

    images = 0
    _lock = threading.Lock()

    def forward(self, x):
        with self._lock:
            CountingNet.images += len(x)
        return super().forward(x)


@pytest.fixture
def counting(store) -> featx.ImageEncoder:
    module = CountingNet()
    module.load_state_dict(make_tiny().state_dict())
    encoder = featx.Encoder.from_module(module, preprocess=TINY, version="1")  # it holds a lock
    return featx.ImageEncoder(encoder, cache=store, runtime="torch", device="cpu", verbose=0)


@pytest.fixture
def decoded(monkeypatch) -> list:
    """What is decoded, source by source."""
    sources, decode = [], _batches._decode

    def noting(source, *arguments):
        sources.append(source)
        return decode(source, *arguments)

    monkeypatch.setattr(_batches, "_decode", noting)
    return sources


def passes(call) -> int:
    before = CountingNet.images
    call()
    return CountingNet.images - before


LAYERS = ["feature", "conv1", "conv2", "logits"]


@pytest.mark.parametrize("cache", [True, False])
def test_each_layer_and_pooling_is_what_an_encoder_of_that_layer_gives(tiny, crops, cache):
    encoder = featx.ImageEncoder(tiny, cache=cache, verbose=0)
    rows = embed_layers(crops, encoder, LAYERS, ["avg", "max"])
    assert list(rows) == [
        ("feature", None),
        *[("conv1", "avg"), ("conv1", "max"), ("conv2", "avg"), ("conv2", "max")],
        ("logits", None),
    ]
    for (layer, pooling), got in rows.items():
        alone = featx.ImageEncoder(tiny, layers=layer, pooling=pooling, cache=False, verbose=0).transform(crops)
        np.testing.assert_allclose(got, alone, rtol=1e-5, atol=1e-5)


def test_one_decode_and_one_forward_pass_serve_all_layers(counting, files, decoded):
    embed_layers(files, counting, "conv1")  # making the runtime runs the network too
    decoded.clear()
    encoder = counting.set_params(cache=False)
    embed_layers(files[:1], encoder, LAYERS, ["avg", "gem"])
    decoded.clear()
    assert passes(lambda: embed_layers(files, encoder, LAYERS, ["avg", "gem"])) == len(files)
    assert sorted(decoded) == sorted(Path(file).read_bytes() for file in files)


def test_layers_that_are_known_are_read_and_not_encoded(counting, files, decoded):
    first = embed_layers(files, counting, LAYERS)
    decoded.clear()
    assert passes(lambda: embed_layers(files, counting, LAYERS)) == 0
    for layer in LAYERS:
        alone = embed_layers(files, counting, layer)
        for key, rows in alone.items():
            np.testing.assert_array_equal(rows, first[key])
    assert not decoded


def test_one_more_layer_is_encoded_and_the_others_are_left(counting, files, store, decoded):
    embed_layers(files, counting, ["conv1", "feature"])
    before = store.info().set_index("fingerprint")["rows"]
    decoded.clear()
    embed_layers(files, counting, ["conv1", "feature", "conv2"])
    after = store.info().set_index("fingerprint")["rows"]
    assert after[before.index].tolist() == before.tolist() == [12, 12]
    assert after.tolist() == [12, 12, 12]
    assert len(decoded) == 12


def test_an_image_encoder_brings_its_policies_along_and_not_its_layers(tiny, files, store):
    encoder = featx.ImageEncoder(tiny, layers="conv2", pooling="max", on_error="nan", cache=store, verbose=0)
    with pytest.warns(ImageWarning):
        rows = embed_layers([*files, "nowhere.jpg"], encoder, ["feature", "conv1"])
    assert {key: array.shape for key, array in rows.items()} == {("feature", None): (13, 8), ("conv1", "avg"): (13, 6)}
    assert all(np.isnan(array).all(axis=1).tolist() == [False] * 12 + [True] for array in rows.values())
    assert (encoder.layers, encoder.pooling) == ("conv2", "max")
    with pytest.raises(ImageReadError):
        embed_layers([*files, "nowhere.jpg"], encoder.set_params(on_error="raise"))


def test_no_images_are_no_rows(tiny):
    rows = embed_layers([], tiny, ["feature", "conv1"])
    assert {key: array.shape for key, array in rows.items()} == {("feature", None): (0, 8), ("conv1", "avg"): (0, 6)}


@pytest.mark.parametrize(
    ("layers", "pooling", "error", "message"),
    [
        ("conv_2", "avg", UnknownNameError, "Did you mean 'conv2'"),
        ("conv2", "mean", UnknownNameError, "Unknown pooling 'mean'"),
        ([], "avg", ParameterError, "layers"),
        ("conv2", [], ParameterError, "pooling="),
    ],
)
def test_a_wrong_value_is_quoted_with_what_was_expected(tiny, crops, layers, pooling, error, message):
    with pytest.raises(error, match=message):
        embed_layers(crops[:2], tiny, layers, pooling)
