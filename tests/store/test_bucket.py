"""A store in a bucket: the rows of a folder, few requests, and no word of the network but what it costs."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
import uuid
import warnings
from pathlib import Path

import fsspec
import numpy as np
import pytest
from sklearn.base import clone

import featx
from featx.cli import main
from featx.exceptions import MissingDependencyError, ParameterError, StoreError, StoreWarning
from featx.store import _bucket
from featx.store._bucket import BucketPlace
from featx.store._files import DAMAGED, LOCK, Url
from featx.store._index import INDEX_NAME
from featx.store._segment import SEGMENT_NAME, Segment
from featx.store._upkeep import TendedFolder
from featx.testing import StoreConformance
from tests.object_store import Door, Flaky, count_requests, forget_s3, register_flaky, serve_s3
from tests.store.content import META, OTHER, PRINT, make_keys, make_rows, some_keys, some_rows
from tests.store.test_concurrency import work

FOLDER = PRINT[:32]


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with serve_s3(tmp_path_factory.mktemp("aws")) as address:
        yield address


@pytest.fixture
def bucket(s3) -> str:
    """A new bucket of S3, of which fsspec knows nothing."""
    name = f"b{uuid.uuid4().hex}"
    system().mkdir(name)
    return name


@pytest.fixture
def location(bucket) -> str:
    return f"s3://{bucket}/embeddings"


@pytest.fixture
def requests(s3):
    with count_requests() as asked:
        yield asked


@pytest.fixture
def flaky(monkeypatch) -> type[Flaky]:
    monkeypatch.setattr(_bucket, "_PAUSES", (0, 0, 0))
    with register_flaky() as kind:
        yield kind


@pytest.fixture
def door(s3, monkeypatch):
    """S3 behind a door; neither fsspec nor what it calls tries twice."""
    import s3fs

    with Door(s3) as door:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{door.server_address[1]}")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
        monkeypatch.setattr(_bucket, "_PAUSES", (0, 0, 0))
        forget_s3()
        yield door
    forget_s3()


def system():
    return fsspec.filesystem("s3", use_listings_cache=False)


def fill(store, n: int, per_segment: int = 10) -> tuple[np.ndarray, np.ndarray]:
    keys, rows = some_keys(n), some_rows(n)
    for start in range(0, n, per_segment):
        part = slice(start, start + per_segment)
        store.put_many(PRINT, keys[part], rows[part], META)
    return keys, rows


def holds(store, keys, rows) -> bool:
    found, got = store.get_many(PRINT, keys) if isinstance(store, featx.EmbeddingStore) else store.get(keys)
    return bool(found.all()) and np.array_equal(got, rows)


def copies(store) -> Path:
    """Where this machine keeps what it read and wrote."""
    return store._place.copies.path / FOLDER


def forget_copies(store) -> None:
    shutil.rmtree(copies(store))


def objects(store, pattern=SEGMENT_NAME) -> list[str]:
    return [name for name in store._place.files(FOLDER).names() if pattern.fullmatch(name)]


def flip(data: bytes, row: np.ndarray) -> bytes:
    at = data.index(row.tobytes())
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


class TestMemory(StoreConformance):
    @pytest.fixture
    def store(self):
        return featx.EmbeddingStore(f"memory://{uuid.uuid4().hex}/embeddings")


class TestS3(StoreConformance):
    @pytest.fixture
    def store(self, location):
        return featx.EmbeddingStore(location)


class TestFlaky(StoreConformance):
    """The first requests of each kind fail."""

    @pytest.fixture
    def store(self, flaky):
        flaky.failing.update(put_file=3, get_file=3, ls=3)
        return featx.EmbeddingStore("flaky://bucket")


# --- what is asked of it


def test_a_write_is_one_request_and_one_for_the_card_and_its_copy_is_there_already(location, requests):
    store = featx.EmbeddingStore(location)
    keys, rows = fill(store, 10)
    requests.clear()
    store.put_many(PRINT, some_keys(5, seed=1), some_rows(5, seed=1), META)
    assert requests == {"put_object": 1, "get_object": 1}
    requests.clear()
    assert holds(store, keys, rows)
    assert requests == {"list_objects_v2": 1}


def test_a_new_process_with_copies_lists_and_reads_nothing(location, requests):
    keys, rows = fill(featx.EmbeddingStore(location), 100)
    requests.clear()
    for _ in range(2):
        assert holds(featx.EmbeddingStore(location), keys, rows)
    assert requests == {"list_objects_v2": 2}


def test_a_machine_without_copies_asks_once_a_segment(location, requests):
    store = featx.EmbeddingStore(location)
    keys, rows = fill(store, 100)
    forget_copies(store)
    requests.clear()
    reader = featx.EmbeddingStore(location)
    assert holds(reader, keys, rows)
    assert requests == {"list_objects_v2": 1, "get_object": 10 + 1}  # and the card
    assert holds(reader, keys, rows)
    assert requests == {"list_objects_v2": 2, "get_object": 10 + 1}


def test_an_index_spares_what_is_not_asked_for(location, requests, monkeypatch):
    monkeypatch.setattr("featx.store._upkeep._FULL_BYTES", 1)  # every segment stays
    store = featx.EmbeddingStore(location)
    keys, rows = fill(store, 100)
    store.compact()
    forget_copies(store)
    requests.clear()
    assert holds(featx.EmbeddingStore(location), keys[20:30], rows[20:30])
    assert requests == {"list_objects_v2": 1, "get_object": 3}  # index, segment, card


def test_segments_are_fetched_side_by_side(flaky, monkeypatch):
    store = featx.EmbeddingStore("flaky://bucket")
    keys, rows = fill(store, 40)
    forget_copies(store)
    together, get_file = threading.Barrier(4), flaky.get_file

    def meet(self, rpath, lpath, **options):
        if rpath.endswith(".safetensors"):
            together.wait(60)
        get_file(self, rpath, lpath, **options)

    monkeypatch.setattr(flaky, "get_file", meet)
    assert holds(featx.EmbeddingStore("flaky://bucket"), keys, rows)


def test_pruning_without_an_index_fetches_no_rows(location, requests):
    store = featx.EmbeddingStore(location)
    fill(store, 100)
    forget_copies(store)
    requests.clear()
    assert featx.EmbeddingStore(location).prune(max_bytes=0) > 0
    assert requests["get_object"] == 1  # the card
    assert len(store.info()) == 0


# --- what others do to it


def test_what_another_process_writes_is_found_at_the_next_look(location):
    reader = featx.EmbeddingStore(location)
    assert not reader.get_many(PRINT, make_keys([1]))[0].any()
    for n in (1, 2):
        featx.EmbeddingStore(location).put_many(PRINT, make_keys([n]), make_rows([n]), META)
        assert reader.get_many(PRINT, make_keys([n]))[0].all()


def test_what_was_removed_is_found_no_more_and_its_copy_goes(location):
    store = featx.EmbeddingStore(location)
    keys, rows = fill(store, 20)
    gone = objects(store)[0]
    system().rm_file(f"{location}/{FOLDER}/{gone}")
    found, got = store.get_many(PRINT, keys)
    np.testing.assert_array_equal(found, [False] * 10 + [True] * 10)
    np.testing.assert_array_equal(got, rows[10:])
    assert not (copies(store) / gone).exists()
    system().rm(location, recursive=True)
    assert not store.get_many(PRINT, keys)[0].any()
    assert list(copies(store).iterdir()) == []


def test_a_copy_that_was_written_after_a_listing_outlives_it(location, monkeypatch):
    """Its object may be younger than what the listing says."""
    store = featx.EmbeddingStore(location)
    fill(store, 10)
    files = store._place.files(FOLDER)
    listed = files._list

    def write_then_return() -> dict:
        before = listed()
        fill(featx.EmbeddingStore(location), 10)
        return before

    monkeypatch.setattr(files, "_list", write_then_return)
    files.names()
    monkeypatch.undo()
    assert sorted(path.name for path in copies(store).glob("*.safetensors")) == objects(store)


def test_a_store_that_was_cleared_elsewhere_goes_on(location):
    store = featx.EmbeddingStore(location)
    store.put_many(PRINT, make_keys([1]), make_rows([1]), META)
    featx.EmbeddingStore(location).clear()
    assert not store.get_many(PRINT, make_keys([1]))[0].any()
    store.put_many(PRINT, make_keys([1]), make_rows([1]), META)
    assert store.get_many(PRINT, make_keys([1]))[0].all()
    assert store.info()["encoder"].tolist() == ["example"]


def test_a_card_that_was_cleared_elsewhere_is_written_with_the_next_row(location):
    store = featx.EmbeddingStore(location)
    store.put_many(PRINT, make_keys([1]), make_rows([1]), META)
    featx.EmbeddingStore(location).clear()
    store.put_many(PRINT, make_keys([2]), make_rows([2]), META)  # without a look
    assert store.info()["encoder"].tolist() == ["example"]


@pytest.mark.parametrize("delete", [lambda store: store.clear(), lambda store: store.prune(max_bytes=0)])
def test_what_is_written_again_while_it_is_deleted_is_no_refusal(flaky, monkeypatch, delete):
    store, rm_file = featx.EmbeddingStore("flaky://bucket"), flaky.rm_file
    fill(store, 10)
    put_record(store)

    def write_afterwards(self, path):
        rm_file(self, path)
        other = featx.EmbeddingStore("flaky://bucket")
        fill(other, 10)
        put_record(other)

    monkeypatch.setattr(flaky, "rm_file", write_afterwards)
    delete(store)
    assert set(store.info()["encoder"]) == {"example"}
    assert featx.EmbeddingStore("flaky://bucket").get_record(PRINT, "network") is not None


def put_record(store) -> None:
    store.put_record(PRINT, "network", {"a": np.ones(3)}, {}, {"name": "example"})


def test_other_peoples_objects_are_neither_read_nor_deleted(bucket, location):
    store = featx.EmbeddingStore(location)
    keys, rows = fill(store, 30)
    name = objects(store)[0]
    theirs = [
        f"{bucket}/photo.jpg",
        f"{location}/note.txt",
        f"{location}/holiday/encoder.json",
        f"{location}/{FOLDER}/weights.safetensors",
        f"{location}/{FOLDER}/below/{name}",
        f"{location}/{FOLDER}/{name[:-13]}0.safetensors/photo.jpg",
    ]
    for path in theirs:
        system().pipe_file(path, b"mine")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert holds(featx.EmbeddingStore(location), keys, rows)
        store.compact()
        assert store.verify()["damaged"].sum() == 0
        assert store.prune(max_bytes=0) > 0
        fill(store, 10)
        store.clear()
    assert sorted(system().find(bucket)) == sorted(path.removeprefix("s3://") for path in theirs)
    assert len(store.info()) == 0


def test_an_empty_bucket_has_nothing_to_say(bucket):
    for location in (f"s3://{bucket}", f"s3://{bucket}/embeddings/"):
        store = featx.EmbeddingStore(location)
        assert not store.get_many(PRINT, make_keys([1]))[0].any()
        assert (len(store.info()), len(store.verify()), store.clear(), store.prune(max_bytes=0)) == (0, 0, 0, 0)
        store.compact()
        store.put_many(PRINT, make_keys([1]), make_rows([1]), META)
        assert store.info()["rows"].tolist() == [1]
        store.clear()
    assert system().find(bucket) == []


# --- damage


@pytest.mark.parametrize("damage", ["cut short", "a row", "the header", "the keys"])
@pytest.mark.filterwarnings("error")
def test_a_damaged_copy_is_fetched_again_without_a_word(location, damage, requests):
    keys, rows = fill(featx.EmbeddingStore(location), 20)
    store = featx.EmbeddingStore(location)
    assert damage == "the keys" or holds(store, keys, rows)
    path = copies(store) / objects(store)[0]
    data = path.read_bytes()
    wrong = {
        "cut short": data[:-5],
        "a row": flip(data, rows[3]),
        "the header": data[:20] + b"?" + data[21:],
        "the keys": flip(data, keys[3]),
    }
    path.write_bytes(wrong[damage])
    requests.clear()
    assert holds(store, keys, rows)
    assert requests["get_object"] == (damage != "the header")  # which is in memory
    assert holds(featx.EmbeddingStore(location), keys, rows)
    assert path.read_bytes() == data


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("part", ["header", "keys"])
def test_a_damaged_copy_of_an_index_is_fetched_again_too(location, part):
    store = featx.EmbeddingStore(location)
    keys, rows = fill(store, 20)
    store.compact()
    path = copies(store) / objects(store, INDEX_NAME)[0]
    data = path.read_bytes()
    at = 20 if part == "header" else data.index(np.sort(keys.view("S16").ravel())[7]) + 3
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    assert holds(featx.EmbeddingStore(location), keys, rows)
    assert path.read_bytes() == data


@pytest.mark.filterwarnings("error")
def test_a_damaged_copy_of_a_card_is_fetched_again_too(location):
    keys, rows = fill(featx.EmbeddingStore(location), 20)
    store = featx.EmbeddingStore(location)
    card = copies(store) / "encoder.json"
    text = card.read_bytes()
    card.write_bytes(b"?" + text[1:])
    assert holds(store, keys, rows)
    assert card.read_bytes() == text


def test_a_damaged_object_costs_its_rows_and_is_repaired(location):
    store = featx.EmbeddingStore(location)
    keys, rows = fill(store, 20)
    name = objects(store)[0]
    url = f"{location}/{FOLDER}/{name}"
    system().pipe_file(url, flip(system().cat_file(url), rows[3]))
    assert holds(store, keys, rows)  # by the copy
    assert store.verify()["damaged"].sum() == 1  # which nobody asks here
    forget_copies(store)
    reader = featx.EmbeddingStore(location)
    with pytest.warns(StoreWarning, match=f"{url}: 1 rows are not what was written"):
        found, got = reader.get_many(PRINT, keys)
    assert np.flatnonzero(~found).tolist() == [3]
    np.testing.assert_array_equal(got, rows[found])
    assert reader.verify(repair=True)["repaired"].sum() == 1
    assert name + DAMAGED in reader._place.files(FOLDER).names()
    assert name not in objects(reader)
    assert featx.EmbeddingStore(location).verify()["damaged"].sum() == 0
    reader.put_many(PRINT, keys[3:4], rows[3:4], META)
    assert holds(featx.EmbeddingStore(location), keys, rows)


def test_a_damaged_copy_is_no_reason_to_move_an_object(location):
    store = featx.EmbeddingStore(location)
    keys, rows = fill(store, 20)
    name = objects(store)[0]
    path = copies(store) / name
    path.write_bytes(flip(path.read_bytes(), rows[3]))
    with store._locked(FOLDER) as folder:
        assert folder.repair([name]) == set()
    assert name in objects(store)
    assert holds(store, keys, rows)


# --- the network


def test_a_connection_that_drops_in_the_middle_of_a_put_is_made_again(location, door):
    store = featx.EmbeddingStore(location)
    door.drops["PUT"] = 2
    keys, rows = fill(store, 10)
    assert door.drops["PUT"] == 0
    forget_copies(store)
    assert holds(featx.EmbeddingStore(location), keys, rows)


def test_a_put_that_drops_each_time_is_a_store_error_and_leaves_nothing(location, door):
    store = featx.EmbeddingStore(location)
    door.drops["PUT"] = 100
    with pytest.raises(StoreError, match=rf"{location}/.*safetensors cannot be written"):
        fill(store, 10)
    assert door.drops["PUT"] <= 100 - 4
    assert objects(store) == list(copies(store).glob("*.safetensors")) == list(copies(store).glob(".tmp-*")) == []


def test_a_connection_that_drops_in_the_middle_of_a_get_is_made_again(location, door):
    store = featx.EmbeddingStore(location)
    keys, rows = fill(store, 30)
    forget_copies(store)
    door.drops["GET"] = 3
    assert holds(featx.EmbeddingStore(location), keys, rows)
    assert door.drops["GET"] == 0


@pytest.mark.filterwarnings("error")
def test_a_get_that_drops_each_time_is_a_store_error_and_no_damage(location, door):
    store = featx.EmbeddingStore(location)
    keys, rows = fill(store, 30)
    forget_copies(store)
    door.drops["GET"] = 100
    reader = featx.EmbeddingStore(location)
    with pytest.raises(StoreError, match=r"safetensors cannot be read"):
        reader.get_many(PRINT, keys)
    assert list(copies(store).iterdir()) == []
    door.drops.clear()
    assert holds(reader, keys, rows)


def test_what_comes_short_is_asked_for_again(flaky):
    store = featx.EmbeddingStore("flaky://bucket")
    keys, rows = fill(store, 20)
    forget_copies(store)
    flaky.failing["get_file"] = 3
    assert holds(featx.EmbeddingStore("flaky://bucket"), keys, rows)
    forget_copies(store)
    flaky.failing["get_file"] = 100
    with pytest.raises(StoreError, match=r"cannot be read: [\d,]+ of [\d,]+ bytes came"):
        featx.EmbeddingStore("flaky://bucket").get_many(PRINT, keys)


def test_there_is_a_pause_before_each_attempt_and_not_after_the_last(flaky, monkeypatch):
    monkeypatch.setattr(_bucket, "_PAUSES", (0.1, 0.2))
    pauses = []
    monkeypatch.setattr(_bucket.time, "sleep", pauses.append)
    flaky.failing["ls"] = 100
    with pytest.raises(StoreError, match="cannot be read: Connection reset by peer"):
        featx.EmbeddingStore("flaky://bucket").get_many(PRINT, make_keys([1]))
    assert pauses == [0.1, 0.2]
    assert flaky.asked["ls"] == 3


def test_a_file_system_that_tried_for_long_is_not_asked_again(flaky, monkeypatch):
    monkeypatch.setattr(_bucket, "_PATIENCE", -1)
    flaky.failing["ls"] = 100
    with pytest.raises(StoreError):
        featx.EmbeddingStore("flaky://bucket").get_many(PRINT, make_keys([1]))
    assert flaky.asked["ls"] == 1
    flaky.failing.clear()
    flaky.failing["put_file"] = 2  # what moves files may take longer
    fill(featx.EmbeddingStore("flaky://bucket"), 10)
    assert flaky.failing["put_file"] < 0


def test_a_network_that_fails_costs_the_caching_not_the_result(flaky, files, tiny):
    expected = featx.ImageEncoder(tiny, cache=False).transform(files)
    encoder = featx.ImageEncoder(tiny, cache="flaky://writing")
    flaky.failing["put_file"] = 100
    with pytest.warns(StoreWarning, match=r"could not be written; embeddings are not kept. flaky://writing/\S+ cannot"):
        np.testing.assert_array_equal(encoder.transform(files), expected)
    flaky.failing.clear()
    np.testing.assert_array_equal(encoder.transform(files), expected)
    assert featx.EmbeddingStore("flaky://writing").info()["rows"].tolist() == [len(files)]
    flaky.failing["ls"] = 100
    with pytest.warns(StoreWarning, match="could not be read; embeddings are not kept"):
        np.testing.assert_array_equal(encoder.transform(files), expected)


def test_a_bucket_that_is_not_there_is_named(s3, capsys):
    store = featx.EmbeddingStore("s3://nobodys-bucket/embeddings")
    with pytest.raises(StoreError, match=r"s3://nobodys-bucket/.* cannot be read: there is no such bucket"):
        store.get_many(PRINT, make_keys([1]))
    with pytest.raises(StoreError, match=r"cannot be written: The specified bucket does not exist"):
        store.put_many(PRINT, make_keys([1]), make_rows([1]), META)
    with pytest.raises(StoreError, match="no such bucket"):
        store.info()
    assert main(["cache", "info", "--cache", "s3://nobodys-bucket/embeddings"]) != 0
    assert "there is no such bucket" in capsys.readouterr().err


def test_refused_credentials_are_said_at_once(location, door, monkeypatch):
    store = featx.EmbeddingStore(location)
    keys, _ = fill(store, 10)
    door.refuses = True
    monkeypatch.setattr(_bucket, "_PAUSES", (600,))
    for call in (
        lambda: store.get_many(PRINT, keys),
        lambda: store.put_many(PRINT, make_keys([1]), make_rows([1]), META),
        store.info,
        store.verify,
        store.compact,
        store.clear,
        lambda: store.prune(max_bytes=0),
    ):
        with pytest.raises(StoreError, match="The key that you gave does not exist"):
            call()


def test_a_connection_that_is_refused_is_a_store_error(location, door):
    store = featx.EmbeddingStore(location)
    door.server_close()
    with pytest.raises(StoreError, match="cannot be read: Could not connect to the endpoint"):
        store.get_many(PRINT, make_keys([1]))


def test_a_machine_that_can_keep_no_copies_is_told_where(flaky, tmp_path, monkeypatch):
    keys, rows = fill(featx.EmbeddingStore("flaky://bucket"), 10)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    for call in (lambda store: store.get_many(PRINT, keys), lambda store: store.put_many(PRINT, keys, rows, META)):
        with pytest.raises(StoreError, match=r"cannot be made, where copies of flaky://bucket/.*XDG_CACHE_HOME"):
            call(featx.EmbeddingStore("flaky://bucket"))


def test_objects_that_may_not_be_deleted_are_named(flaky):
    store = featx.EmbeddingStore("flaky://bucket")
    keys, rows = fill(store, 20)
    flaky.failing["rm"] = 1
    with pytest.raises(StoreError, match=r"cannot be deleted \(2 such objects\)"):
        store.clear()
    assert holds(store, keys, rows)


def test_a_package_that_is_missing_is_named(monkeypatch, tiny, files):
    def absent(url, **options):
        raise ImportError("Please install gcsfs")

    with monkeypatch.context() as patch:
        patch.setattr(fsspec.core, "url_to_fs", absent)
        with pytest.raises(
            MissingDependencyError, match=r"gs://bucket/a needs fsspec's package for gs: Please install"
        ):
            featx.EmbeddingStore("gs://bucket/a")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'featx\[remote\]'"):
        featx.ImageEncoder(tiny, cache="s3://bucket/a").transform(files)


# --- several processes


def run_processes(targets, environments) -> None:
    context = multiprocessing.get_context("spawn")
    processes = []
    for (target, *arguments), environment in zip(targets, environments, strict=True):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            processes.append(context.Process(target=target, args=arguments))
            processes[-1].start()
    for process in processes:
        process.join()
        assert process.exitcode == 0


def test_processes_of_one_machine_take_turns_at_a_bucket(location):
    run_processes([(work, location, i) for i in range(2)], [{}] * 2)
    info = featx.EmbeddingStore(location).info()
    assert info["rows"].tolist() == info["unique_rows"].tolist() == [120]
    assert holds(featx.EmbeddingStore(location), make_keys(range(120)), make_rows(range(120)))


def fill_and_compact(location: str, first: int) -> None:
    """A machine that writes 16 rows in segments of two, and compacts what all have written again and again."""
    store = featx.EmbeddingStore(location)
    for n in range(first, first + 16, 2):
        store.put_many(PRINT, make_keys([n, n + 1]), make_rows([n, n + 1]), META)
        if n % 4 == 0:
            store.compact()
        assert store.get_many(PRINT, make_keys(range(first, n + 2)))[0].all()


def test_machines_that_write_and_compact_at_once_lose_nothing(location, tmp_path):
    machines = [{"XDG_CACHE_HOME": str(tmp_path / f"machine{i}")} for i in range(2)]
    run_processes([(fill_and_compact, location, 100 * i) for i in range(2)], machines)
    numbers = [*range(16), *range(100, 116)]
    store = featx.EmbeddingStore(location)
    assert holds(store, make_keys(numbers), make_rows(numbers))
    store.compact()
    assert store.info()[["rows", "segments"]].to_numpy().tolist() == [[32, 1]]
    assert holds(featx.EmbeddingStore(location), make_keys(numbers), make_rows(numbers))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_asks_by_a_connection_of_its_own(location):
    store = featx.EmbeddingStore(location)
    keys, rows = fill(store, 20)
    assert holds(store, keys, rows)
    forget_copies(store)
    child = multiprocessing.get_context("fork").Process(target=read_and_write, args=(store, keys, rows))
    child.start()
    child.join(600)
    stuck = child.is_alive()
    child.kill()
    assert not stuck
    assert child.exitcode == 0
    assert store.get_many(PRINT, make_keys([77]))[0].all()


def read_and_write(store, keys, rows) -> None:
    assert holds(store, keys, rows)
    store.put_many(PRINT, make_keys([77]), np.ones((1, rows.shape[1]), np.float32), META)
    assert store.info()["rows"].tolist() == [21]


def test_it_pickles_as_its_url_and_is_shared_by_clones(location):
    store = featx.EmbeddingStore(location + "/")
    keys, rows = fill(store, 10)
    again = pickle.loads(pickle.dumps(store))
    assert len(pickle.dumps(store)) < 500
    assert holds(again, keys, rows)
    assert clone(store, safe=False) is store
    assert store.location == again.location == location
    assert repr(again) == f"EmbeddingStore({location!r})"


# --- tidying


@pytest.fixture
def folder(location) -> TendedFolder:
    return TendedFolder(BucketPlace(Url(location)).files(FOLDER))


@pytest.fixture
def content(folder):
    """Twenty segments of two rows."""
    keys, rows = some_keys(40), some_rows(40)
    for i in range(0, 40, 2):
        folder.put(keys[i : i + 2], rows[i : i + 2], {"seconds": 0.5})
    return keys, rows


def twin(folder: TendedFolder) -> TendedFolder:
    """Another process of this machine."""
    return TendedFolder(BucketPlace(Url(folder.path.rpartition("/")[0])).files(FOLDER))


def test_a_compacted_bucket_is_one_segment_and_an_index_with_the_same_rows(folder, content, monkeypatch):
    before = twin(folder)
    assert holds(before, *content)
    folder.compact()
    names = folder.files.names()
    assert len(names) == 2
    assert len(folder.segment_names()) == 1
    assert Segment(folder.files.fetch(folder.segment_names()[0])).seconds == 10
    for reader in (folder, before, twin(folder)):
        assert holds(reader, *content)
    monkeypatch.setattr(Segment, "read_keys", None)
    assert holds(twin(folder), *content)  # by the index


def test_what_a_killed_compaction_left_behind_is_removed_by_the_next(folder, content, monkeypatch):
    def interrupt(names):
        if list(names):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(folder.files, "remove", interrupt)
        with pytest.raises(KeyboardInterrupt):
            folder.compact()
    assert len(folder.segment_names()) == 21
    assert holds(twin(folder), *content)
    again = twin(folder)
    again.compact()
    assert again.count() == (40, 40, 1)
    assert holds(again, *content)


def test_a_machine_that_merges_what_another_has_merged_meanwhile_loses_nothing(folder, content, monkeypatch):
    other, publish = twin(folder), folder.files.publish

    def compacted_meanwhile(name, write, **options):
        monkeypatch.undo()
        other.compact()
        publish(name, write, **options)

    monkeypatch.setattr(folder.files, "publish", compacted_meanwhile)
    folder.compact()
    for reader in (folder, other, twin(folder)):
        assert holds(reader, *content)
    twin(folder).compact()
    assert twin(folder).count() == (40, 40, 1)


def test_a_bucket_is_compacted_when_it_is_asked_for_and_not_by_itself(location, requests):
    store = featx.EmbeddingStore(location)
    with store.lock(PRINT):
        keys, rows = fill(store, 70, per_segment=1)
    requests.clear()
    with store.lock(PRINT):
        pass
    assert not requests
    assert store.info()["segments"].tolist() == [70]
    store.compact()
    assert store.info()["segments"].tolist() == [1]
    assert holds(featx.EmbeddingStore(location), keys, rows)


def test_pruning_goes_by_the_last_use_on_this_machine_or_by_the_writing(location):
    store = featx.EmbeddingStore(location)
    keys, _ = fill(store, 30)
    first, second, third = objects(store)
    for name, days in ((first, 3), (second, -1), (third, 2)):
        os.utime(copies(store) / name, (then := time.time() - days * 24 * 3600, then))
    used = {file.name: file.used for file in store._place.files(FOLDER).own()}
    now = time.time()
    assert abs(used[first] - now) < 3600  # its writing is later than its use
    assert used[second] > now + 23 * 3600
    assert store.prune(unused_for=3600) == 0
    n_bytes = store.info()["bytes"][0]
    store.prune(max_bytes=int(n_bytes) - 1)
    found, _ = store.get_many(PRINT, keys)
    assert found.sum() == 20
    assert found[10:20].all()
    store.prune(max_bytes=0)
    assert len(store.info()) == 0
    assert system().find(location) == []


def test_copies_are_pruned_by_their_last_use_and_the_bucket_stays(location, requests):
    store = featx.EmbeddingStore(location)
    keys, rows = fill(store, 30)
    first, second, third = objects(store)
    for name, days in ((first, 3), (second, 1), (third, 2)):
        os.utime(copies(store) / name, (then := time.time() - days * 24 * 3600, then))
    size = (copies(store) / first).stat().st_size
    requests.clear()
    assert store.prune(unused_for=2.5 * 24 * 3600, copies=True) == size
    assert store.prune(max_bytes=store.copied_bytes() - 1, copies=True) == size
    assert [path.name for path in copies(store).glob("*.safetensors")] == [second]
    assert not requests
    assert holds(store, keys, rows)
    assert requests["get_object"] == 2
    assert store.prune(max_bytes=0, copies=True) > 3 * size
    assert store.copied_bytes() == 0
    assert list(store._place.copies.path.iterdir()) == []
    assert holds(store, keys, rows)


def test_a_copy_that_is_coming_and_a_turn_outlive_a_pruning_of_copies(location):
    store = featx.EmbeddingStore(location)
    with store.lock(PRINT):
        fill(store, 10)
        coming = copies(store) / f".tmp-{'0' * 32}.safetensors"
        coming.write_bytes(b"half")
        store.prune(max_bytes=0, copies=True)
        assert sorted(path.name for path in copies(store).iterdir()) == [coming.name, LOCK]


def test_a_folder_has_no_copies(tmp_path):
    store = featx.EmbeddingStore(tmp_path)
    fill(store, 10)
    with pytest.raises(ParameterError, match="Expected it for an object store alone"):
        store.prune(max_bytes=0, copies=True)
    assert (store.copied_bytes(), store.info()["rows"].tolist()) == (0, [10])


def test_what_killed_writers_left_on_this_machine_is_removed(location):
    store = featx.EmbeddingStore(location)
    fill(store, 10)
    left = copies(store) / f".tmp-{'0' * 32}.safetensors"
    left.write_bytes(b"half")
    os.utime(left, (0, time.time() - 2 * 24 * 3600))
    fill(store, 10)
    assert not left.exists()


# --- results that are kept whole


def test_a_record_that_another_machine_replaced_is_read_anew(location):
    store, other = featx.EmbeddingStore(location), featx.EmbeddingStore(location)
    for value in (1.0, 2.0):
        other.put_record(PRINT, "network", {"a": np.full(3, value)}, {"n": 1}, {"name": "tuned"})
        arrays, description = store.get_record(PRINT, "network")
        np.testing.assert_array_equal(arrays["a"], np.full(3, value))
        assert description == {"n": 1}
    assert store.get_record(OTHER, "network") is None
    url = f"{location}/{FOLDER}/record-network.safetensors"
    system().pipe_file(url, system().cat_file(url)[:-1])
    with pytest.warns(StoreWarning, match=f"{url} is damaged"):
        assert store.get_record(PRINT, "network") is None
    assert store.get_record(PRINT, "network") is None


# --- where it is named


def test_an_encoder_keeps_its_embeddings_in_a_bucket(location, files, tiny, requests):
    encoder = featx.ImageEncoder(tiny, cache=location)
    rows = encoder.transform(files)
    assert encoder._store() is clone(encoder)._store()
    requests.clear()
    np.testing.assert_array_equal(featx.ImageEncoder(tiny, cache=featx.EmbeddingStore(location)).transform(files), rows)
    assert requests == {"list_objects_v2": 1}
    assert featx.EmbeddingStore(location).info()["rows"].tolist() == [len(files)]


def test_the_variable_may_name_a_bucket(location, monkeypatch):
    monkeypatch.setenv("FEATX_CACHE", location)
    assert featx.EmbeddingStore().location == featx.ImageEncoder()._store().location == location


def test_urls_of_files_are_folders(tmp_path):
    assert featx.EmbeddingStore((tmp_path / "a b").as_uri()).location == tmp_path / "a b"


def test_the_location_is_said_once(location, caplog):
    fill(featx.EmbeddingStore(location), 10)
    caplog.set_level("INFO", "featx")
    store = featx.EmbeddingStore(location)
    for _ in range(2):
        store.get_many(PRINT, make_keys([1]))
    assert [text for text in caplog.messages if text.startswith("cache=")] == [f"cache={location}"]


def test_the_command_looks_after_a_bucket(location, capsys, files):
    store = featx.EmbeddingStore(location)
    _, rows = fill(store, 20)
    assert main(["cache", "info", "--cache", location]) == 0
    assert capsys.readouterr().out.startswith(f"{location}: 20 embeddings, ")
    assert main(["cache", "prune", "--cache", location, "--copies", "--max-bytes", "0", "--yes"]) == 0
    assert capsys.readouterr().out == f"{location}: 0.0 MB deleted\n"
    assert (store.copied_bytes(), len(objects(store))) == (0, 2)
    assert main(["cache", "info", "--cache", location]) == 0
    assert " MB of copies on this machine)\n" in capsys.readouterr().out
    url = f"{location}/{FOLDER}/{objects(store)[0]}"
    system().pipe_file(url, flip(system().cat_file(url), rows[3]))
    assert main(["cache", "verify", "--cache", location]) == 1
    assert capsys.readouterr().out.startswith(f"{url}: 1 of 10 rows are damaged\n{location}: 20 embeddings, 1 of 2")
    assert main(["cache", "clear", "--cache", location, "--yes"]) == 0
    assert main(["cache", "info", "--cache", location]) == 0
    assert f"{location}: 0 embeddings, 0.0 MB" in capsys.readouterr().out


def test_images_are_embedded_into_a_bucket_from_a_shell(location, files, tmp_path, requests):
    command = ["embed", *files, "--encoder", "squeezenet1_1", "--weights", "random", "--cache", location]
    assert main([*command, "-o", str(tmp_path / "a.csv")]) == 0
    assert requests["put_object"] > 1
    requests.clear()
    assert main([*command, "-o", str(tmp_path / "b.csv")]) == 0
    assert not requests["put_object"]
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()
    assert featx.EmbeddingStore(location).info()["rows"].tolist() == [len(files)]


def test_a_store_in_a_folder_loads_nothing_of_it(tmp_path):
    code = (
        "import sys, featx, numpy as np; store = featx.EmbeddingStore(sys.argv[1]);"
        "store.get_many('a' * 64, np.zeros((1, 16), np.uint8));"
        "print([name for name in ('fsspec', 'ssl', 'http.client', 's3fs') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
