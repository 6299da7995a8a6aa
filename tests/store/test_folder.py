from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from featx.exceptions import ParameterError, StoreWarning
from featx.store import _folder
from featx.store._segment import Segment
from featx.store._upkeep import TendedFolder
from tests.store.content import publish_segment, some_keys, some_rows

N = 70  # more segments than may stay small


@pytest.fixture
def folder(tmp_path) -> TendedFolder:
    return TendedFolder(tmp_path)


def fill(folder: TendedFolder, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    """As many segments of one row each."""
    keys, rows = some_keys(n), some_rows(n)
    for i in range(n):
        folder.put(keys[i : i + 1], rows[i : i + 1], {"seconds": 0.5, "runtime": "torch"})
    return keys, rows


def flip(path: Path, row: int) -> None:
    """Change one byte of a row."""
    segment = Segment(path)
    data = bytearray(path.read_bytes())
    data[segment._layout.starts["rows"] + row * segment.dim * 4] ^= 1
    path.write_bytes(data)


def holds(folder: TendedFolder, keys: np.ndarray, rows: np.ndarray) -> bool:
    found, got = folder.get(keys)
    return bool(found.all()) and np.array_equal(got, rows)


def test_a_folder_that_does_not_exist_holds_nothing(tmp_path):
    found, rows = TendedFolder(tmp_path / "none").get(some_keys(2))
    assert not found.any()
    assert rows.shape == (0, 0)


def test_what_another_writer_publishes_is_found_at_the_next_look(folder):
    keys, rows = some_keys(4), some_rows(4)
    assert not folder.get(keys)[0].any()
    TendedFolder(folder.path).put(keys[:2], rows[:2], {})
    assert folder.get(keys)[0].tolist() == [True, True, False, False]
    TendedFolder(folder.path).put(keys[2:], rows[2:], {})
    assert holds(folder, keys, rows)


def test_rows_of_another_length_are_refused(folder):
    keys, _ = fill(folder, 1)
    folder.get(keys)
    with pytest.raises(ParameterError, match=r"Got rows of 7 numbers. Expected 8"):
        folder.put(some_keys(1), some_rows(1, dim=7), {})


def test_a_damaged_row_is_skipped_with_one_warning_and_its_neighbours_are_not(folder):
    keys, rows = some_keys(3), some_rows(3)
    flip(publish_segment(folder.path, keys, rows, {}), 1)
    with pytest.warns(StoreWarning, match=r"1 rows are not what was written") as caught:
        found, got = folder.get(keys)
    assert len(caught) == 1
    assert found.tolist() == [True, False, True]
    np.testing.assert_array_equal(got, rows[[0, 2]])
    assert folder.get(keys)[0].tolist() == [True, False, True]  # and no second warning


def test_a_second_copy_of_a_damaged_row_is_found(folder):
    keys, rows = some_keys(3), some_rows(3)
    flip(publish_segment(folder.path, keys, rows, {}), 1)
    publish_segment(folder.path, keys, rows, {})
    with pytest.warns(StoreWarning):
        assert holds(folder, keys, rows)


def test_readers_move_nothing_and_the_holder_of_the_turn_moves_damage_aside(folder):
    keys, rows = some_keys(3), some_rows(3)
    path = publish_segment(folder.path, keys, rows, {"seconds": 2})
    flip(path, 1)
    with pytest.warns(StoreWarning):
        folder.get(keys)
    assert path.exists()
    folder.tidy()
    assert not path.exists()
    assert path.with_name(path.name + ".damaged").exists()
    found, got = folder.get(keys)
    assert found.tolist() == [True, False, True]  # its sound rows were written anew
    np.testing.assert_array_equal(got, rows[[0, 2]])
    folder.put(keys[1:2], rows[1:2], {})
    assert holds(folder, keys, rows)
    assert holds(TendedFolder(folder.path), keys, rows)


def test_what_cannot_be_opened_is_moved_aside_as_a_whole(folder):
    keys, rows = fill(folder, 2)
    bad = folder.path / folder.segment_names()[0]
    bad.write_bytes(bad.read_bytes()[:100])
    with pytest.warns(StoreWarning, match="header is damaged"):
        assert folder.get(keys)[0].tolist() == [False, True]
    folder.tidy()
    assert sorted(os.listdir(folder.path)) == [bad.name + ".damaged", *folder.segment_names()]
    np.testing.assert_array_equal(folder.get(keys)[1], rows[1:])


def test_what_is_sound_at_the_second_read_stays_and_is_found_again(folder):
    keys, rows = some_keys(3), some_rows(3)
    path = publish_segment(folder.path, keys, rows, {})
    flip(path, 1)
    with pytest.warns(StoreWarning):
        folder.get(keys)
    flip(path, 1)
    folder.tidy()
    assert folder.segment_names() == [path.name]
    assert holds(folder, keys, rows)


def test_a_segment_of_rows_of_another_length_is_skipped_and_moved_aside_once(folder):
    keys, rows = some_keys(3), some_rows(3)
    publish_segment(folder.path, keys, rows, {})
    odd = publish_segment(folder.path, some_keys(2, seed=9), some_rows(2, dim=5), {})
    with pytest.warns(StoreWarning, match="hold 5 numbers, those of the others 8"):
        assert holds(folder, keys, rows)
    folder.tidy()
    folder.tidy()
    assert sum(name.endswith(".damaged") for name in os.listdir(folder.path)) == 1
    assert not odd.exists()


def test_a_segment_that_cannot_be_read_for_now_is_never_moved(folder, monkeypatch):
    keys, rows = fill(folder, 2)
    first = folder.path / folder.segment_names()[0]

    def refuse(path):
        if path == first:
            raise PermissionError(13, "Permission denied")
        return Segment(path)

    monkeypatch.setattr(_folder, "Segment", refuse)
    with pytest.warns(StoreWarning, match="Permission denied"):
        assert folder.get(keys)[0].tolist() == [False, True]
    folder.tidy()
    assert first.exists()
    monkeypatch.undo()
    folder.tidy()
    assert holds(folder, keys, rows)


def test_a_disk_that_fails_under_a_gather_costs_the_rows_not_the_call(folder, monkeypatch):
    keys, _ = fill(folder, 2)
    first = folder.segment_names()[0]
    folder.get(keys)
    gather = Segment.gather

    def fail(segment, *arguments, **options):
        if segment.path.name == first:
            raise OSError(5, "Input/output error")
        return gather(segment, *arguments, **options)

    monkeypatch.setattr(Segment, "gather", fail)
    with pytest.warns(StoreWarning, match="Input/output error"):
        assert folder.get(keys)[0].tolist() == [False, True]


def test_many_small_segments_become_one_with_the_same_rows(folder):
    keys, rows = fill(folder)
    folder.tidy()
    (name,) = folder.segment_names()
    merged = Segment(folder.path / name)
    assert merged.seconds == 0.5 * N
    assert merged.metadata["runtime"] == "torch"
    np.testing.assert_array_equal(merged.read_keys()[0], keys)  # in the order of writing
    assert holds(folder, keys, rows)
    assert holds(TendedFolder(folder.path), keys, rows)


def test_few_segments_and_large_ones_stay_as_they_are(folder):
    fill(folder, 64)
    for seed in range(1, 4):
        publish_segment(folder.path, some_keys(1024, seed=seed), some_rows(1024), {})
    names = folder.segment_names()
    folder.tidy()
    assert folder.segment_names() == names


def test_merging_keeps_one_copy_of_a_key(folder):
    keys, rows = fill(folder)
    fill(folder, 10)
    folder.tidy()
    (name,) = folder.segment_names()
    assert len(Segment(folder.path / name)) == N
    assert holds(folder, keys, rows)


def test_merging_leaves_damage_where_it_is_for_the_next_holder_of_the_lock(folder):
    keys, rows = fill(folder)
    bad = folder.path / folder.segment_names()[3]
    folder.refresh()
    flip(bad, 0)
    with pytest.warns(StoreWarning, match="some rows are not what was written"):
        folder.tidy()
    assert bad.exists()
    folder.tidy()
    assert not bad.exists()
    found, got = folder.get(keys)
    assert np.flatnonzero(~found).tolist() == [3]
    np.testing.assert_array_equal(got, np.delete(rows, 3, axis=0))


def test_letters_lost_from_the_metadata_do_not_stop_a_merge(folder):
    keys, rows = fill(folder)
    path = folder.path / folder.segment_names()[0]
    path.write_bytes(path.read_bytes().replace(b'"0.5"', b'"0,5"'))
    folder.tidy()
    assert len(folder.segment_names()) == 1
    assert holds(folder, keys, rows)


def test_a_reader_whose_segments_were_merged_since_its_listing_lists_again(folder, monkeypatch):
    keys, rows = fill(folder)
    reader = TendedFolder(folder.path)
    before = folder.segment_names()
    folder.tidy()
    listings = iter([before])
    names = reader.files.names
    monkeypatch.setattr(reader.files, "names", lambda: next(listings, None) or names())
    assert holds(reader, keys, rows)


def test_a_reader_whose_segments_are_merged_before_its_gather_finds_the_rows_in_the_new_one(folder, monkeypatch):
    keys, rows = fill(folder)
    reader = TendedFolder(folder.path)
    gather = reader._gather

    def merge_first(*arguments):
        monkeypatch.setattr(reader, "_gather", gather)
        folder.tidy()
        return gather(*arguments)

    monkeypatch.setattr(reader, "_gather", merge_first)
    assert holds(reader, keys, rows)


def test_a_folder_merged_faster_than_it_is_read_costs_rows_not_a_hang(folder, monkeypatch):
    monkeypatch.setattr(folder.files, "names", lambda: [f"{time.time_ns():016x}-{0:012x}.safetensors"])
    assert not folder.get(some_keys(2))[0].any()


def test_only_old_temporary_files_are_removed(folder):
    old, new, mine = (folder.path / f".tmp-{name}" for name in ("0" * 32, "1" * 32, "mine"))
    for path in (old, new, mine):
        path.write_bytes(b"half a segm")
    for path in (old, mine):
        os.utime(path, (0, time.time() - 2 * 24 * 3600))
    assert not folder.get(some_keys(1))[0].any()
    assert old.exists()
    folder.tidy()
    assert sorted(os.listdir(folder.path)) == [new.name, mine.name]


@pytest.mark.skipif(os.name == "nt", reason="symbolic links")
def test_links_and_other_peoples_files_are_neither_read_nor_moved(folder, tmp_path_factory):
    keys, rows = some_keys(2), some_rows(2)
    elsewhere = publish_segment(tmp_path_factory.mktemp("elsewhere"), keys, rows, {})
    (folder.path / elsewhere.name).symlink_to(elsewhere)
    (folder.path / "weights.safetensors").write_bytes(b"mine")
    assert not folder.get(keys)[0].any()
    folder.tidy()
    assert sorted(os.listdir(folder.path)) == sorted([elsewhere.name, "weights.safetensors"])
