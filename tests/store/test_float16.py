"""Rows of half the size: rounded once, the same ever after."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_sample_images
from torch import nn

import featx
from featx.exceptions import StoreWarning, UnknownNameError
from featx.store._segment import Segment
from tests.networks import wrap
from tests.store.content import META, PRINT, make_keys, some_keys, some_rows


@pytest.fixture
def half(tmp_path) -> featx.EmbeddingStore:
    return featx.EmbeddingStore(tmp_path / "store", dtype="float16")


def test_a_first_call_returns_what_later_ones_do(half, tiny, crops):
    exact = featx.ImageEncoder(tiny, cache=False, verbose=0).transform(crops)
    cold = featx.ImageEncoder(tiny, cache=half, verbose=0).transform(crops)
    fresh = featx.EmbeddingStore(half.location, dtype="float16")
    warm = featx.ImageEncoder(tiny, cache=fresh, verbose=0).transform(crops)
    assert cold.dtype == np.float32
    assert cold.tobytes() == warm.tobytes() == exact.astype(np.float16).astype(np.float32).tobytes()
    fresh.compact()
    again = featx.EmbeddingStore(half.location, dtype="float16")
    assert featx.ImageEncoder(tiny, cache=again, verbose=0).transform(crops).tobytes() == cold.tobytes()


def test_a_call_that_finds_half_of_its_rows_returns_what_later_ones_do(half, tiny, crops):
    encoder = featx.ImageEncoder(tiny, cache=half, verbose=0)
    encoder.transform(crops[:20])
    assert encoder.transform(crops).tobytes() == encoder.transform(crops).tobytes()


def test_they_take_half_the_bytes(tmp_path):
    sizes = {}
    for dtype in ("float32", "float16"):
        store = featx.EmbeddingStore(tmp_path / dtype, dtype=dtype)
        store.put_many(PRINT, some_keys(500), some_rows(500, 1280), META)
        sizes[dtype] = store.info()["bytes"][0]
    assert sizes["float16"] / sizes["float32"] == pytest.approx(0.5, abs=0.01)


def test_they_are_kept_apart_from_exact_rows(half):
    exact = featx.EmbeddingStore(half.location)
    keys, rows = some_keys(5), some_rows(5)
    half.put_many(PRINT, keys, rows, META)
    assert not exact.get_many(PRINT, keys)[0].any()
    exact.put_many(PRINT, keys, rows, META)
    assert exact.get_many(PRINT, keys)[1].tobytes() == rows.tobytes()
    assert half.get_many(PRINT, keys)[1].tobytes() == rows.astype(np.float16).astype(np.float32).tobytes()
    info = exact.info()
    assert info["encoder"].tolist() == ["example", "example"]
    assert info["fingerprint"].nunique() == 2


def test_their_card_says_what_they_are_of(half):
    half.put_many(PRINT, some_keys(1), some_rows(1), META)
    (file,) = half.location.glob("*/encoder.json")
    card = json.loads(file.read_text())
    assert (card["name"], card["dtype"], card["of"]) == ("example", "float16", PRINT)
    assert card["fingerprint"].startswith(file.parent.name)
    assert not PRINT.startswith(file.parent.name)


def test_their_segments_are_of_a_format_of_their_own(half, store):
    half.put_many(PRINT, some_keys(1), some_rows(1), META)
    (file,) = half.location.glob("*/*.safetensors")
    assert (Segment(file).metadata["format"], Segment(file).dtype) == ("2", np.float16)
    half.compact()
    (file,) = half.location.glob("*/[0-9a-f]*.safetensors")
    assert (Segment(file).metadata["format"], Segment(file).dtype) == ("2", np.float16)


LARGE = np.array([[1, 2], [3, 70000], [-65520, 4], [65504, 5]], np.float32)


def test_rows_that_have_no_float16_are_not_kept_and_come_back_as_they_are(half):
    keys = make_keys(range(4))
    with pytest.warns(StoreWarning, match="2 embeddings hold numbers beyond 65,504.*Keep them as float32"):
        half.put_many(PRINT, keys, LARGE, META)
    found, rows = half.get_many(PRINT, keys)
    assert found.tolist() == [True, False, False, True]
    np.testing.assert_array_equal(rows, LARGE[found])
    np.testing.assert_array_equal(half.round(LARGE), LARGE)


class Loud(nn.Module):
    """Embeddings in the hundred thousands for bright images, and near one for dark ones."""

    def forward(self, x):
        mean = (x.mean((2, 3)) + 1.01).clamp(min=0)
        return mean**3 * 20_000


def test_embeddings_that_have_no_float16_are_encoded_each_time(half):
    images = [np.full((32, 32, 3), value, np.uint8) for value in (10, 60, 250, 255)]
    exact = featx.ImageEncoder(wrap(Loud()), cache=False, verbose=0).transform(images)
    assert (exact.max(axis=1) > 65504).tolist() == [False, False, True, True]
    encoder = featx.ImageEncoder(wrap(Loud()), cache=half, verbose=0)
    for _ in range(2):
        with pytest.warns(StoreWarning, match="2 embeddings hold numbers beyond 65,504"):
            rows = encoder.transform(images)
        np.testing.assert_array_equal(rows[2:], exact[2:])
        np.testing.assert_array_equal(rows[:2], exact[:2].astype(np.float16))
    assert half.info()["rows"].tolist() == [2]


def test_a_layer_that_has_no_float16_leaves_the_others_rounded(half):
    """Layers are kept apart, so each is rounded on its own: else a first call would differ from the second."""
    from featx.encoders import EncoderSpec
    from featx.extraction import Table
    from featx.images import Preprocess

    specs = [EncoderSpec(name=name, architecture="a", weights=name, preprocess=Preprocess(), dim=2) for name in "ab"]
    tables = []
    for _ in range(2):
        table = Table(some_keys(1), specs, half)
        table.look_up()
        table.add(np.array([0]), np.array([[0.1, 0.2, 0.1, 1e6]], np.float32), (2, 2))
        with pytest.warns(StoreWarning, match="1 embeddings"):
            table.put(np.array([0]), {})
        tables.append(table.gather().tolist())
    assert tables[0] == tables[1]


def test_a_store_is_pickled_with_its_dtype(half):
    assert pickle.loads(pickle.dumps(half)).dtype == "float16"
    assert repr(half).endswith("dtype='float16')")


def test_a_store_that_was_pickled_before_there_was_a_dtype_is_exact(store):
    state = store.__getstate__()
    del state["dtype"]
    old = featx.EmbeddingStore.__new__(featx.EmbeddingStore)
    old.__setstate__(state)
    assert old.dtype == "float32"


@pytest.mark.parametrize("dtype", ["float", "bfloat16", "float61", None])
def test_another_dtype_is_refused(tmp_path, dtype):
    with pytest.raises(UnknownNameError, match="dtype"):
        featx.EmbeddingStore(Path(tmp_path), dtype=dtype)


def test_rounding_moves_an_embedding_of_a_photo_by_almost_nothing(tmp_path):
    photos = [photo[:, x : x + 427] for photo in load_sample_images().images for x in (0, 213)]
    exact = featx.ImageEncoder(cache=False, verbose=0).transform(photos)
    rounded = featx.EmbeddingStore(tmp_path, dtype="float16").round(exact)
    lengths = np.linalg.norm(exact, axis=1) * np.linalg.norm(rounded, axis=1)
    cosine = (exact.astype(np.float64) * rounded).sum(axis=1) / lengths
    assert cosine.min() > 0.999999
