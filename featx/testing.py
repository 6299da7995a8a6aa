"""For authors of stores: what a store has to do, as tests to inherit, and a store in memory.

`featx.EmbeddingStore` keeps embeddings in a folder. ``cache=`` takes any other object with the three methods of
`featx.store.Store` as well: one in a database, in a cache server, in the memory of a process. Write the class, then let
pytest hold it to everything that featx relies on, in a file of your own tests:

```python
import pytest
from featx.testing import StoreConformance
from mine import RedisStore

class TestRedisStore(StoreConformance):
    @pytest.fixture
    def store(self):
        return RedisStore("localhost")  # an empty one for each test
```

`MemoryStore` is the shortest store that passes. ``pytest.register_assert_rewrite("featx.testing")`` in ``conftest.py``
lets pytest show the values of what failed.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from featx.store import Store

__all__ = ["MemoryStore", "StoreConformance"]

_PRINT, _OTHER = "a1" * 32, "b2" * 32
_META = {"encoder": {"name": "example"}, "runtime": "torch", "seconds": 0.5}


class MemoryStore:
    """A store in the memory of this process: for tests, and for notebooks that are to leave nothing on a disk.

    Threads may share it, and clones of an encoder do. Another process gets a copy of its own, which it keeps to itself.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.testing import MemoryStore
    >>> store = MemoryStore()
    >>> keys = np.arange(32, dtype="uint8").reshape(2, 16)
    >>> store.put_many("f" * 64, keys[:1], np.ones((1, 4), "float32"), {})
    >>> found, rows = store.get_many("f" * 64, keys)
    >>> found.tolist(), rows.shape
    ([True, False], (1, 4))
    """

    def __init__(self) -> None:
        self._rows: dict[str, dict[bytes, np.ndarray]] = {}
        self._locks: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)

    def __sklearn_clone__(self) -> MemoryStore:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"_rows": self._rows}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]  # a lock belongs to its process
        self.__dict__.update(state)

    def get_many(self, fingerprint: str, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Look up rows; see `featx.store.Store.get_many`."""
        kept = self._rows.get(fingerprint, {})
        rows = [kept.get(key.tobytes()) for key in keys]
        found = np.array([row is not None for row in rows], bool)
        known = [row for row in rows if row is not None]
        return found, np.stack(known) if known else np.empty((0, 0), np.float32)

    def put_many(self, fingerprint: str, keys: np.ndarray, rows: np.ndarray, meta: Mapping[str, Any]) -> None:
        """Keep rows; see `featx.store.Store.put_many`."""
        kept = self._rows.setdefault(fingerprint, {})
        for key, row in zip(keys, np.array(rows, np.float32), strict=True):  # a copy: the caller may change its own
            if not np.isnan(row).any():
                kept[key.tobytes()] = row

    @contextmanager
    def lock(self, fingerprint: str) -> Iterator[None]:
        """Take turns with other threads; see `featx.store.Store.lock`."""
        with self._locks[fingerprint]:
            yield


