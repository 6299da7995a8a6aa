from __future__ import annotations

import numpy as np
import pytest

from featx.extraction import Table, _turns, encode_in_turns, progress_bar
from tests.extraction.test_table import SPECS, keys_of


def encoder_of(table: Table, seen: list[np.ndarray]):
    def encode(images: np.ndarray) -> int:
        seen.append(images)
        table.add(images, np.ones((len(images), 2), np.float32), (2,))
        table.put(images, {})
        return len(images)

    return encode


def test_a_turn_is_a_few_seconds_long_at_any_rate():
    sizes = [_turns._next_chunk(64, rate) for rate in (1, 30, 120, 10**6)]
    assert sizes == [16, 60, 240, 256]
    assert _turns._next_chunk(16384, 10**6) == 16384


def test_all_that_is_missing_is_encoded_once_and_the_first_turn_is_short():
    table, seen = Table(keys_of(range(200)), SPECS, None), []
    with progress_bar(200, description="", verbose=0) as bar:
        assert encode_in_turns(table, encoder_of(table, seen), bar) == 200
    np.testing.assert_array_equal(np.concatenate(seen), np.arange(200))
    assert len(seen[0]) == 64
    assert table.known.all()


def test_what_another_process_stored_meanwhile_is_not_encoded_again(store):
    table, other = (Table(keys_of(range(100)), SPECS, store) for _ in range(2))
    with progress_bar(100, description="", verbose=0) as bar:
        encoder_of(other, [])(np.arange(30, 100))
        seen = []
        assert encode_in_turns(table, encoder_of(table, seen), bar) == 30
    np.testing.assert_array_equal(np.concatenate(seen), np.arange(30))


def test_the_check_after_a_turn_may_end_it_all():
    table, seen = Table(keys_of(range(200)), SPECS, None), []

    def enough() -> None:
        raise ValueError("enough")

    with progress_bar(200, description="", verbose=0) as bar, pytest.raises(ValueError, match="enough"):
        encode_in_turns(table, encoder_of(table, seen), bar, check=enough)
    assert len(seen) == 1
