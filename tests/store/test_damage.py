"""A damaged file costs its rows, never a wrong one and never the call."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest

from featx.exceptions import StoreWarning
from featx.store._upkeep import TendedFolder
from tests.store.content import publish_segment, some_keys, some_rows


@pytest.fixture
def folder(tmp_path) -> TendedFolder:
    return TendedFolder(tmp_path)


def three_segments(folder: TendedFolder) -> tuple[np.ndarray, np.ndarray]:
    keys, rows = some_keys(3), some_rows(3)
    for i in range(3):
        publish_segment(folder.path, keys[i : i + 1], rows[i : i + 1], {})
    return keys, rows


def test_every_flipped_byte_gives_right_rows_or_a_warning_never_a_wrong_row_or_an_error(folder):
    keys, rows = some_keys(2), some_rows(2, dim=3)
    path = publish_segment(folder.path, keys, rows, {"seconds": 0.5})
    data = path.read_bytes()
    for i in range(len(data)):
        path.write_bytes(data[:i] + bytes([data[i] ^ (1 + 37 * i % 255)]) + data[i + 1 :])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found, got = TendedFolder(folder.path).get(keys)
        assert got.tobytes() == rows[found].tobytes()
        assert found.all() or [warning.category for warning in caught] == [StoreWarning]


@pytest.mark.filterwarnings("error")
def test_a_warning_that_is_made_an_error_hides_no_sound_segment_from_the_next_look(folder):
    keys, rows = three_segments(folder)
    bad = folder.path / folder.segment_names()[1]
    os.truncate(bad, 100)
    with pytest.raises(StoreWarning):
        folder.get(keys)
    found, got = folder.get(keys)
    assert found.tolist() == [True, False, True]
    np.testing.assert_array_equal(got, rows[found])


def test_a_segment_that_another_holder_moved_aside_first_stops_no_tidying(folder, monkeypatch):
    keys, _ = three_segments(folder)
    bad = folder.path / folder.segment_names()[0]
    os.truncate(bad, 100)
    with pytest.warns(StoreWarning):
        folder.get(keys)
    is_sound = folder._is_sound

    def moved_meanwhile(name):
        sound = is_sound(name)
        bad.unlink()
        return sound

    monkeypatch.setattr(folder, "_is_sound", moved_meanwhile)
    folder.tidy()
    assert not folder._skipped


def test_a_file_cut_short_anywhere_is_skipped_with_a_warning(folder):
    keys, rows = three_segments(folder)
    bad = folder.path / folder.segment_names()[1]
    for length in reversed(range(bad.stat().st_size)):
        os.truncate(bad, length)
        reader = TendedFolder(folder.path)
        with pytest.warns(StoreWarning, match="A damaged segment is skipped"):
            found, got = reader.get(keys)
        assert found.tolist() == [True, False, True]
        np.testing.assert_array_equal(got, rows[found])
