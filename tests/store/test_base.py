from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone

import featx
from featx.testing import MemoryStore, StoreConformance
from tests.store.content import META, PRINT, make_keys, make_rows


class TestMemoryStore(StoreConformance):
    @pytest.fixture
    def store(self):
        return MemoryStore()


class TestEmbeddingStore(StoreConformance):
    """On the fixture of conftest: an EmbeddingStore in a folder of its own."""


class TestEmbeddingStoreOfFloat16(StoreConformance):
    @pytest.fixture
    def store(self, tmp_path):
        return featx.EmbeddingStore(tmp_path / "store", dtype="float16")


class TestCompactedEmbeddingStore(StoreConformance):
    """One that is compacted whenever it was written."""

    @pytest.fixture
    def store(self, tmp_path, monkeypatch):
        put_many = featx.EmbeddingStore.put_many

        def put_and_compact(store, fingerprint, *arguments):
            put_many(store, fingerprint, *arguments)
            store._folder(fingerprint).compact()  # in whatever turn it is

        monkeypatch.setattr(featx.EmbeddingStore, "put_many", put_and_compact)
        return featx.EmbeddingStore(tmp_path / "store")


class ForgetfulStore(MemoryStore):
    """Loses the last row of each write."""

    def put_many(self, fingerprint, keys, rows, meta):
        super().put_many(fingerprint, keys[:-1], rows[:-1], meta)


class SharingStore(MemoryStore):
    """Gives away what it keeps."""

    def get_many(self, fingerprint, keys):
        found, _ = super().get_many(fingerprint, keys)
        kept = [self._rows[fingerprint][key.tobytes()] for key in keys[found]]
        return found, kept[0][None] if len(kept) == 1 else np.array(kept)


@pytest.mark.parametrize("kind", [ForgetfulStore, SharingStore])
def test_a_store_that_is_wrong_does_not_conform(kind):
    suite, failed = StoreConformance(), 0
    for name in dir(StoreConformance):
        if name.startswith("test_"):
            try:
                getattr(suite, name)(kind())
            except (AssertionError, IndexError):
                failed += 1
    assert failed > 0


def test_a_store_in_memory_encodes_each_image_once_for_all_clones(tiny, crops):
    store = MemoryStore()
    encoder = featx.ImageEncoder(tiny, cache=store, verbose=0)
    cold = encoder.fit_transform(crops)
    again = clone(encoder)
    assert again.cache is store
    assert again.transform(crops).tobytes() == cold.tobytes()
    ((kept,),) = [store._rows.values()]
    assert len(kept) == len(crops)


def test_a_store_in_memory_is_pickled_with_its_rows():
    store = MemoryStore()
    store.put_many(PRINT, make_keys([1]), make_rows([1]), META)
    again = pickle.loads(pickle.dumps(store))
    np.testing.assert_array_equal(again.get_many(PRINT, make_keys([1]))[1], make_rows([1]))
    with again.lock(PRINT):
        again.put_many(PRINT, make_keys([2]), make_rows([2]), META)
    assert not store.get_many(PRINT, make_keys([2]))[0].any()
