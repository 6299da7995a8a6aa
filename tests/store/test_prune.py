"""Pruning: what was used least recently goes first, and no more than has to."""

from __future__ import annotations

import json
import os
import shutil
import time
from datetime import timedelta
from pathlib import Path

import filelock
import numpy as np
import pytest

import featx
from featx.exceptions import ParameterError, StoreWarning
from featx.store import _folder, _inventory, _upkeep
from featx.store._files import ENCODER_FILE, LocalFiles
from featx.store._index import INDEX_NAME
from featx.store._segment import Segment
from tests.store.content import META, OTHER, PRINT, some_keys, some_rows

N = 20
DAY = 24 * 3600.0


@pytest.fixture
def content(store) -> tuple[np.ndarray, np.ndarray]:
    """Five segments of four rows, which were used five, four, ... days ago."""
    keys, rows = some_keys(N), some_rows(N)
    for i in range(0, N, 4):
        store.put_many(PRINT, keys[i : i + 4], rows[i : i + 4], META)
    for path, days in zip(segments(store), range(5, 0, -1), strict=True):
        set_days(path, days)
    return keys, rows


def set_days(path, days: float) -> None:
    when = time.time() - days * DAY
    os.utime(path, (when, when))


def segments(store, fingerprint: str = PRINT) -> list:
    return sorted((store.location / fingerprint[:32]).glob("[0-9a-f]*.safetensors"))


def size(store) -> int:
    return sum(path.stat().st_size for path in store.location.rglob("*") if path.is_file())


def found(store, keys, fingerprint: str = PRINT) -> list[int]:
    """Which rows a process that opens the store now finds; those are right."""
    there, rows = featx.EmbeddingStore(store.location).get_many(fingerprint, keys)
    if fingerprint == PRINT:
        np.testing.assert_array_equal(rows, some_rows(N)[there] if there.any() else np.empty((0, rows.shape[1])))
    return np.flatnonzero(there).tolist()


@pytest.mark.parametrize("unused_for", [3.5 * DAY, timedelta(days=3, hours=12)])
def test_what_was_not_used_for_so_long_goes(store, content, unused_for):
    before = size(store)
    freed = store.prune(unused_for=unused_for)
    assert found(store, content[0]) == list(range(8, N))
    assert freed == before - size(store)
    assert store.prune(unused_for=unused_for) == 0


def test_what_was_read_lately_stays_however_old_it_is(store, content):
    featx.EmbeddingStore(store.location).get_many(PRINT, content[0][:1])
    store.prune(unused_for=1.5 * DAY)
    assert found(store, content[0]) == [0, 1, 2, 3, 16, 17, 18, 19]


def test_use_is_noted_about_once_a_minute(store, content, monkeypatch):
    reader = featx.EmbeddingStore(store.location)
    (*_, last) = segments(store)
    used = []
    for seconds in (60, 60, 0):
        monkeypatch.setattr(_folder, "_NOTED", seconds)
        reader.get_many(PRINT, content[0][-1:])
        used.append(time.time() - last.stat().st_mtime < DAY / 2)
        set_days(last, 1)
    assert used == [True, False, True]


@pytest.mark.parametrize("n_kept", range(6))
@pytest.mark.parametrize("more", [0, 1])
def test_the_least_recently_used_go_until_the_store_is_no_larger(store, content, n_kept, more):
    one = segments(store)[0].stat().st_size
    rest = size(store) - 5 * one
    limit = rest + n_kept * one + more if n_kept else rest + one - 1
    store.prune(max_bytes=limit)
    assert found(store, content[0]) == list(range(N - 4 * n_kept, N))
    assert size(store) <= limit


def test_a_store_that_is_small_enough_stays_as_it_is(store, content):
    assert store.prune(max_bytes=size(store)) == 0
    assert found(store, content[0]) == list(range(N))


def test_a_byte_too_many_costs_one_segment(store, content):
    store.prune(max_bytes=size(store) - 1)
    assert found(store, content[0]) == list(range(4, N))


def test_nothing_is_left_of_a_store_that_may_hold_nothing(store, content):
    store.put_record(OTHER, "network", {"weights": np.ones(3)}, {}, {"name": "tuned"})
    store.compact()
    before = size(store)
    assert store.prune(max_bytes=0) == before
    assert os.listdir(store.location) == []


def test_an_encoder_of_which_nothing_is_left_goes_with_its_folder(store, content):
    store.put_many(OTHER, some_keys(3), some_rows(3), {"encoder": {"name": "second"}})
    set_days(segments(store, OTHER)[0], 30)
    store.prune(unused_for=10 * DAY)
    assert os.listdir(store.location) == [PRINT[:32]]
    assert store.info()["encoder"].tolist() == ["example"]


