"""What every store must do; a second implementation inherits these tests by naming its fixture ``store``."""

from __future__ import annotations

import uuid

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featx.store import Store

PRINT = "a1" * 32
OTHER = "b2" * 32
META = {"encoder": {"name": "example"}, "runtime": "torch", "seconds": 0.5}


def make_keys(numbers) -> np.ndarray:
    """Keys that differ in one byte, and end in zeros."""
    keys = np.zeros((len(numbers), 16), np.uint8)
    keys[:, 1] = np.asarray(numbers, np.uint8)
    return keys


def make_rows(numbers, dim: int = 5) -> np.ndarray:
    return np.asarray(numbers, np.float32)[:, None] + np.arange(dim, dtype=np.float32) / 8


def some_keys(n: int, seed: int = 0) -> np.ndarray:
    """Keys as digests are: any bytes."""
    return np.random.default_rng(seed).integers(0, 256, (n, 16), dtype=np.uint8)


def some_rows(n: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)


def padded(parts: list[bytes]) -> np.ndarray:
    """Keys that begin with these bytes and end in zeros."""
    return np.frombuffer(b"".join(part.ljust(16, b"\0") for part in parts), np.uint8).reshape(-1, 16)


class StoreConformance:
    def test_it_has_the_three_methods(self, store):
        assert isinstance(store, Store)

    def test_an_empty_store_finds_nothing(self, store):
        found, rows = store.get_many(PRINT, make_keys([1, 2]))
        assert found.tolist() == [False, False]
        assert len(rows) == 0

    def test_what_was_put_is_found_in_the_order_of_the_keys(self, store):
        store.put_many(PRINT, make_keys([1, 2, 3]), make_rows([1, 2, 3]), META)
        found, rows = store.get_many(PRINT, make_keys([3, 9, 1]))
        assert found.tolist() == [True, False, True]
        assert rows.dtype == np.float32
        np.testing.assert_array_equal(rows, make_rows([3, 1]))

    def test_a_key_may_be_asked_for_twice(self, store):
        store.put_many(PRINT, make_keys([1]), make_rows([1]), META)
        np.testing.assert_array_equal(store.get_many(PRINT, make_keys([1, 1]))[1], make_rows([1, 1]))

    def test_no_keys_are_no_rows(self, store):
        store.put_many(PRINT, make_keys([]), make_rows([]), META)
        found, rows = store.get_many(PRINT, make_keys([]))
        assert (len(found), len(rows)) == (0, 0)

    def test_fingerprints_are_kept_apart(self, store):
        store.put_many(PRINT, make_keys([1]), make_rows([1]), META)
        store.put_many(OTHER, make_keys([1]), make_rows([7], dim=3), META)
        np.testing.assert_array_equal(store.get_many(PRINT, make_keys([1]))[1], make_rows([1]))
        np.testing.assert_array_equal(store.get_many(OTHER, make_keys([1]))[1], make_rows([7], dim=3))

    def test_a_key_may_be_put_twice(self, store):
        for _ in range(2):
            store.put_many(PRINT, make_keys([1, 2]), make_rows([1, 2]), META)
        np.testing.assert_array_equal(store.get_many(PRINT, make_keys([2, 1]))[1], make_rows([2, 1]))

    def test_rows_with_nan_are_never_kept(self, store):
        rows = make_rows([1, 2])
        rows[0, 3] = np.nan
        store.put_many(PRINT, make_keys([1, 2]), rows, META)
        assert store.get_many(PRINT, make_keys([1, 2]))[0].tolist() == [False, True]

    def test_rows_come_back_bit_for_bit(self, store):
        keys, rows = some_keys(20), some_rows(20)
        store.put_many(PRINT, keys, rows, META)
        assert store.get_many(PRINT, keys)[1].tobytes() == rows.tobytes()

    def test_what_a_caller_does_to_rows_it_got_changes_nothing(self, store):
        store.put_many(PRINT, make_keys([1]), make_rows([1]), META)
        store.get_many(PRINT, make_keys([1]))[1][:] = 0
        np.testing.assert_array_equal(store.get_many(PRINT, make_keys([1]))[1], make_rows([1]))

    def test_keys_that_differ_only_in_trailing_zeros_are_different(self, store):
        keys = padded([b"", b"a", b"a\0a", b"a\0\0a", b"\0a", b"\xff" * 16])
        store.put_many(PRINT, keys[::2], some_rows(6)[::2], META)
        assert store.get_many(PRINT, keys)[0].tolist() == [True, False] * 3
        store.put_many(PRINT, keys[1::2], some_rows(6)[1::2], META)
        np.testing.assert_array_equal(store.get_many(PRINT, keys)[1], some_rows(6))

    def test_an_error_under_the_lock_is_the_callers_and_frees_the_lock(self, store):
        with pytest.raises(KeyError, match="mine") as caught, store.lock(PRINT):
            raise KeyError("mine")
        assert caught.value.__context__ is None
        with store.lock(PRINT):
            pass

    def test_a_turn_lets_its_holder_read_and_write(self, store):
        with store.lock(PRINT):
            store.put_many(PRINT, make_keys([1]), make_rows([1]), META)
            assert store.get_many(PRINT, make_keys([1]))[0].all()
        with store.lock(PRINT):
            pass

    @settings(
        deadline=None,
        max_examples=20,
        # Every example has a fingerprint of its own, and several classes inherit this.
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(
        puts=st.lists(st.lists(st.integers(0, 30), unique=True, max_size=8), max_size=6),
        asked=st.lists(st.integers(0, 30)),
    )
    def test_it_behaves_like_a_dictionary(self, store, puts, asked):
        fingerprint = uuid.uuid4().hex
        for numbers in puts:
            store.put_many(fingerprint, make_keys(numbers), make_rows(numbers), META)
        known = set().union(*puts)
        found, rows = store.get_many(fingerprint, make_keys(asked))
        assert found.tolist() == [n in known for n in asked]
        assert len(rows) == found.sum()
        if found.any():
            np.testing.assert_array_equal(rows, make_rows([n for n in asked if n in known]))
