from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import featx
from featx._precompute import precompute
from featx.exceptions import ImageReadError, ImageWarning, ParameterError, UnknownNameError
from featx.extraction import _batches
from tests.networks import tiny_encoder


@pytest.fixture
def decoded(monkeypatch) -> list:
    """What is decoded, source by source."""
    sources, decode = [], _batches._decode

    def noting(source, *arguments):
        sources.append(source)
        return decode(source, *arguments)

    monkeypatch.setattr(_batches, "_decode", noting)
    return sources


def test_what_comes_later_encodes_nothing(tiny, files, store, decoded):
    table = precompute(files, tiny, ["feature", "late", "conv2"], pooling=["avg", "max"], cache=store, verbose=0)
    assert sorted(decoded) == sorted(Path(file).read_bytes() for file in files)
    assert table["layer"].tolist() == ["feature", "late", "late", "conv2", "conv2"]
    assert table["pooling"].tolist() == ["", "avg", "max", "avg", "max"]
    assert table["dim"].tolist() == [8, 6, 6, 8, 8]
    assert (table[["rows", "encoded"]] == 12).all(axis=None)
    assert table["seconds"].nunique() == 1
    decoded.clear()
    for layer, pooling in [(None, None), ("late", "max"), ("norm1", None), ("conv2", "avg")]:
        featx.ImageEncoder(tiny, layers=layer, pooling=pooling, cache=store, verbose=0).transform(files)
    again = precompute(files, tiny, ["feature", "late", "conv2"], pooling=["avg", "max"], cache=store, verbose=0)
    assert not decoded
    assert (again["encoded"] == 0).all()
    assert (again["rows"] == 12).all()


def test_one_more_layer_leaves_the_others(tiny, files, store):
    precompute(files[:8], tiny, "conv1", cache=store, verbose=0)
    table = precompute(files, tiny, ["conv1", "conv2"], cache=store, verbose=0).set_index("layer")
    assert table["encoded"].to_dict() == {"conv1": 4, "conv2": 12}
    info = store.info()
    assert info["rows"].tolist() == info["unique_rows"].tolist() == [12, 12]


def test_each_encoder_has_rows_of_its_own(files, store):
    mine = featx.ImageEncoder(tiny_encoder(1), layers="conv1", cache=False, preprocess="pad")
    table = precompute(files, [tiny_encoder(), mine], cache=store, verbose=0)
    assert table["encoder"].tolist() == ["tiny0", "tiny1"]
    assert table["weights"].tolist() == ["", ""]
    assert table["layer"].tolist() == ["feature"] * 2
    np.testing.assert_array_equal(
        featx.ImageEncoder(tiny_encoder(1), preprocess="pad", cache=store, verbose=0).transform(files),
        featx.ImageEncoder(tiny_encoder(1), preprocess="pad", cache=False, verbose=0).transform(files),
    )


def test_registered_weights_are_called_as_in_the_list_of_encoders(photos, store):
    options = {"cache": store, "preprocess": featx.Preprocess(size=64), "runtime": "torch", "device": "cpu"}
    table = precompute(photos, "efficientnet_lite0", ["early", "last"], **options)
    assert table[["encoder", "weights", "dim"]].to_numpy().tolist() == [
        ["efficientnet_lite0", "IMAGENET1K", 24],
        ["efficientnet_lite0", "IMAGENET1K", 1280],
    ]
    assert set(precompute(photos, weights="random:3", **options)["weights"]) == {"random:3"}


def test_images_that_cannot_be_read_have_no_row(tiny, files, store):
    images = [files[0], "nowhere.jpg", files[0], files[1]]
    with pytest.warns(ImageWarning):
        table = precompute(images, tiny, cache=store, on_error="nan", verbose=0)
    assert table[["rows", "encoded"]].to_numpy().tolist() == [[3, 2]]
    with pytest.raises(ImageReadError):
        precompute(images, tiny, cache=store, verbose=0)


@pytest.mark.parametrize("cache", [False, None])
def test_no_store_is_refused(tiny, files, cache):
    with pytest.raises(ParameterError, match="nothing would be kept"):
        precompute(files, tiny, cache=cache)


def test_a_wrong_name_in_the_last_encoder_encodes_nothing_first(tiny, files, store):
    with pytest.raises(UnknownNameError, match="resnet5"):
        precompute(files, [tiny, "resnet5"], cache=store)
    assert store.info().empty
