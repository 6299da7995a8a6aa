from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.encoders import EncoderSpec
from featx.exceptions import StoreWarning
from featx.extraction._table import Table
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
        table.add(np.array([0]), np.ones((1, 2), np.float32), (2,))
        table.put(np.array([0]), {})
        table.put(np.array([0]), {})
    assert [warning.category for warning in warned] == [StoreWarning]
    assert "no connection" in str(warned[0].message)
    assert not table.stored
    assert table.gather().tolist() == [[1, 1]]


def test_a_layer_that_is_kept_already_is_not_written_again(store):
    specs = [SPECS[0], replace(SPECS[0], layer="b")]
    one = Table(keys_of([1, 2]), SPECS, store)
    one.add(np.arange(2), np.ones((2, 2), np.float32), (2,))
    one.put(np.arange(2), {})
    both = Table(keys_of([1, 2, 3]), specs, store)
    both.add(np.arange(3), np.ones((3, 4), np.float32), (2, 2))
    both.put(np.arange(3), {})
    both.put(np.arange(3), {})
    assert store.info().set_index("fingerprint")["rows"].to_dict() == {
        specs[0].fingerprint(): 3,
        specs[1].fingerprint(): 3,
    }