class StoreConformance:
    """What every store must do; inherit it in a test class that has a fixture ``store``, an empty store for each test.

    Examples
    --------
    ```python
    class TestMine(StoreConformance):
        @pytest.fixture
        def store(self, tmp_path):
            return MyStore(tmp_path)
    ```
    """

    def test_it_has_the_three_methods(self, store):
        assert isinstance(store, Store)

    def test_an_empty_store_finds_nothing(self, store):
        found, rows = store.get_many(_PRINT, _keys([1, 2]))
        assert found.tolist() == [False, False]
        assert len(rows) == 0

    def test_what_was_put_is_found_in_the_order_of_the_keys(self, store):
        store.put_many(_PRINT, _keys([1, 2, 3]), _rows([1, 2, 3]), _META)
        found, rows = store.get_many(_PRINT, _keys([3, 9, 1]))
        assert found.dtype == bool
        assert found.tolist() == [True, False, True]
        assert rows.dtype == np.float32
        np.testing.assert_array_equal(rows, _as_kept(store, _rows([3, 1])))

    def test_a_key_may_be_asked_for_twice(self, store):
        store.put_many(_PRINT, _keys([1]), _rows([1]), _META)
        np.testing.assert_array_equal(store.get_many(_PRINT, _keys([1, 1]))[1], _as_kept(store, _rows([1, 1])))

    def test_no_keys_are_no_rows(self, store):
        store.put_many(_PRINT, _keys([]), _rows([]), _META)
        found, rows = store.get_many(_PRINT, _keys([]))
        assert (len(found), len(rows)) == (0, 0)

    def test_fingerprints_are_kept_apart(self, store):
        store.put_many(_PRINT, _keys([1]), _rows([1]), _META)
        store.put_many(_OTHER, _keys([1]), _rows([7], dim=3), _META)
        np.testing.assert_array_equal(store.get_many(_PRINT, _keys([1]))[1], _as_kept(store, _rows([1])))
        np.testing.assert_array_equal(store.get_many(_OTHER, _keys([1]))[1], _as_kept(store, _rows([7], dim=3)))

    def test_a_key_may_be_put_twice(self, store):
        for _ in range(2):
            store.put_many(_PRINT, _keys([1, 2]), _rows([1, 2]), _META)
        np.testing.assert_array_equal(store.get_many(_PRINT, _keys([2, 1]))[1], _as_kept(store, _rows([2, 1])))

    def test_rows_with_nan_are_never_kept(self, store):
        rows = _rows([1, 2])
        rows[0, 3] = np.nan
        store.put_many(_PRINT, _keys([1, 2]), rows, _META)
        assert store.get_many(_PRINT, _keys([1, 2]))[0].tolist() == [False, True]

    def test_rows_come_back_bit_for_bit(self, store):
        keys, rows = _any_keys(20), np.random.default_rng(0).standard_normal((20, 8), dtype=np.float32)
        store.put_many(_PRINT, keys, rows, _META)
        assert store.get_many(_PRINT, keys)[1].tobytes() == _as_kept(store, rows).tobytes()

    def test_what_is_told_beside_rows_may_be_anything_plain(self, store):
        meta = {"encoder": {"name": "é", "layers": ["a", None]}, "runtime": None, "more": 3}
        store.put_many(_PRINT, _keys([1]), _rows([1]), meta)
        assert store.get_many(_PRINT, _keys([1]))[0].all()

    def test_what_a_caller_does_to_rows_it_got_changes_nothing(self, store):
        store.put_many(_PRINT, _keys([1]), _rows([1]), _META)
        store.get_many(_PRINT, _keys([1]))[1][:] = 0
        np.testing.assert_array_equal(store.get_many(_PRINT, _keys([1]))[1], _as_kept(store, _rows([1])))

    def test_what_a_caller_does_to_rows_it_put_changes_nothing(self, store):
        keys, rows = _keys([1]), _rows([1])
        store.put_many(_PRINT, keys, rows, _META)
        keys[:], rows[:] = 0, 0
        np.testing.assert_array_equal(store.get_many(_PRINT, _keys([1]))[1], _as_kept(store, _rows([1])))

    def test_keys_that_differ_only_in_trailing_zeros_are_different(self, store):
        parts = [b"", b"a", b"a\0a", b"a\0\0a", b"\0a", b"\xff" * 16]
        keys = np.frombuffer(b"".join(part.ljust(16, b"\0") for part in parts), np.uint8).reshape(-1, 16)
        rows = _rows(range(6))
        store.put_many(_PRINT, keys[::2], rows[::2], _META)
        assert store.get_many(_PRINT, keys)[0].tolist() == [True, False] * 3
        store.put_many(_PRINT, keys[1::2], rows[1::2], _META)
        np.testing.assert_array_equal(store.get_many(_PRINT, keys)[1], _as_kept(store, rows))

    def test_an_error_under_the_lock_is_the_callers_and_frees_the_lock(self, store):
        error, caught = KeyError("mine"), None
        try:
            with store.lock(_PRINT):
                raise error
        except KeyError as raised:
            caught = raised
        assert caught is error
        assert caught.__context__ is None
        with store.lock(_PRINT):
            pass

    def test_a_turn_lets_its_holder_read_and_write(self, store):
        with store.lock(_PRINT):
            store.put_many(_PRINT, _keys([1]), _rows([1]), _META)
            assert store.get_many(_PRINT, _keys([1]))[0].all()
        with store.lock(_PRINT):
            pass

    def test_locks_of_two_encoders_may_be_held_together(self, store):
        with store.lock(_PRINT), store.lock(_OTHER):
            store.put_many(_OTHER, _keys([1]), _rows([1]), _META)
        assert store.get_many(_OTHER, _keys([1]))[0].all()

    def test_threads_may_share_it(self, store):
        wrong = []

        def fill(first):
            for n in range(first, first + 10):
                with store.lock(_PRINT):
                    store.put_many(_PRINT, _keys([n]), _rows([n]), _META)
                found, rows = store.get_many(_PRINT, _keys([n, first]))
                if not found.all() or not np.array_equal(rows, _as_kept(store, _rows([n, first]))):
                    wrong.append(n)

        threads = [threading.Thread(target=fill, args=(first,)) for first in (0, 50, 100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = store.get_many(_PRINT, _keys([*range(10), *range(50, 60), *range(100, 110)]))[0]
        assert not wrong
        assert found.all()

    def test_it_behaves_like_a_dictionary(self, store):
        rng = np.random.default_rng(0)
        for trial in range(20):
            fingerprint = f"{trial:032x}"
            known: set[int] = set()
            for _ in range(rng.integers(0, 6)):
                numbers = rng.permutation(31)[: rng.integers(0, 9)]
                store.put_many(fingerprint, _keys(numbers), _rows(numbers), _META)
                known.update(numbers.tolist())
            asked = rng.integers(0, 31, rng.integers(0, 40)).tolist()
            found, rows = store.get_many(fingerprint, _keys(asked))
            assert found.tolist() == [n in known for n in asked]
            assert len(rows) == found.sum()
            if found.any():
                np.testing.assert_array_equal(rows, _as_kept(store, _rows([n for n in asked if n in known])))


def _keys(numbers: Any) -> np.ndarray:
    """Keys that differ in one byte, and end in zeros."""
    keys = np.zeros((len(numbers), 16), np.uint8)
    keys[:, 1] = np.asarray(numbers, np.uint8)
    return keys


def _any_keys(n: int) -> np.ndarray:
    """Keys as digests are: any bytes."""
    return np.random.default_rng(1).integers(0, 256, (n, 16), dtype=np.uint8)


def _rows(numbers: Any, dim: int = 5) -> np.ndarray:
    return np.asarray(numbers, np.float32)[:, None] + np.arange(dim, dtype=np.float32) / 8


def _as_kept(store: Any, rows: np.ndarray) -> np.ndarray:
    """Rows as the store gives them back: as they are, unless it says that it rounds them."""
    return store.round(rows) if hasattr(store, "round") else rows