def test_the_card_that_goes_with_the_last_segment_counts(store, content):
    """A folder's end frees more than its segments: no more than that has to go."""
    card = {"encoder": {"name": "second", "text": "x" * 5000}}
    store.put_many(OTHER, some_keys(3), some_rows(3), card)
    set_days(segments(store, OTHER)[0], 30)
    store.prune(max_bytes=size(store) - 2000)
    assert os.listdir(store.location) == [PRINT[:32]]
    assert found(store, content[0]) == list(range(N))


def test_other_peoples_files_are_no_part_of_the_store(store, content):
    mine = store.location / PRINT[:32] / "mine.bin"
    mine.write_bytes(bytes(100_000))
    set_days(mine, 100)
    store.prune(max_bytes=size(store) - 100_000)
    assert found(store, content[0]) == list(range(N))
    store.prune(max_bytes=0)
    assert [path.name for path in (store.location / PRINT[:32]).iterdir()] == ["mine.bin"]


def test_damaged_files_and_what_killed_writers_left_go_first(store, content):
    aside = segments(store)[-1]
    aside.rename(f"{aside}.damaged")
    half = store.location / PRINT[:32] / f".tmp-{0:032}.safetensors"
    half.write_bytes(bytes(1000))
    set_days(half, 2)
    store.prune(max_bytes=size(store) - 1000 - aside.with_name(aside.name + ".damaged").stat().st_size)
    assert not half.exists()
    assert not any(path.name.endswith(".damaged") for path in (store.location / PRINT[:32]).iterdir())
    assert found(store, content[0]) == list(range(N - 4))


def test_what_is_being_written_is_not_pruned(store, content):
    half = store.location / PRINT[:32] / f".tmp-{0:032}.safetensors"
    half.write_bytes(bytes(1000))
    store.prune(unused_for=1.5 * DAY)
    assert half.exists()


def test_an_index_is_written_anew_without_what_went(store, content, monkeypatch):
    monkeypatch.setattr(_upkeep, "_FULL_BYTES", 3 * Segment(segments(store)[0]).n_bytes)
    store.compact()
    before = [path.name for path in (store.location / PRINT[:32]).iterdir() if INDEX_NAME.fullmatch(path.name)]
    n = len(segments(store))
    set_days(segments(store)[0], 20)
    store.prune(unused_for=10 * DAY)
    (after,) = [path for path in (store.location / PRINT[:32]).iterdir() if INDEX_NAME.fullmatch(path.name)]
    assert [after.name] != before
    assert segments(store)[0].name.encode() in after.read_bytes()
    assert len(segments(store)) == n - 1
    assert store.verify()["error"].eq("").all()
    assert len(found(store, content[0])) == store.info()["rows"][0] < N


def test_an_index_does_not_grow_under_a_pruning(store, content):
    """Else the store could be larger afterwards than it may be."""
    store.compact()
    (indexed,) = segments(store)
    set_days(indexed, 20)
    more, rows = some_keys(500, seed=1), some_rows(500, dim=8, seed=1)
    for i in range(0, 500, 100):
        store.put_many(PRINT, more[i : i + 100], rows[i : i + 100], META)
    limit = size(store) - indexed.stat().st_size
    store.prune(max_bytes=limit)
    assert size(store) <= limit
    assert found(store, content[0]) == []
    assert featx.EmbeddingStore(store.location).get_many(PRINT, more)[0].all()


def test_to_be_merged_is_no_use(store, content):
    store.compact()
    (merged,) = segments(store)
    assert time.time() - merged.stat().st_mtime == pytest.approx(DAY, rel=0.1)  # the latest of its parts
    store.prune(unused_for=0.5 * DAY)
    assert found(store, content[0]) == []


def test_records_are_pruned_as_segments_are(store, content):
    store.put_record(OTHER, "network", {"weights": np.ones(3)}, {}, {"name": "tuned"})
    (record,) = store.location.glob("*/record-*")
    set_days(record, 3)
    store.get_record(OTHER, "network")
    store.prune(unused_for=2 * DAY)
    assert store.get_record(OTHER, "network") is not None
    set_days(record, 3)
    store.prune(unused_for=2 * DAY)
    assert store.get_record(OTHER, "network") is None
    assert os.listdir(store.location) == [PRINT[:32]]


def test_files_of_a_later_format_may_be_pruned(store, content):
    oldest = segments(store)[0]
    used = oldest.stat().st_mtime
    oldest.write_bytes(oldest.read_bytes().replace(b'"format":"1"', b'"format":"7"'))
    os.utime(oldest, (used, used))
    store.prune(unused_for=4.5 * DAY)
    assert not oldest.exists()


