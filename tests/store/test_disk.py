"""Disks that are full, and stores that may only be read."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import featx
from featx.exceptions import StoreError, StoreWarning
from featx.store import _upkeep
from tests.store.content import META, PRINT, some_keys, some_rows

SIZE = 1 << 20
DIM = 256


@pytest.fixture
def disk(tmp_path):
    """A megabyte."""
    path = tmp_path / "disk"
    path.mkdir()
    if not shutil.which("mount"):
        pytest.skip("no file system can be mounted here: there is no command for it")
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(path)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.splitlines()[0]}")
    yield path
    gc.collect()  # an index may still be mapped
    subprocess.run(["umount", "-l", path], check=True)


@contextmanager
def full(disk: Path, *, free: int = 0):
    """Other people's files leave so many bytes."""
    other = disk / "other"
    with open(other, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
        os.truncate(other, max(0, os.path.getsize(other) - free))
    yield
    other.unlink()


def fill(store, n_segments: int = 6, n: int = 50) -> tuple[np.ndarray, np.ndarray]:
    keys, rows = some_keys(n_segments * n), some_rows(n_segments * n, DIM)
    for i in range(0, len(keys), n):
        store.put_many(PRINT, keys[i : i + n], rows[i : i + n], META)
    return keys, rows


def holds(store, keys, rows) -> bool:
    """Whether a process that opens the store now gets these rows."""
    found, got = featx.EmbeddingStore(store.location).get_many(PRINT, keys)
    return bool(found.all()) and np.array_equal(got, rows)


def listing(store) -> list[str]:
    return sorted(str(path.relative_to(store.location)) for path in store.location.rglob("*"))


def test_a_write_to_a_full_disk_is_an_error_that_leaves_nothing_and_reading_goes_on(disk):
    store = featx.EmbeddingStore(disk / "store")
    keys, rows = fill(store)
    before = listing(store)
    with full(disk):
        with pytest.raises(StoreError, match="cannot be written: No space left on device"):
            store.put_many(PRINT, some_keys(99, seed=1), some_rows(99, DIM), META)
        with pytest.raises(StoreError, match="cannot be written: No space left on device"):
            store.put_record(PRINT, "network", {"weights": np.ones(9999)}, {}, META["encoder"])
        assert listing(store) == before
        assert holds(store, keys, rows)
    store.put_many(PRINT, some_keys(99, seed=1), some_rows(99, DIM), META)
    assert store.info()["rows"].tolist() == [len(keys) + 99]


def test_the_first_write_to_a_full_disk_is_an_error_that_leaves_no_file(disk):
    store = featx.EmbeddingStore(disk / "store")
    with full(disk):
        with pytest.raises(StoreError, match="No space left"):
            store.put_many(PRINT, *fill_one(), META)
        assert not any(path.is_file() for path in store.location.rglob("*"))
        assert not store.get_many(PRINT, some_keys(3))[0].any()
        with store.lock(PRINT):
            pass


def fill_one() -> tuple[np.ndarray, np.ndarray]:
    return some_keys(50), some_rows(50, DIM)


@pytest.mark.parametrize("free", range(0, 1 << 19, 1 << 16))
def test_a_compaction_on_a_disk_that_is_nearly_full_loses_nothing(disk, free):
    store = featx.EmbeddingStore(disk / "store")
    keys, rows = fill(store)
    with full(disk, free=free):
        if free < rows.nbytes:
            with pytest.raises(StoreError, match="cannot be compacted: No space left on device"):
                store.compact()
            assert store.info()["segments"].tolist() == [6]
        else:
            store.compact()
        assert not any(".tmp-" in name for name in listing(store))
        assert holds(store, keys, rows)
    store.compact()
    assert store.info()["segments"].tolist() == [1]
    assert holds(store, keys, rows)


def test_a_merge_on_a_full_disk_is_a_warning_and_the_turn_ends(disk, monkeypatch):
    monkeypatch.setattr(_upkeep, "_MERGE_FILES", 4)
    store = featx.EmbeddingStore(disk / "store")
    keys, rows = fill(store)
    with full(disk):
        with pytest.warns(StoreWarning, match="could not be tidied"), store.lock(PRINT):
            pass
        assert holds(store, keys, rows)


@pytest.mark.parametrize("compacted", [False, True])
def test_a_repair_on_a_full_disk_loses_no_sound_row(disk, compacted):
    store = featx.EmbeddingStore(disk / "store")
    keys, rows = fill(store)
    if compacted:
        store.compact()
    first = min(store.location.glob("*/[0-9a-f]*.safetensors"))
    data = bytearray(first.read_bytes())
    data[data.index(rows[0].tobytes())] ^= 1
    first.write_bytes(data)
    with full(disk):
        assert not store.verify(repair=True)["repaired"].any()
        with pytest.warns(StoreWarning):
            found, got = featx.EmbeddingStore(store.location).get_many(PRINT, keys)
    assert np.flatnonzero(~found).tolist() == [0]
    np.testing.assert_array_equal(got, rows[1:])
    assert store.verify(repair=True)["repaired"].any()
    assert holds(store, keys[1:], rows[1:])


def test_pruning_makes_room_on_a_full_disk(disk):
    store = featx.EmbeddingStore(disk / "store")
    keys, rows = fill(store)
    store.compact()
    store.put_many(PRINT, some_keys(50, seed=1), some_rows(50, DIM), META)
    with full(disk):
        (large,) = [path for path in store.location.glob("*/[0-9a-f]*") if path.stat().st_size > rows.nbytes]
        os.utime(large, (0, 0))
        assert store.prune(unused_for=60) > rows.nbytes
        assert holds(store, some_keys(50, seed=1), some_rows(50, DIM))
        store.put_many(PRINT, keys[:50], rows[:50], META)


def test_embeddings_are_right_on_a_full_disk(disk, tiny, crops):
    right = featx.ImageEncoder(tiny, cache=False, verbose=0).transform(crops)
    store = featx.EmbeddingStore(disk / "store")
    with full(disk):
        with pytest.warns(StoreWarning, match="could not be written; embeddings are not kept.*No space left"):
            rows = featx.ImageEncoder(tiny, cache=store, verbose=0).transform(crops)
        np.testing.assert_array_equal(rows, right)
        assert not any(path.is_file() for path in store.location.rglob("*.safetensors"))


UNDER_A_LIMIT = """
import resource, sys
from pathlib import Path
import featx
from featx.exceptions import StoreError
from tests.store.content import META, PRINT, some_keys, some_rows

store = featx.EmbeddingStore(sys.argv[1])
keys, rows = some_keys(60), some_rows(60, 64)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
for i in range(0, 60, 20):
    store.put_many(PRINT, keys[i : i + 20], rows[i : i + 20], META)
for refused in (lambda: store.put_many(PRINT, some_keys(60, 1), some_rows(60, 64), META), store.compact):
    try:
        refused()
    except StoreError as error:
        print(error)
print(len(list(Path(sys.argv[1]).glob("*/.tmp-*"))), (store.get_many(PRINT, keys)[1] == rows).all())
"""


@pytest.mark.skipif(os.name == "nt", reason="limits on the size of files")
def test_a_write_that_the_system_cuts_short_is_an_error_and_reading_goes_on(tmp_path):
    command = [sys.executable, "-c", UNDER_A_LIMIT, str(tmp_path / "store")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    written, compacted, rest = done.stdout.splitlines()
    assert written.endswith("cannot be written: File too large.")
    assert compacted.endswith("cannot be compacted: File too large.")
    assert rest == "0 True"


@pytest.fixture
def sealed(request, tmp_path):
    """Seals a folder, so that it can only be read: by its mode, which stops everybody but root, or as a mount."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        disk = request.getfixturevalue("disk")
        yield disk, lambda: subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    elif os.name == "nt":
        pytest.skip("modes of folders")
    else:
        folders = []

        def seal():
            folders.extend(path for path in (tmp_path, *tmp_path.rglob("*")) if path.is_dir())
            for path in folders:
                path.chmod(0o500)

        yield tmp_path, seal
        for path in folders:
            path.chmod(0o700)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("compacted", [False, True], ids=["segments", "with an index"])
def test_a_store_that_cannot_be_written_is_read_without_a_word(sealed, compacted):
    folder, seal = sealed
    store = featx.EmbeddingStore(folder / "store")
    keys, rows = fill(store)
    if compacted:
        store.compact()
    store.put_record(PRINT, "network", {"weights": np.ones(3)}, {"dim": 3}, META["encoder"])
    seal()
    assert holds(store, keys, rows)
    reader = featx.EmbeddingStore(store.location)
    with reader.lock(PRINT):
        assert reader.get_many(PRINT, keys)[0].all()
    with reader.lock("f" * 64):  # of an encoder that is not there
        assert not reader.get_many("f" * 64, keys)[0].any()
    assert reader.get_record(PRINT, "network")[1] == {"dim": 3}
    assert reader.info()["rows"].tolist() == [len(keys)]
    assert not reader.verify(repair=True)["repaired"].any()


def test_what_would_write_to_a_store_that_cannot_be_written_says_so(sealed):
    folder, seal = sealed
    store = featx.EmbeddingStore(folder / "store")
    keys, rows = fill(store)
    seal()
    reason = "Read-only file system|Permission denied"
    for what, refused in {
        "written": lambda: store.put_many(PRINT, some_keys(1, 1), some_rows(1, DIM), META),
        "compacted": store.compact,
        "pruned": lambda: store.prune(max_bytes=0),
        "cleared": store.clear,
    }.items():
        with pytest.raises(StoreError, match=f"cannot be {what}: ({reason})"):
            refused()
    with pytest.raises(StoreError, match=f"cannot be written: ({reason})"):
        store.put_record(PRINT, "network", {"weights": np.ones(3)}, {}, META["encoder"])
    assert holds(store, keys, rows)


def test_embeddings_are_right_where_nothing_can_be_written(sealed, tiny, crops):
    folder, seal = sealed
    right = featx.ImageEncoder(tiny, cache=False, verbose=0).transform(crops)
    store = featx.EmbeddingStore(folder / "store")
    featx.ImageEncoder(tiny, cache=store, verbose=0).transform(crops[:20])
    seal()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder = featx.ImageEncoder(tiny, cache=featx.EmbeddingStore(store.location), verbose=0)
        np.testing.assert_array_equal(encoder.transform(crops[:20]), right[:20])
    with pytest.warns(StoreWarning, match="could not be written; embeddings are not kept"):
        np.testing.assert_array_equal(encoder.transform(crops), right)


def test_a_compact_store_that_cannot_be_written_has_nothing_to_compact(sealed):
    folder, seal = sealed
    store = featx.EmbeddingStore(folder / "store")
    fill(store)
    store.compact()
    seal()
    featx.EmbeddingStore(store.location).compact()
