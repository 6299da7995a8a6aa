"""Compaction: fewer files and an index, the same rows."""

from __future__ import annotations

import os

import numpy as np
import pytest

import featx
from featx.exceptions import StoreWarning
from featx.store import _upkeep
from featx.store._index import INDEX_NAME
from featx.store._segment import Segment
from featx.store._upkeep import TendedFolder
from tests.store.content import META, PRINT, publish_segment, some_keys, some_rows

N = 40


@pytest.fixture
def folder(tmp_path) -> TendedFolder:
    return TendedFolder(tmp_path)


@pytest.fixture
def content(folder):
    """Twenty segments of two rows."""
    keys, rows = some_keys(N), some_rows(N)
    for i in range(0, N, 2):
        publish_segment(folder.path, keys[i : i + 2], rows[i : i + 2], {"seconds": 0.5})
    return keys, rows


def index_names(folder: TendedFolder) -> list[str]:
    return [name for name in folder.files.names() if INDEX_NAME.fullmatch(name)]


def holds(folder: TendedFolder, keys: np.ndarray, rows: np.ndarray) -> bool:
    found, got = folder.get(keys)
    return bool(found.all()) and np.array_equal(got, rows)


def flip(path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def flip_row(path, row: int) -> None:
    segment = Segment(path)
    flip(path, segment._layout.starts["rows"] + row * segment.dim * 4)


def test_a_compacted_folder_is_one_segment_and_an_index_with_the_same_rows(folder, content):
    folder.compact()
    assert len(folder.segment_names()) == len(index_names(folder)) == 1
    assert holds(folder, *content)
    assert holds(TendedFolder(folder.path), *content)
    assert Segment(folder.path / folder.segment_names()[0]).seconds == 10


def test_an_index_spares_a_reader_the_keys(folder, content, monkeypatch):
    folder.compact()
    monkeypatch.setattr(Segment, "read_keys", None)
    assert holds(TendedFolder(folder.path), *content)


def test_what_is_written_after_a_compaction_is_found_beside_it(folder, content):
    keys, rows = content
    folder.compact()
    more, more_rows = some_keys(3, seed=1), some_rows(3, seed=1)
    reader = TendedFolder(folder.path)
    assert holds(reader, keys, rows)
    folder.put(more, more_rows, {})
    assert holds(reader, np.concatenate([keys, more]), np.concatenate([rows, more_rows]))
    folder.compact()
    assert len(folder.segment_names()) == len(index_names(folder)) == 1
    assert holds(reader, np.concatenate([more, keys]), np.concatenate([more_rows, rows]))


def test_a_reader_from_before_finds_everything_after(folder, content):
    reader = TendedFolder(folder.path)
    assert holds(reader, *content)
    folder.compact()
    assert holds(reader, *content)


def test_large_segments_stay_as_they_are(folder, content, monkeypatch):
    monkeypatch.setattr(_upkeep, "_FULL_BYTES", 4 * Segment(folder.path / folder.segment_names()[0]).n_bytes)
    folder.compact()
    names = folder.segment_names()
    assert len(names) == 5
    folder.compact()
    assert folder.segment_names() == names
    assert holds(folder, *content)


def test_compacting_keeps_one_copy_of_a_key(folder, content):
    keys, rows = content
    publish_segment(folder.path, keys[:5], rows[:5], {})
    folder.compact()
    assert folder.count() == (N, N, 1)


def test_an_index_that_is_damaged_costs_time_and_is_written_again(folder, content):
    folder.compact()
    (name,) = index_names(folder)
    path = folder.path / name
    flip(path, path.read_bytes().index(np.sort(content[0].view("S16").ravel())[7]) + 3)
    reader = TendedFolder(folder.path)
    with pytest.warns(StoreWarning, match="A damaged index is skipped and the keys of its segments are read"):
        assert holds(reader, *content)
    reader.tidy()
    assert path.with_name(name + ".damaged").exists()
    assert len(index_names(folder)) == 1
    assert holds(TendedFolder(folder.path), *content)


def test_an_index_that_is_damaged_is_not_copied_into_the_next(folder, content, monkeypatch):
    monkeypatch.setattr(_upkeep, "_FULL_BYTES", 4 * Segment(folder.path / folder.segment_names()[0]).n_bytes)
    folder.compact()
    (name,) = index_names(folder)
    path = folder.path / name
    flip(path, path.read_bytes().index(np.sort(content[0].view("S16").ravel())[7]) + 3)
    more, more_rows = some_keys(3, seed=1), some_rows(3, seed=1)
    folder.put(more, more_rows, {})
    with pytest.warns(StoreWarning, match="A damaged index is skipped"):
        assert TendedFolder(folder.path).count()[0] == N + 3
    with pytest.warns(StoreWarning, match="A damaged index is skipped"):
        TendedFolder(folder.path).compact()
    assert holds(TendedFolder(folder.path), np.concatenate([content[0], more]), np.concatenate([content[1], more_rows]))
    assert len(index_names(folder)) == 1


@pytest.mark.parametrize("section", ["checks", "segments", "positions"])
def test_an_entry_that_is_damaged_leads_to_no_wrong_row_and_is_repaired(folder, content, section):
    keys, rows = content
    folder.compact()
    path = folder.path / index_names(folder)[0]
    from featx.store._index import _ARRAYS, FORMATS
    from featx.store._layout import read_layout

    with open(path, "rb") as file:
        starts = read_layout(file, _ARRAYS, FORMATS).starts
    flip(path, starts[section])
    reader = TendedFolder(folder.path)
    if section == "segments":
        found, got = reader.get(keys)  # it names a segment that is none
    else:
        with pytest.warns(StoreWarning):
            found, got = reader.get(keys)
    assert found.sum() == N - 1
    np.testing.assert_array_equal(got, rows[found])
    assert reader.check_index(path.name)
    reader.repair([path.name])
    assert holds(TendedFolder(folder.path), keys, rows)


def test_a_damaged_row_of_a_compacted_folder_costs_that_row(folder, content):
    keys, rows = content
    folder.compact()
    flip_row(folder.path / folder.segment_names()[0], 3)
    reader = TendedFolder(folder.path)
    with pytest.warns(StoreWarning, match="1 rows are not what was written"):
        found, got = reader.get(keys)
    assert np.flatnonzero(~found).tolist() == [3]
    np.testing.assert_array_equal(got, rows[found])
    reader.tidy()
    assert holds(TendedFolder(folder.path), np.delete(keys, 3, axis=0), np.delete(rows, 3, axis=0))
    assert len(index_names(folder)) == 1
    folder.put(keys[3:4], rows[3:4], {})
    assert holds(TendedFolder(folder.path), keys, rows)


def interrupt(names):
    if list(names):
        raise KeyboardInterrupt


def test_segments_that_a_killed_merge_left_behind_are_removed(folder, content, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(folder.files, "remove", interrupt)
        with pytest.raises(KeyboardInterrupt):
            folder.compact()
    assert len(folder.segment_names()) == N // 2 + 1
    assert holds(TendedFolder(folder.path), *content)
    again = TendedFolder(folder.path)
    again.compact()
    assert again.count() == (N, N, 1)
    assert holds(again, *content)


def test_what_a_damaged_merge_left_behind_is_kept(folder, content, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(folder.files, "remove", interrupt)
        with pytest.raises(KeyboardInterrupt):
            folder.compact()
    flip_row(folder.path / folder.segment_names()[-1], 3)
    again = TendedFolder(folder.path)
    with pytest.warns(StoreWarning):
        again.compact()
    assert holds(TendedFolder(folder.path), *content)


def test_an_index_of_a_later_format_is_left_alone(folder, content):
    folder.compact()
    path = folder.path / index_names(folder)[0]
    path.write_bytes(path.read_bytes().replace(b'"format":"1"', b'"format":"7"'))
    reader = TendedFolder(folder.path)
    with pytest.warns(StoreWarning, match="format 7, which a later version of featx wrote. It is left as it is"):
        assert holds(reader, *content)
    reader.compact()
    reader.tidy()
    assert path.exists()


def test_a_segment_of_a_later_format_is_left_alone(folder, content):
    keys, rows = content
    first = folder.path / folder.segment_names()[0]
    later = first.read_bytes().replace(b'"format":"1"', b'"format":"7"')
    first.write_bytes(later)
    with pytest.warns(StoreWarning, match="format 7"):
        found, _ = folder.get(keys)
    assert np.flatnonzero(~found).tolist() == [0, 1]
    folder.tidy()
    folder.compact()
    folder.repair([first.name])
    assert first.read_bytes() == later
    with pytest.warns(StoreWarning):
        assert holds(TendedFolder(folder.path), keys[2:], rows[2:])


def test_many_new_rows_are_indexed_by_the_next_holder_of_the_lock(folder, content, monkeypatch):
    monkeypatch.setattr(_upkeep, "_UNINDEXED_ROWS", N)
    folder.tidy()
    assert len(index_names(folder)) == 1
    assert len(folder.segment_names()) == N // 2
    assert holds(TendedFolder(folder.path), *content)


def test_a_store_compacts_every_encoder(store):
    for fingerprint in (PRINT, "b2" * 32):
        for seed in range(3):
            store.put_many(fingerprint, some_keys(4, seed), some_rows(4, seed=seed), META)
    store.compact()
    assert store.info()[["rows", "segments"]].to_numpy().tolist() == [[12, 1], [12, 1]]
    assert len(featx.EmbeddingStore(store.location).verify()) == 4
    store.clear()
    assert os.listdir(store.location) == []