def test_rows_that_are_published_while_an_encoder_is_pruned_stay(store, content, monkeypatch):
    keys, rows = some_keys(3, seed=5), some_rows(3, seed=5)
    remove = _upkeep.TendedFolder.remove

    def publish_meanwhile(folder, names):
        remove(folder, names)
        featx.EmbeddingStore(store.location).put_many(PRINT, keys, rows, META)

    monkeypatch.setattr(_upkeep.TendedFolder, "remove", publish_meanwhile)
    store.prune(unused_for=0.5 * DAY)
    assert featx.EmbeddingStore(store.location).get_many(PRINT, keys)[0].all()
    assert store.info()["encoder"].tolist() == ["example"]


def test_a_card_that_was_pruned_while_rows_were_written_is_written_again(store, content, monkeypatch):
    put = _folder.Folder.put

    def prune_meanwhile(folder, *arguments):
        put(folder, *arguments)
        (folder.path / "encoder.json").unlink()

    monkeypatch.setattr(_folder.Folder, "put", prune_meanwhile)
    store.put_many(PRINT, some_keys(3, seed=5), some_rows(3, seed=5), META)
    assert json.loads((store.location / PRINT[:32] / "encoder.json").read_text())["name"] == "example"


@pytest.mark.parametrize(
    "put",
    [
        lambda store: store.put_many(PRINT, some_keys(3, seed=5), some_rows(3, seed=5), META),
        lambda store: store.put_record(PRINT, "fit", {"weights": np.ones(3)}, {}, {"name": "example"}),
    ],
)
def test_a_folder_that_is_pruned_again_and_again_while_it_is_written_is_written(store, monkeypatch, put):
    write, pruned = _inventory.write_encoder, []

    def prune_afterwards(files, encoder):
        write(files, encoder)
        if len(pruned) < 4:
            pruned.append(featx.EmbeddingStore(store.location).clear())

    monkeypatch.setattr(_inventory, "write_encoder", prune_afterwards)
    put(store)
    assert all(pruned)
    assert len(pruned) == 4
    assert len(featx.EmbeddingStore(store.location).verify()) == 1


def test_a_folder_that_goes_while_it_is_made_is_made_again(store, monkeypatch):
    # What pathlib asks after a mkdir that found something there.
    monkeypatch.setattr(Path, "is_dir", lambda path: path.name != PRINT[:32] and os.path.isdir(path))
    for n in (3, 4):
        store.put_many(PRINT, some_keys(n), some_rows(n), META)
    assert store.get_many(PRINT, some_keys(4))[0].all()


def test_a_folder_that_goes_before_its_lock_is_taken_is_made_again(store, monkeypatch):
    acquire, asked = filelock.FileLock.acquire, []

    def go_first(lock, *arguments, **options):
        asked.append(lock)
        if len(asked) < 4:
            os.rmdir(store.location / PRINT[:32])
            raise FileNotFoundError
        return acquire(lock, *arguments, **options)

    monkeypatch.setattr(filelock.FileLock, "acquire", go_first)
    with store.lock(PRINT):
        assert is_locked(store)
    assert len(asked) > 3


def test_a_turn_outlives_the_end_of_its_folder(store, content):
    with store.lock(PRINT):
        featx.EmbeddingStore(store.location).clear()
        assert is_locked(store)
        store.put_many(PRINT, *content, META)
    assert not is_locked(store)
    assert found(store, content[0]) == list(range(N))


def is_locked(store) -> bool:
    """Whether another process would have to wait for its turn."""
    try:
        with filelock.FileLock(store.location / PRINT[:32] / "turn.lock").acquire(blocking=False):
            return False
    except filelock.Timeout:
        return True


def test_a_folder_that_is_cleared_while_it_is_repaired_is_no_error(store, content, monkeypatch):
    store.compact()
    (damaged,) = segments(store)
    data = bytearray(damaged.read_bytes())
    data[Segment(damaged)._layout.starts["rows"]] ^= 1
    damaged.write_bytes(data)
    publish = LocalFiles.publish

    def clear_before(files, name, write, **options):
        if INDEX_NAME.fullmatch(name):
            shutil.rmtree(files.path)
        publish(files, name, write, **options)

    monkeypatch.setattr(LocalFiles, "publish", clear_before)
    assert featx.EmbeddingStore(store.location).verify(repair=True)["repaired"].any()
    assert len(store.info()) == 0


