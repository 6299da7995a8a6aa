from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.encoders import EncoderSpec
from featx.exceptions import StoreWarning
from featx.extraction import Table, encode_missing, progress_bar
from featx.extraction._table import _next_size
from featx.images import Preprocess

SPECS = [EncoderSpec(name="a", architecture="a", weights="w", preprocess=Preprocess(), dim=2)]


def keys_of(numbers) -> np.ndarray:
    keys = np.zeros((len(numbers), 16), np.uint8)
    keys[:, 0] = numbers  # trailing zeros: numpy's strings must not be taken for shorter ones
    return keys


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_every_row_gets_the_embedding_of_its_content(numbers):
    table = Table(keys_of(numbers), SPECS, None)
    firsts = table.first
    assert sorted({numbers[i] for i in firsts}) == sorted(set(numbers))
    assert firsts.tolist() == sorted(firsts)
    assert table.counts().tolist() == [numbers.count(numbers[i]) for i in firsts]
    rows = np.array([[numbers[i], -numbers[i]] for i in firsts], np.float32)
    table.add(np.arange(len(firsts)), rows, (2,))
    assert table.known.all()
    np.testing.assert_array_equal(table.gather()[:, 0], numbers)
    for image, first in enumerate(firsts):
        assert table.rows_of(image).tolist() == [i for i, n in enumerate(numbers) if n == numbers[first]]


def test_what_the_store_knows_is_known(store):
    card = {"encoder": {"name": "a"}}
    store.put_many(SPECS[0].fingerprint(), keys_of([3, 5]), np.array([[3, 3], [5, 5]], np.float32), card)
    table = Table(keys_of([5, 4, 5, 3]), SPECS, store)
    assert not table.known.any()
    table.look_up()
    assert table.known.tolist() == [True, False, True]
    assert table.dims() == (2,)
    assert np.isnan(table.gather()[1]).all()
    assert table.gather()[[0, 2, 3], 0].tolist() == [5, 5, 3]


@pytest.mark.parametrize("method", ["get_many", "put_many"])
def test_a_store_that_fails_is_given_up_with_one_warning(store, method, monkeypatch):
    def fail(*_arguments):
        raise RuntimeError("no connection")

    monkeypatch.setattr(store, method, fail)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        table = Table(keys_of([1]), SPECS, store)
        table.look_up()
        table.add(np.array([0]), np.ones((1, 2), np.float32), (2,))
        table.put(np.array([0]), {})
        table.put(np.array([0]), {})
    assert [warning.category for warning in warned] == [StoreWarning]
    assert "no connection" in str(warned[0].message)
    assert table.store is None
    assert table.gather().tolist() == [[1, 1]]


def test_a_layer_that_is_kept_already_is_not_written_again(store):
    specs = [SPECS[0], replace(SPECS[0], layer="b")]
    one = Table(keys_of([1, 2]), SPECS, store)
    one.add(np.arange(2), np.ones((2, 2), np.float32), (2,))
    one.put(np.arange(2), {})
    both = Table(keys_of([1, 2, 3]), specs, store)
    both.look_up()
    both.add(np.arange(3), np.ones((3, 4), np.float32), (2, 2))
    both.put(np.arange(3), {})
    both.put(np.arange(3), {})
    assert store.info().set_index("fingerprint")["rows"].to_dict() == {
        specs[0].fingerprint(): 3,
        specs[1].fingerprint(): 3,
    }


def encoder_of(table: Table, seen: list[np.ndarray]):
    def encode(images: np.ndarray) -> int:
        seen.append(images)
        table.add(images, np.ones((len(images), 2), np.float32), (2,))
        table.put(images, {})
        return len(images)

    return encode


def test_a_chunk_is_a_few_seconds_long_at_any_rate():
    sizes = [_next_size(64, rate) for rate in (1, 30, 120, 10**6)]
    assert sizes == [16, 60, 240, 256]
    assert _next_size(16384, 10**6) == 16384


def test_all_that_is_missing_is_encoded_once_and_the_first_chunk_is_short():
    table, seen = Table(keys_of(range(200)), SPECS, None), []
    with progress_bar(200, description="", verbose=0) as bar:
        assert encode_missing(table, encoder_of(table, seen), bar) == 200
    np.testing.assert_array_equal(np.concatenate(seen), np.arange(200))
    assert len(seen[0]) == 64
    assert table.known.all()


def test_what_another_process_stored_meanwhile_is_not_encoded_again(store):
    table = Table(keys_of(range(100)), SPECS, store)
    other = Table(keys_of(range(100)), SPECS, store)
    with progress_bar(100, description="", verbose=0) as bar:
        encoder_of(other, [])(np.arange(30, 100))
        seen = []
        assert encode_missing(table, encoder_of(table, seen), bar) == 30
    np.testing.assert_array_equal(np.concatenate(seen), np.arange(30))


def test_the_check_after_a_chunk_may_end_it_all():
    table, seen = Table(keys_of(range(200)), SPECS, None), []

    def enough() -> None:
        raise ValueError("enough")

    with progress_bar(200, description="", verbose=0) as bar, pytest.raises(ValueError, match="enough"):
        encode_missing(table, encoder_of(table, seen), bar, check=enough)
    assert len(seen) == 1
