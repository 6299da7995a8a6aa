from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import featx
from featx._precompute import precompute
from featx.exceptions import (
    ImageReadError,
    ImageWarning,
    InputError,
    ParameterError,
    StoreError,
    StoreWarning,
    UnknownNameError,
)
from featx.extraction import _batches
from tests.networks import Overflowing, tiny_encoder, wrap


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


def test_an_engine_answers_image_by_image(tiny, files, store):
    images = [files[0], "nowhere.jpg", None, files[1], b"garbage", *files]
    table = precompute(images, tiny, ["feature", "conv2"], cache=store, engine=None, verbose=0)
    assert list(table.columns) == ["image", "ok", "error"]
    assert table["image"].tolist() == images
    assert table.index[~table["ok"]].tolist() == [1, 2, 4]
    assert table["error"].tolist()[:4] == ["", "no such file", "missing (None)", ""]
    assert [(row["layer"], row["rows"], row["encoded"]) for row in table.attrs["encoders"]] == [
        ("feature", 14, 12),
        ("conv2", 14, 12),
    ]


def test_however_many_images_are_bad_the_others_are_kept(tiny, files, store):
    table = precompute([*files, *["nowhere.jpg"] * 300], tiny, cache=store, engine=None, verbose=0)
    assert table["ok"].sum() == store.info()["rows"].sum() == 12


def test_an_engine_tells_of_images_without_finite_numbers(files, store):
    network = wrap(Overflowing())
    white = np.full((40, 40, 3), 255, np.uint8)
    table = precompute([files[0], white], network, cache=store, engine=None, runtime="torch", verbose=0)
    assert table["error"].tolist() == ["", "NaN or infinite numbers from the network"]


def test_an_engine_takes_rows_of_several_images(tiny, files, store):
    encoder = featx.ImageEncoder(tiny, combine="concat")
    rows = [files[:2], [files[2], "nowhere.jpg"], files[3]]
    table = precompute(rows, encoder, cache=store, engine=None, verbose=0)
    assert table["error"].tolist() == ["", "image 1: no such file", ""]
    assert store.info()["rows"].tolist() == [4]


def test_an_engine_takes_a_folder_a_frame_and_a_part_of_an_object_store(tiny, files, store):
    remote = pytest.importorskip("fsspec").filesystem("memory")
    folder = Path(files[0]).parent
    for name in ("a.jpg", "deep/b.JPG", "c.txt", ".hidden/d.jpg"):
        remote.pipe_file(f"/bucket/photos/{name}", Path(files[0]).read_bytes())
    remote.pipe_file("/bucket/photos2/e.jpg", b"")
    frame = pd.DataFrame({"photo": files[:3], "price": [1, 2, 3]}, index=[7, 8, 9])
    options = {"cache": store, "engine": None, "verbose": 0}
    assert precompute(folder, tiny, **options)["image"].tolist() == files
    assert precompute(frame, tiny, image="photo", **options).index.tolist() == [7, 8, 9]
    urls = precompute("memory://bucket/photos", tiny, **options)["image"].tolist()
    assert urls == ["memory:///bucket/photos/a.jpg", "memory:///bucket/photos/deep/b.JPG"]
    with pytest.raises(InputError, match="holds no images"):
        precompute("memory://bucket/nothing", tiny, **options)
    with pytest.raises(UnknownNameError, match="photos"):
        precompute(frame, tiny, image="photos", **options)
    with pytest.raises(ParameterError, match="images that have no columns"):
        precompute(files, tiny, image="photo", **options)


def test_an_engine_names_the_cells_of_arrow(tiny, files, store):
    column = pytest.importorskip("pyarrow").array([Path(file).read_bytes() for file in files])
    table = precompute(column, tiny, cache=store, engine=None, verbose=0)
    assert table["ok"].all()
    assert table["image"][0] == f"<{Path(files[0]).stat().st_size:,} bytes>"


def test_an_engine_says_where_embeddings_cannot_be_kept(tiny, files, tmp_path):
    (tmp_path / "store").write_text("a file")
    with pytest.warns(StoreWarning), pytest.raises(StoreError, match="could not be kept"):
        precompute(files, tiny, cache=tmp_path / "store", engine=None, verbose=0)


def test_engines_are_known_by_name_and_what_needs_one_says_so(tiny, files, store):
    with pytest.raises(UnknownNameError, match=r"Unknown engine 'dask'\. Expected one of 'ray'"):
        precompute(files, tiny, cache=store, engine="dask")
    for parameters in ({"image": "photo"}, {"num_gpus": 1}, {"concurrency": 2}):
        with pytest.raises(ParameterError, match="without an engine"):
            precompute(files, tiny, cache=store, **parameters)