@pytest.mark.parametrize("delete", [lambda store: store.clear(), lambda store: store.prune(max_bytes=0)])
def test_a_card_that_a_writer_still_found_comes_back_for_its_rows(store, content, monkeypatch, delete):
    remove = LocalFiles.remove
    keys, rows = some_keys(3, seed=5), some_rows(3, seed=5)

    def write_before(files, names):
        if ENCODER_FILE in (names := set(names)):
            featx.EmbeddingStore(store.location).put_many(PRINT, keys, rows, META)
        remove(files, names)

    monkeypatch.setattr(LocalFiles, "remove", write_before)
    delete(store)
    assert featx.EmbeddingStore(store.location).get_many(PRINT, keys)[0].all()
    assert store.info()["encoder"].tolist() == ["example"]


def test_a_folder_that_is_cleared_while_it_is_described_is_not_in_the_table(store, content, monkeypatch):
    read = _inventory.read_encoder

    def clear_before(files):
        monkeypatch.setattr(_inventory, "read_encoder", read)
        store.clear()
        return read(files)

    monkeypatch.setattr(_inventory, "read_encoder", clear_before)
    assert len(featx.EmbeddingStore(store.location).info()) == 0


def test_a_card_that_is_pruned_with_its_rows_while_they_are_verified_is_no_damage(store, content, monkeypatch):
    read = _inventory.read_encoder

    def prune_before(files):
        monkeypatch.setattr(_inventory, "read_encoder", read)
        store.prune(max_bytes=0)
        return read(files)

    monkeypatch.setattr(_inventory, "read_encoder", prune_before)
    assert len(featx.EmbeddingStore(store.location).verify()) == 0


@pytest.mark.parametrize(
    "use",
    [lambda store, keys: store.verify()["error"].max() == "", lambda store, keys: store.get_many(PRINT, keys)[0].all()],
)
def test_a_card_that_is_about_to_come_is_waited_for(store, content, monkeypatch, use):
    card = store.location / PRINT[:32] / "encoder.json"
    text = card.read_text()
    card.unlink()
    monkeypatch.setattr(_inventory.time, "sleep", lambda seconds: card.write_text(text))
    assert use(featx.EmbeddingStore(store.location), content[0])


def test_a_store_that_is_cleared_while_it_is_pruned_is_empty(store, content, monkeypatch):
    remove = _upkeep.TendedFolder.remove

    def clear_meanwhile(folder, names):
        featx.EmbeddingStore(store.location).clear()
        remove(folder, names)

    monkeypatch.setattr(_upkeep.TendedFolder, "remove", clear_meanwhile)
    assert store.prune(unused_for=0) > 0
    assert len(store.info()) == 0


@pytest.mark.parametrize("options", [{}, {"max_bytes": -1}, {"unused_for": -1.0}, {"unused_for": timedelta(days=-1)},
                                     {"unused_for": float("nan")}])  # fmt: skip
def test_a_limit_that_is_none_is_refused_and_nothing_goes(store, content, options):
    with pytest.raises(ParameterError, match="Expected at least one of them, 0 or more"):
        store.prune(**options)
    assert found(store, content[0]) == list(range(N))


def test_pruned_rows_are_encoded_again(tiny, crops, store):
    encoder = featx.ImageEncoder(tiny, cache=store, verbose=0)
    cold = encoder.transform(crops)
    store.prune(max_bytes=0)
    assert encoder.transform(crops).tobytes() == cold.tobytes()
    assert store.info()["rows"].tolist() == [len(crops)]


def test_a_reader_whose_segments_are_pruned_finds_the_rest(store, content):
    reader = featx.EmbeddingStore(store.location)
    assert reader.get_many(PRINT, content[0])[0].all()
    for path, days in zip(segments(store), range(5, 0, -1), strict=True):
        set_days(path, days)
    store.prune(unused_for=3.5 * DAY)
    assert np.flatnonzero(reader.get_many(PRINT, content[0])[0]).tolist() == list(range(8, N))


def test_a_damaged_index_stops_no_pruning(store, content, monkeypatch):
    monkeypatch.setattr(_upkeep, "_FULL_BYTES", 3 * Segment(segments(store)[0]).n_bytes)
    store.compact()
    (index,) = (store.location / PRINT[:32]).glob("index-*")
    data = bytearray(index.read_bytes())
    data[-1] ^= 1
    index.write_bytes(data)
    oldest = segments(store)[0]
    set_days(oldest, 20)
    with pytest.warns(StoreWarning, match="A damaged index is skipped"):
        featx.EmbeddingStore(store.location).prune(unused_for=10 * DAY)
    assert not oldest.exists()
    assert featx.EmbeddingStore(store.location).verify()["error"].eq("").all()
